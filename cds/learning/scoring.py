"""A model's answers to a locked set: read once, kept by digest, so that no model is run twice on the same exam.

Locked sets
-----------
detector   a folder in FracAtlas' official layout, or ``images.csv`` with ``boxes.csv`` (`imaging.training.datasets`);
           subgroups from the columns region, view, age_band or age_years, sex, hardware, site, manufacturer and type,
           those that are there.
risk       a CSV file in the layout of the US survey (`tabular.cohort`): vertebral fractures read on images rank the hip
           probability, the survey's own ten-year probabilities are the reference of the major osteoporotic one.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import numpy as np

from cds.errors import InputError
from cds.learning.digests import file_digests
from cds.learning.model_kinds import ModelKind, sha256_of_file, shipped_folder
from cds.learning.provenance import PROVENANCE_NAME
from cds.learning.scored import HIGH_SENSITIVITY, HIGH_SPECIFICITY, Answer, Scored
from cds.version import engine_version

if TYPE_CHECKING:  # at run time they load torch and pandas
    import pandas as pd

    from imaging.training.datasets import Collection, LabelledRadiograph

Report = Callable[[str], None]

NEIGHBOURS: Final = 10
"""FracAtlas ids of one block of ten are drawn together: neighbouring ids are views of one limb. Data sets are split by
blocks of a hundred; of those a set has too few to draw from."""
COLUMNS: Final = ("region", "view", "age_band", "sex", "hardware", "site", "manufacturer", "type")
AGE_BANDS: Final = ((0, 18), (18, 40), (40, 65), (65, 200))
RISK_AGE_BANDS: Final = ((40, 50), (50, 60), (60, 70), (70, 200))
NOT_STATED: Final = "not stated"
CACHE_SCHEMA: Final = "fracture-cds.scores/1"
SCORABLE: Final = (ModelKind.DETECTOR, ModelKind.RISK)


def score(
    kind: ModelKind,
    folder: Path | None,
    data: Path,
    *,
    split: str = "all",
    split_list: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Scored:
    """Ask a model about every item of a locked set.

    Args:
        kind: of model.
        folder: its weights; None for the shipped one.
        data: the locked set, see the module.
        split: ``all``, or a split of the set's own list or of `split_list`; for risk a survey cycle.
        split_list: CSV file of ``cds data split``.
        cache: folder in which answers are kept by digest of model and set; None keeps none.
        report: receives a line about each item that cannot be used.

    Raises:
        InputError: there is no such locked set for this kind.
        ImagingError, TabularError: the model or the data cannot be used.
    """
    if kind is ModelKind.DETECTOR:
        from imaging.training.datasets import read_collection
        from imaging.training.splits import part_of, read_list

        listed = split_list is not None and split != "all"
        collection = read_collection(data, "all" if listed else split)
        if listed and split_list is not None:
            collection = part_of(collection, read_list(split_list), split)
        return score_collection(folder, collection, data, cache=cache, report=report)
    if kind is ModelKind.RISK:
        if not data.is_file():
            raise InputError("The locked set of a risk model is a CSV file.", remedy="Give the file.")
        return _cached(
            cache, kind, folder, f"{sha256_of_file(data)}|{split}", lambda: score_people(folder, data, split)
        )
    raise InputError(
        f"There is no locked set for {kind.value} models yet; they cannot be promoted.",
        remedy="Name their folder in the settings, and compare with `cds evaluate`.",
    )


def score_collection(
    folder: Path | None,
    collection: "Collection",
    root: Path,
    *,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Scored:
    """A detector on radiographs that are read already.

    Args:
        folder: weights; None for the shipped ones.
        collection: the radiographs.
        root: the data set's folder, which holds the columns of the subgroups.
        cache: as for `score`.
        report: as for `score`.
    """
    digests = {one.image_id: file_digests(one.path) for one in collection.samples}
    columns = subgroup_columns(root)
    content = json.dumps(
        [(one.image_id, one.boxes, one.fractured, digests[one.image_id][0]) for one in collection.samples]
    )

    def ask() -> Scored:
        from imaging.engine import FractureEngine
        from imaging.training.evaluate import records_of

        engine = FractureEngine.load(folder, boxes_only=True)
        records, _ = records_of(collection, engine, report=report)
        answers = [
            Answer(
                id=record.image_id,
                group=_group(sample),
                positive=record.fractured,
                score=record.image_score,
                probability=record.probability,
                truth=record.truth,
                boxes_known=record.boxes_known,
                boxes=record.boxes,
                box_scores=record.scores,
                digests=digests[record.image_id],
            )
            for record, sample in zip(records, collection.samples, strict=True)
        ]
        manifest = engine.manifest
        return Scored(
            model_id=engine.model_id,
            answers=tuple(answers),
            thresholds={
                HIGH_SENSITIVITY: manifest.high_sensitivity.threshold,
                HIGH_SPECIFICITY: manifest.high_specificity.threshold,
            },
            data_name=collection.name,
        )

    scored = _cached(cache, ModelKind.DETECTOR, folder, content, ask)
    told = tuple(replace(one, subgroups=columns.get(one.id, {})) for one in scored.answers)
    return replace(scored, answers=told)


def score_people(folder: Path | None, data: Path, split: str = "all") -> Scored:
    """A risk model on the people of 40 years or more of a survey file."""
    import pandas as pd

    from tabular.cohort import build_cohort
    from tabular.errors import CohortError
    from tabular.evaluation import predict
    from tabular.formula import HEADS
    from tabular.model import DEFAULT_DIRECTORY, load_model
    from tabular.teaching import MINIMUM_AGE_YEARS
    from tabular.validation import official_margins

    model = load_model(folder or DEFAULT_DIRECTORY)
    try:
        raw = pd.read_csv(data, low_memory=False)
        whole = (sha256_of_file(data),)
    except (OSError, ValueError) as error:
        raise CohortError("the file cannot be read as CSV", remedy="Give the path of a CSV file.") from error
    people = build_cohort(raw)
    wanted = people["age_years"] >= MINIMUM_AGE_YEARS
    people = people[wanted if split == "all" else wanted & (people["cycle"] == split)]
    if people.empty:
        raise InputError("Nobody of 40 years or more is in this set.", remedy="Give another file or another split.")
    rows = people.index.to_numpy()
    people = people.reset_index(drop=True)
    told = predict(model, people)
    major, hip = HEADS
    official = people["official_major"].notna().to_numpy()
    target = np.full(len(people), np.nan)
    target[official] = official_margins(people[official], major)
    fractures = people["vertebral_fracture"].to_numpy()
    answers = [
        Answer(
            id=str(int(row)),
            group=f"{people['cycle'][place]}/{people['stratum'][place]}/{people['psu'][place]}",
            positive=None if np.isnan(fractures[place]) else bool(fractures[place]),
            score=float(told.by_head[hip][place]),
            target=None if np.isnan(target[place]) else float(target[place]),
            estimate=float(told.by_head[major][place]),
            subgroups=_person(people, place),
            digests=whole,
        )
        for place, row in enumerate(rows)
        if official[place] or not np.isnan(fractures[place])
    ]
    return Scored(model_id=model.model_id, answers=tuple(answers), data_name=data.name)


def subgroup_columns(root: Path) -> dict[str, dict[str, str]]:
    """Image id to the columns that subgroups are made of; empty where the set has none."""
    if not (root / "images.csv").is_file():
        from imaging.training.gallery.subgroups import attributes_of

        return attributes_of(root)
    with (root / "images.csv").open(encoding="utf-8", newline="") as handle:
        return {row.get("image", ""): _columns(row) for row in csv.DictReader(handle, restval="")}


def age_band(years: float, bands: Iterable[tuple[int, int]] = AGE_BANDS) -> str:
    """The band of an age in years, such as ``18-39`` or ``65+``."""
    for low, high in bands:
        if low <= years < high:
            return f"{low}-{high - 1}" if high < AGE_BANDS[-1][1] else f"{low}+"
    return NOT_STATED


def _columns(row: Mapping[str, str]) -> dict[str, str]:
    found = {name: row[name] or NOT_STATED for name in COLUMNS if name in row}
    if "age_years" in row and "age_band" not in found:
        try:
            found["age_band"] = age_band(float(row["age_years"]))
        except ValueError:
            found["age_band"] = NOT_STATED
    return found


def _group(sample: "LabelledRadiograph") -> str:
    from imaging.training.datasets import id_block

    stem = Path(sample.image_id).stem
    digits = "".join(letter for letter in stem if letter.isdigit())
    if digits and sample.group == id_block(stem):
        return f"ids{int(digits) // NEIGHBOURS}"
    return sample.group or sample.image_id


def _person(people: "pd.DataFrame", place: int) -> dict[str, str]:
    from tabular.validation import ETHNICITY

    female = people["female"][place]
    return {
        "sex": NOT_STATED if np.isnan(female) else ("female" if female == 1.0 else "male"),
        "age_band": age_band(float(people["age_years"][place]), RISK_AGE_BANDS),
        "ethnicity": ETHNICITY.get(people["ethnicity"][place], NOT_STATED),
        "cycle": str(people["cycle"][place]),
    }


def _cached(
    cache: Path | None, kind: ModelKind, folder: Path | None, content: str, ask: Callable[[], Scored]
) -> Scored:
    """The kept answers of a model, recognised by all its files, to a set, recognised by its content."""
    place = folder or shipped_folder(kind)
    files = sorted(one for one in place.iterdir() if one.is_file()) if place is not None and place.is_dir() else []
    weights = "|".join(f"{one.name}:{sha256_of_file(one)}" for one in files if one.name != PROVENANCE_NAME)
    data_sha256 = hashlib.sha256(content.encode()).hexdigest()
    if cache is None:
        return replace(ask(), data_sha256=data_sha256)
    key = hashlib.sha256(f"{CACHE_SCHEMA}|{engine_version()}|{weights}|{data_sha256}".encode()).hexdigest()
    path = cache / f"{kind.value}-{key[:32]}.json"
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or from a crash or another version: asked anew
    scored = replace(ask(), data_sha256=data_sha256)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{uuid4().hex}")
    aside.write_text(json.dumps(_document(scored)), encoding="utf-8")
    aside.replace(path)
    return scored


def _document(scored: Scored) -> dict[str, Any]:
    arrays = ("truth", "boxes", "box_scores")
    answers = [
        {name: value.tolist() if name in arrays else value for name, value in asdict(one).items()}
        for one in scored.answers
    ]
    return {
        "schema": CACHE_SCHEMA,
        "model_id": scored.model_id,
        "thresholds": dict(scored.thresholds),
        "data_sha256": scored.data_sha256,
        "data_name": scored.data_name,
        "answers": answers,
    }


def _read(path: Path) -> Scored:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.pop("schema") != CACHE_SCHEMA:
        raise ValueError("another schema")
    answers = tuple(
        Answer(
            **{
                **one,
                "truth": np.array(one["truth"], dtype=float).reshape(-1, 4),
                "boxes": np.array(one["boxes"], dtype=float).reshape(-1, 4),
                "box_scores": np.array(one["box_scores"], dtype=float),
                "digests": tuple(one["digests"]),
            }
        )
        for one in document.pop("answers")
    )
    return Scored(answers=answers, **document)
