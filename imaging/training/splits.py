"""Written split lists: whole groups only, the share of fractures alike everywhere, near-duplicates across splits named.

A list is a CSV file with the columns ``image_id``, ``group`` and ``split``; for k-fold, ``split`` is ``fold0``,
``fold1`` and so on. It is made once from a seed, kept beside the data, and named in the training's configuration.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.training.datasets import Collection, LabelledRadiograph, read_grey
from imaging.training.errors import TrainingDataError

REST = "rest"
"""The split name for "all but the development split" of a split list."""
SHARE_NAMES = ("train", "val", "test")
HASH_SIDE = 16
NEAR_DISTANCE = 8
"""Pairs that differ in up to this many of the 256 bits are named. On FracAtlas the pairs up to 8 that were looked at
were one exposure each; from 9 on there are also two views of one limb and two limbs alike."""

MAX_EXCHANGED = 150
"""With more groups than this the first placement is even enough, and trying all pairs would take long."""

LIST_COLUMNS = ("image_id", "group", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPair:
    """Two images in different splits that look like one picture."""

    first: str
    second: str
    distance: int
    """Differing bits of the 256."""
    mirrored: bool


def shares_of(scheme: str, folds: int = 5) -> dict[str, float]:
    """Split names with their shares, from ``80-10-10`` (train, val, test), ``80-20`` (train, val) or ``kfold``.

    Raises:
        TrainingDataError: not such a scheme.
    """
    if scheme == "kfold":
        if folds < 2:
            raise TrainingDataError("k-fold needs at least two folds", "give --k 2 or more")
        return {f"fold{number}": 1 / folds for number in range(folds)}
    if not re.fullmatch(r"\d{1,2}-\d{1,2}(-\d{1,2})?", scheme):
        raise TrainingDataError(f"unknown scheme {scheme!r}", "give kfold, or percentages such as 80-10-10")
    parts = [int(part) for part in scheme.split("-")]
    if sum(parts) != 100 or 0 in parts:
        raise TrainingDataError(f"the percentages {scheme} do not add up to 100", "give for instance 80-10-10")
    return {name: part / 100 for name, part in zip(SHARE_NAMES, parts, strict=False)}


def plan_splits(
    samples: Sequence[LabelledRadiograph],
    shares: Mapping[str, float],
    *,
    seed: int,
    together: Iterable[tuple[str, str]] = (),
) -> dict[str, str]:
    """Image id to split: groups stay whole, and each split comes as near as it can to its share of either class.

    Large groups are placed first, each where it leaves the smallest squared distance from the wanted numbers of
    fractured and healthy images, both counted in shares of their class; then pairs of groups are swapped for as long
    as that distance falls. `seed` orders groups of one size.

    Args:
        samples: the images.
        shares: split names with their shares, adding up to 1.
        seed: of the order.
        together: pairs of image ids whose groups must not be parted (near-duplicates).

    Raises:
        TrainingDataError: fewer groups than splits.
    """
    groups = _joined_groups(samples, together)
    if len(groups) < len(shares):
        raise TrainingDataError(
            f"{len(groups)} groups cannot be dealt to {len(shares)} splits", "use fewer splits, or finer groups"
        )
    counts = {name: np.zeros(2) for name in groups}
    for name, members in groups.items():
        for sample in members:
            counts[name][int(sample.fractured)] += 1
    totals = np.maximum(sum(counts.values(), np.zeros(2)), 1)
    gains = {name: count / totals for name, count in counts.items()}
    order = sorted(groups)
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda name: -float(gains[name].max()))
    # What each split still lacks; a group lowers the squared lack most where the lack points its way.
    lack = {split: np.full(2, share) for split, share in shares.items()}
    place: dict[str, str] = {}
    for name in order:
        place[name] = max(shares, key=lambda split: float(lack[split] @ gains[name]))
        lack[place[name]] = lack[place[name]] - gains[name]
    if len(order) <= MAX_EXCHANGED:
        _exchange(order, gains, lack, place)
    return {sample.image_id: place[name] for name in order for sample in groups[name]}


def _exchange(
    order: Sequence[str],
    gains: Mapping[str, NDArray[np.float64]],
    lack: dict[str, NDArray[np.float64]],
    place: dict[str, str],
) -> None:
    """Swap pairs of groups between splits, in place, for as long as the squared lack falls."""
    improved = True
    while improved:
        improved = False
        for number, first in enumerate(order):
            for second in order[number + 1 :]:
                one, other = place[first], place[second]
                moved = gains[first] - gains[second]
                after = (lack[one] + moved, lack[other] - moved)
                before = float(lack[one] @ lack[one] + lack[other] @ lack[other])
                if one != other and float(after[0] @ after[0] + after[1] @ after[1]) < before - 1e-12:
                    place[first], place[second] = other, one
                    lack[one], lack[other] = after
                    improved = True


def _joined_groups(
    samples: Sequence[LabelledRadiograph], together: Iterable[tuple[str, str]]
) -> dict[str, list[LabelledRadiograph]]:
    """Groups by name; groups that share a pair become one, under the first of their names."""
    group_of = {sample.image_id: sample.group or sample.image_id for sample in samples}
    parent = {group: group for group in group_of.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, second in together:
        one, other = sorted((root(group_of[first]), root(group_of[second])))
        parent[other] = one
    joined: dict[str, list[LabelledRadiograph]] = defaultdict(list)
    for sample in samples:
        joined[root(group_of[sample.image_id])].append(sample)
    return dict(joined)


def write_list(path: Path, samples: Sequence[LabelledRadiograph], assignment: Mapping[str, str]) -> Path:
    """Write the list, in one piece or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(LIST_COLUMNS)
        for sample in sorted(samples, key=lambda one: one.image_id):
            writer.writerow((sample.image_id, sample.group, assignment[sample.image_id]))
    return partial.replace(path)


def read_list(path: Path) -> dict[str, str]:
    """Image id to split.

    Raises:
        TrainingDataError: no such file, columns missing, or an image in two splits.
    """
    if not path.is_file():
        raise TrainingDataError(f"no split list {path.name!r}", "write one with: cds data split")
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if not {"image_id", "split"} <= set(reader.fieldnames or ()):
            raise TrainingDataError(f"{path.name} lacks the column image_id or split", "write it with: cds data split")
        assignment: dict[str, str] = {}
        for row in reader:
            image_id, split = row["image_id"], row["split"]
            if assignment.setdefault(image_id, split) != split:
                raise TrainingDataError(
                    f"{path.name}:{reader.line_num} puts an image into a second split", "keep one row per image"
                )
    return assignment


def with_rest(assignment: Mapping[str, str], split: str, development_split: str) -> dict[str, str]:
    """The list as a training reads it: when it learns from `REST`, all but the development split bear that name.

    Raises:
        TrainingDataError: the training would learn from the images that it is judged on, or the list has no such
            development split.
    """
    if split == development_split:
        raise TrainingDataError(
            f"the split {split!r} is both learnt from and held out", f"name two splits, or learn from {REST!r}"
        )
    check_listed(assignment, development_split)
    if split != REST:
        return dict(assignment)
    return {image: part if part == development_split else REST for image, part in assignment.items()}


def check_listed(assignment: Mapping[str, str], split: str) -> None:
    """Refuse a split that the list does not have.

    Raises:
        TrainingDataError: it has none of this name.
    """
    known = set(assignment.values())
    if split not in known:
        raise TrainingDataError(
            f"no split {split!r} in the list", f"name one of its splits: {', '.join(sorted(known)) or 'it has none'}"
        )


def part_of(collection: Collection, assignment: Mapping[str, str], split: str) -> Collection:
    """The images of one split; images that the list does not know, and rows without an image, become problems.

    Raises:
        TrainingDataError: no such split, or nothing of it in the collection.
    """
    check_listed(assignment, split)
    ids = {sample.image_id for sample in collection.samples}
    unlisted = [f"{image_id}: not in the split list" for image_id in sorted(ids - set(assignment))]
    missing = [
        f"{image_id}: in the split list, but not in the data set"
        for image_id, name in sorted(assignment.items())
        if name == split and image_id not in ids
    ]
    samples = tuple(sample for sample in collection.samples if assignment.get(sample.image_id) == split)
    if not samples:
        raise TrainingDataError(f"no image of the split {split!r} is in the data set", "check that list and data match")
    return replace(collection, samples=samples, problems=(*collection.problems, *unlisted, *missing))


def group_leaks(samples: Iterable[LabelledRadiograph], assignment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Groups that fall into more than one split, with those splits."""
    seen: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.image_id in assignment:
            seen[sample.group or sample.image_id].add(assignment[sample.image_id])
    return {group: tuple(sorted(splits)) for group, splits in sorted(seen.items()) if len(splits) > 1}


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """dHash: 256 bits, whether each cell of a 16 x 17 reduction is brighter than its left neighbour.

    The picture is levelled by its histogram and reduced by area means, so that neither exposure nor file size counts.

    Args:
        pixels: [H, W] 8-bit grey.

    Returns:
        uint8 [32].
    """
    small = cv2.resize(cv2.equalizeHist(pixels), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    wide = small.astype(np.int16)
    return np.packbits(wide[:, 1:] > wide[:, :-1])


def near_duplicates(
    samples: Sequence[LabelledRadiograph],
    assignment: Mapping[str, str] | None = None,
    *,
    distance: int = NEAR_DISTANCE,
) -> list[NearPair]:
    """Pairs that look like one picture, mirrored ones included; with `assignment`, only pairs across splits.

    Images that cannot be decoded are left out. A hash finds copies at another size, quality or exposure: of such
    copies made from the images at hand, half differ in fewer than `NEAR_DISTANCE` bits. It is a net, not a proof:
    a pair that is named must be looked at, and a cut or turned copy goes unseen.

    Returns:
        The pairs by rising distance.
    """
    usable, hashes, mirrored = [], [], []
    for sample in samples:
        if assignment is not None and sample.image_id not in assignment:
            continue
        try:
            pixels = read_grey(sample.path)
        except (TrainingDataError, OSError):
            continue
        usable.append(sample.image_id)
        hashes.append(difference_hash(pixels))
        mirrored.append(difference_hash(np.ascontiguousarray(pixels[:, ::-1])))
    if len(usable) < 2:
        return []
    table = np.stack(hashes).view(np.uint64)
    flipped = np.stack(mirrored).view(np.uint64)
    pairs: list[NearPair] = []
    for row, image_id in enumerate(usable[:-1]):
        for other_side, mirror in ((table, False), (flipped, True)):
            apart = np.bitwise_count(other_side[row + 1 :] ^ table[row]).sum(axis=1)
            for column in np.flatnonzero(apart <= distance):
                other = usable[row + 1 + int(column)]
                if assignment is None or assignment[image_id] != assignment[other]:
                    pairs.append(NearPair(first=image_id, second=other, distance=int(apart[column]), mirrored=mirror))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def describe_splits(samples: Iterable[LabelledRadiograph], assignment: Mapping[str, str]) -> list[str]:
    """One line per split: images, fractured ones and groups."""
    images: Counter[str] = Counter()
    fractured: Counter[str] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        split = assignment[sample.image_id]
        images[split] += 1
        fractured[split] += sample.fractured
        groups[split].add(sample.group or sample.image_id)
    return [
        f"{split}: {images[split]} images, {fractured[split]} fractured "
        f"({fractured[split] / images[split]:.1%}), {len(groups[split])} groups"
        for split in sorted(images)
    ]
