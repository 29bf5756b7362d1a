"""New cases and a replay of the old ones as one data set, in the layout that every training here reads.

What the mix keeps to:

* A share `replay_share` of what the model is shown is old, in fractured and healthy radiographs alike: every row bears
  a ``weight`` by which it is drawn, and no old case is thrown away to reach the share.
* Patients stay whole. A group that the old split knows stays where it was; new groups are dealt so that either class
  comes as near as it can to its share of what is held out.
* A radiograph that is in both (by its pixels) takes the new label and the old place, and is named.

The folder: ``images`` (links where the disk allows, else copies), ``images.csv``, ``boxes.csv``, ``split_list.csv``.
"""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cds.learning.digests import file_digests
from cds.learning.retraining.cases import REPLAY, Export
from cds.learning.retraining.errors import RetrainingError
from imaging.training.datasets import LabelledRadiograph, read_grey
from imaging.training.splits import plan_splits, write_list

LEARN: Final = "train"
HELD_OUT: Final = "val"
FOLDER_NAME: Final = "training-data"
SPLIT_LIST_NAME: Final = "split_list.csv"
IMAGE_COLUMNS: Final = ("image", "has_fracture", "group", "split", "source", "weight")
BOX_COLUMNS: Final = ("image", "x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A radiograph with its place in the mix."""

    sample: LabelledRadiograph
    source: str
    """`REPLAY`, or the name of the export."""
    split: str
    """`LEARN` or `HELD_OUT`."""
    digests: tuple[str, ...]
    """Of its file and of its pixels."""

    @property
    def pixels(self) -> str:
        """Digest of its pixels."""
        return self.digests[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """All cases of a retraining."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    """Cases that came twice, and what became of them."""

    def part(self, split: str, *, source: str | None = None) -> tuple[Case, ...]:
        """The cases of a split, of one source or of all."""
        return tuple(one for one in self.cases if one.split == split and source in (None, one.source))

    @property
    def digests(self) -> frozenset[str]:
        """Of everything that is learnt from or that thresholds are set on."""
        return frozenset(digest for one in self.cases for digest in one.digests)


def mix(
    old_learn: Iterable[LabelledRadiograph],
    old_held_out: Iterable[LabelledRadiograph],
    exports: Sequence[Export],
    *,
    replay_share: float,
    held_out_share: float,
    seed: int,
) -> Mix:
    """Join the old cases and the new ones.

    Args:
        old_learn: what the parent learnt from.
        old_held_out: what its thresholds were set on.
        exports: the new cases; of a radiograph that comes twice the later label holds.
        replay_share: share of the draws that is old, 0..1; with 0 the old cases only set thresholds.
        held_out_share: share of the new groups that is held out.
        seed: of the dealing.

    Raises:
        RetrainingError: nothing to learn from.
    """
    old = [_case(one, REPLAY, LEARN) for one in old_learn] + [_case(one, REPLAY, HELD_OUT) for one in old_held_out]
    notes: list[str] = []
    new = _once([_case(one, export.name, "") for export in exports for one in export.samples], notes)
    known = {one.pixels: one for one in old}
    repeated = {one.pixels for one in new} & set(known)
    notes += [
        f"{one.source}: {one.sample.image_id} is an old case; the new label holds"
        for one in new
        if one.pixels in repeated
    ]
    place = _place_of_groups(new, old, known, held_out_share, seed)
    kept = [one for one in old if one.pixels not in repeated]
    cases = [*kept, *(replace(one, split=place[_group(one.sample)]) for one in new)]
    if replay_share == 0:
        cases = [one for one in cases if one.source != REPLAY or one.split == HELD_OUT]
    if not any(one.split == LEARN for one in cases):
        raise RetrainingError("no case is left to learn from", "give an export with more patients")
    return Mix(cases=tuple(_named_apart(_weighted(cases, replay_share))), notes=tuple(notes))


def _case(sample: LabelledRadiograph, source: str, split: str) -> Case:
    return Case(sample=sample, source=source, split=split, digests=file_digests(sample.path))


def _group(sample: LabelledRadiograph) -> str:
    return sample.group or sample.image_id


def _once(cases: Sequence[Case], notes: list[str]) -> list[Case]:
    """Of cases with the same pixels the last one."""
    last = {one.pixels: one for one in cases}
    for one in cases:
        if last[one.pixels] is not one:
            notes.append(f"{one.source}: {one.sample.image_id} comes again later; the later label holds")
    return [one for one in cases if last[one.pixels] is one]


def _place_of_groups(
    new: Sequence[Case], old: Sequence[Case], known: Mapping[str, Case], held_out_share: float, seed: int
) -> dict[str, str]:
    """New group to split; a group with anything held out before stays held out as a whole."""
    old_place = {_group(one.sample): one.split for one in old}
    place: dict[str, str] = {}
    for one in new:
        group = _group(one.sample)
        before = {old_place[group]} if group in old_place else set()
        before |= {known[one.pixels].split} if one.pixels in known else set()
        if before:
            place[group] = HELD_OUT if HELD_OUT in before or place.get(group) == HELD_OUT else LEARN
    free = [one.sample for one in new if _group(one.sample) not in place]
    if held_out_share == 0 or len({_group(one) for one in free}) < 2:
        dealt = {one.image_id: LEARN for one in free}
    else:
        unique = [replace(one, image_id=str(number)) for number, one in enumerate(free)]
        shares = {LEARN: 1 - held_out_share, HELD_OUT: held_out_share}
        planned = plan_splits(unique, shares, seed=seed)
        dealt = {one.image_id: planned[str(number)] for number, one in enumerate(free)}
    return place | {_group(one): dealt[one.image_id] for one in free}


def _weighted(cases: Sequence[Case], replay_share: float) -> list[Case]:
    """The cases with weights by which `replay_share` of the draws of either class is old.

    Only what a detector can learn from counts: a fractured radiograph without boxes is never drawn.
    """
    drawn = Counter(_cell(one) for one in cases if one.split == LEARN and one.sample.boxes_known)
    weighted = []
    for one in cases:
        is_old, fractured = _cell(one)
        share = replay_share if is_old else 1 - replay_share
        # Where a class has cases of one kind only, they are all there is to draw.
        alone = drawn[not is_old, fractured] == 0
        count = max(drawn[is_old, fractured], 1)
        weight = 1.0 if alone else share * (count + drawn[not is_old, fractured]) / count
        weighted.append(replace(one, sample=replace(one.sample, weight=max(weight, 1e-6))))
    return weighted


def _cell(one: Case) -> tuple[bool, bool]:
    return one.source == REPLAY, one.sample.fractured


def _named_apart(cases: Sequence[Case]) -> list[Case]:
    """The cases under file names of which none comes twice: a later one takes part of its digest into its name."""
    taken: set[str] = set()
    named = []
    for one in cases:
        name = one.sample.path.name
        if name in taken:
            name = f"{one.sample.path.stem}-{one.digests[0][:12]}{one.sample.path.suffix}"
        taken.add(name)
        named.append(replace(one, sample=replace(one.sample, image_id=name)))
    return named


def write_mix(mixed: Mix, folder: Path, *, report: Callable[[str], None] = print) -> Path:
    """Write the data set; a second call writes the same.

    Args:
        mixed: the cases.
        folder: where to; made when it is not there.
        report: receives a line on what was written.

    Returns:
        The split list.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows, boxes = [], []
    for one in mixed.cases:
        sample = one.sample
        _link(sample.path, images / sample.image_id)
        fields = (sample.image_id, int(sample.fractured), _group(sample), one.split, one.source)
        rows.append((*fields, f"{sample.weight:.6g}"))
        if sample.boxes:
            height, width = read_grey(sample.path).shape
            boxes += [
                (sample.image_id, *(f"{value:.3f}" for value in (x1 * width, y1 * height, x2 * width, y2 * height)))
                for x1, y1, x2, y2 in sample.boxes
            ]
    _write_table(folder / "images.csv", IMAGE_COLUMNS, rows)
    _write_table(folder / "boxes.csv", BOX_COLUMNS, boxes)
    places = {one.sample.image_id: one.split for one in mixed.cases}
    report(f"{len(rows)} radiographs in the mix, {sum(split == HELD_OUT for split in places.values())} held out")
    return write_list(folder / SPLIT_LIST_NAME, [one.sample for one in mixed.cases], places)


def _link(source: Path, target: Path) -> None:
    """A link, or a copy that bears its name only once it is whole: a crash leaves no half image to go on with."""
    if target.exists():
        return
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without hard links
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)
