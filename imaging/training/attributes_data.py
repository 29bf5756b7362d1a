"""Labels for the attribute heads, as far as each collection has them: what is not recorded is None, never "no".

FracAtlas tells region, view, hardware and fracture of each radiograph; ``hip`` tells fracture, and its region by what
it is; ``fracture_types`` tells pattern and, for some, displacement. Any of the three may be missing.
"""

import csv
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imaging.labels import FracturePattern, LimbGroup, View
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.scope_pictures import Listed

FRACATLAS, HIP, TYPES = "fracatlas", "hip", "fracture_types"
COLLECTIONS = (FRACATLAS, HIP, TYPES)
"""Names of the folders that the heads learn from."""

LICENCES: Mapping[str, str] = {
    FRACATLAS: "FracAtlas, Abedeen et al., Scientific Data 2023, doi 10.1038/s41597-023-02432-4; CC BY 4.0",
    HIP: "Roboflow Universe thesisyolo-v8/proximal-femur-fracture v1; CC BY 4.0 by the uploader",
    TYPES: "Bone Break Classification and HBFMID; tagged CC BY 4.0 by the uploaders but web-sourced: internal "
    "research use only",
}

FOLDED_TYPES: Mapping[str, FracturePattern] = {
    "segmental": FracturePattern.COMMINUTED,
    "linear": FracturePattern.LONGITUDINAL,
    "fracture-dislocation": FracturePattern.FRACTURE_DISLOCATION,
}
"""Words of the data that stand for a pattern of another name."""
HEALTHY = "healthy"

HIP_BLOCK = 10
"""Neighbouring numbers of one prefix in ``hip`` stay together: exports from one series follow each other."""

_LIMB_FLAGS = {
    "hand": LimbGroup.HAND_ARM,
    "leg": LimbGroup.LEG_FOOT,
    "hip": LimbGroup.HIP_PELVIS,
    "shoulder": LimbGroup.SHOULDER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSample:
    """One radiograph and the labels that are recorded for it."""

    image_id: str
    path: Path
    collection: str
    source: str
    group: str
    """Radiographs of one group never fall into different folds."""
    pattern: FracturePattern | None = None
    displaced: bool | None = None
    limbs: Mapping[LimbGroup, bool] | None = None
    """Groups of which it is known whether they are on the radiograph; one that is missing is not known."""
    views: Mapping[View, bool] | None = None
    hardware: bool | None = None
    fractured: bool | None = None

    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def read_samples(root: Path, split: str, report: Callable[[str], None]) -> dict[str, list[AttributeSample]]:
    """Whatever of the three collections lies in `root`.

    Args:
        root: folder that holds ``fracatlas``, ``hip`` and ``fracture_types``, or some of them; or one of these itself.
        split: part of FracAtlas' split list to use, or ``all``.
        report: receives one line per collection or row that is left out.

    Raises:
        TrainingDataError: none of them is there, or one has no known layout.
    """
    readers: dict[str, Callable[[Path], list[AttributeSample]]] = {
        FRACATLAS: lambda folder: read_fracatlas(folder, split, report),
        HIP: lambda folder: read_hip(folder, report),
        TYPES: lambda folder: read_types(folder, report),
    }
    folders = collection_folders(root)
    for name in sorted(set(COLLECTIONS) - set(folders), key=COLLECTIONS.index):
        report(f"no folder {name!r}: what only it teaches is left out")
    return {name: readers[name](folder) for name, folder in folders.items()}


def collection_folders(root: Path) -> dict[str, Path]:
    """Where the collections lie, by name: the folders of these names in `root`, or `root` itself if it is called so.

    Raises:
        TrainingDataError: none of them is there.
    """
    inside = {name: root / name for name in COLLECTIONS if (root / name).is_dir()}
    own = root.resolve().name
    if not inside and own in COLLECTIONS:
        return {own: root}
    if not inside:
        raise TrainingDataError(
            f"{root.name!r} holds none of the folders {', '.join(COLLECTIONS)}",
            "give a folder that holds some of them, or one of them itself; they are known by these names, so pictures "
            f"with their types (images.csv with image and type) must lie in a folder called {TYPES}",
        )
    return inside


def without_outside_scope(samples: dict[str, list[AttributeSample]], report: Callable[[str], None]) -> list[str]:
    """Take the pictures that are no limb radiographs out of `samples`, by collection; their SHA-256.

    The application is there to refuse them, so the heads need not know them, and figures that count them flatter: a
    skull's fracture is told by the skull.
    """
    listed = Listed()
    digests: list[str] = []
    for name, some in samples.items():
        inside = [one for one in some if listed.kind(name, one.image_id) is None]
        if len(inside) < len(some):
            report(f"{len(some) - len(inside)} of {len(some)} pictures of {name} are no limb radiographs: left out")
            digests += [one.sha256() for one in some if listed.kind(name, one.image_id) is not None]
        samples[name] = inside
    return sorted(digests)


def read_types(root: Path, report: Callable[[str], None] = lambda _: None) -> list[AttributeSample]:
    """``images.csv`` with image and type, and where recorded displaced (1/0/blank), source and group.

    Healthy images, unknown words and missing files are left out and reported.

    Raises:
        TrainingDataError: no such table, or it lacks a column.
    """
    rows = _table(root / "images.csv", ("image", "type"))
    samples: list[AttributeSample] = []
    healthy = 0
    for row in rows:
        path = root / "images" / row["image"]
        pattern = pattern_of(row["type"])
        if row["type"] == HEALTHY:
            healthy += 1
        elif pattern is None:
            report(f"{row['image']}: {row['type']!r} is no pattern known here; left out")
        elif not path.is_file():
            report(f"{row['image']}: listed in images.csv, but no image file; left out")
        else:
            samples.append(
                AttributeSample(
                    image_id=row["image"],
                    path=path,
                    collection=TYPES,
                    source=row.get("source") or "unknown",
                    group=row.get("group") or row["image"],
                    pattern=pattern,
                    displaced=_flag(row.get("displaced")),
                )
            )
    if healthy:
        report(f"{root.name}: {healthy} healthy radiographs have no pattern; left out")
    if not samples:
        raise TrainingDataError(f"no radiograph with a fracture pattern in {root.name!r}", "check the column type")
    return samples


def pattern_of(word: str) -> FracturePattern | None:
    """The pattern a word of the data stands for; None when it stands for none."""
    named = {pattern.value: pattern for pattern in FracturePattern if pattern is not FracturePattern.UNDETERMINED}
    return FOLDED_TYPES.get(word) or named.get(word)


def read_hip(root: Path, report: Callable[[str], None] = lambda _: None) -> list[AttributeSample]:
    """The hips: fractured or not; look-alike names form one group.

    A hip radiograph is no hand and no shoulder, but the femur's shaft may well be on it, so that nothing is said of
    the leg.
    """
    limbs = {LimbGroup.HIP_PELVIS: True, LimbGroup.HAND_ARM: False, LimbGroup.SHOULDER: False}
    return [
        replace(_plain(sample, HIP), group=look_alike_group(sample.image_id), limbs=limbs)
        for sample in _reported(root, "all", report)
    ]


def look_alike_group(name: str) -> str:
    """Prefix of a file name and the block of ten its number falls in: ``neck_12-_png.jpg`` -> ``neck/1``."""
    match = re.match(r"(.*?)_?(\d+)", name)
    return name if match is None else f"{match[1]}/{int(match[2]) // HIP_BLOCK}"


def read_fracatlas(root: Path, split: str, report: Callable[[str], None] = lambda _: None) -> list[AttributeSample]:
    """FracAtlas with the flags of ``dataset.csv``; without that table only the fracture is known."""
    table = root / "dataset.csv"
    if not table.is_file():
        report(f"{root.name}: no dataset.csv, so region, view and hardware are not known")
    flags = {row["image_id"]: row for row in _table(table, ("image_id",))} if table.is_file() else {}
    return [
        _with_flags(_plain(sample, FRACATLAS), flags.get(sample.image_id, {}))
        for sample in _reported(root, split, report)
    ]


def _reported(root: Path, split: str, report: Callable[[str], None]) -> Sequence[LabelledRadiograph]:
    collection = read_collection(root, split)
    for problem in collection.problems:
        # Box faults do not matter here; files that are missing do.
        if "no image file" in problem:
            report(problem)
    return collection.samples


def _plain(sample: LabelledRadiograph, collection: str) -> AttributeSample:
    return AttributeSample(
        image_id=sample.image_id,
        path=sample.path,
        collection=collection,
        source=collection,
        group=sample.group,
        fractured=sample.fractured,
    )


def _with_flags(sample: AttributeSample, row: Mapping[str, str]) -> AttributeSample:
    """Region, view and hardware of one row of ``dataset.csv``.

    A radiograph flagged ``mixed`` shows more than one region and often only the main one is flagged: what is flagged
    is there, of the rest nothing is known.
    """
    regions = {group: _flag(row.get(word)) for word, group in _LIMB_FLAGS.items()}
    mixed = _flag(row.get("mixed"))
    limbs = {group: flag for group, flag in regions.items() if flag is not None and (flag or not mixed)}
    views = {view: flag for view in View if (flag := _flag(row.get(view.value))) is not None}
    return replace(
        sample,
        limbs=limbs if any(limbs.values()) else None,
        views=views if any(views.values()) else None,
        hardware=_flag(row.get("hardware")),
    )


def _flag(text: str | None) -> bool | None:
    """1, 1.0 or true, and their opposites; None for anything else, a blank above all."""
    known = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    return known.get((text or "").strip().lower())


def _table(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise TrainingDataError(f"no {path.name} in {path.parent.name!r}", "see the layouts in the data's README")
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in required if name not in (reader.fieldnames or ())]
        if missing:
            raise TrainingDataError(
                f"{path.name} lacks the column(s) {', '.join(missing)}", "see the layouts in the data's README"
            )
        return list(reader)


def digest(samples: Sequence[AttributeSample]) -> str:
    """SHA-256 over ids, labels and file sizes: changes when the data change, without reading every pixel."""
    total = hashlib.sha256()
    for one in sorted(samples, key=lambda sample: sample.image_id):
        labels = (one.pattern, one.displaced, one.hardware, one.fractured, one.group)
        flags = (sorted((one.limbs or {}).items()), sorted((one.views or {}).items()))
        total.update(f"{one.image_id}|{labels}|{flags}|{one.path.stat().st_size}".encode())
    return total.hexdigest()
