"""``cds data``: import labelled radiographs, check them, and split them. Thin words around `imaging.training`."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time it would load torch, which --help need not wait for
    from imaging.training.splits import NearPair

data_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Import, check and split labelled radiographs for training."
)

SHOWN = 30
"""Findings that are printed in full; the rest is counted, and written by --json."""

DataOption = Annotated[
    Path,
    typer.Option("--data", exists=True, file_okay=False, help="Data set in FracAtlas' layout, or with images.csv."),
]


class Format(StrEnum):
    """Formats that can be imported; the values are those of `imaging.training.importers.found.DatasetFormat`."""

    YOLO = "yolo"
    VOC = "voc"
    COCO = "coco"
    CSV = "csv"


class Files(StrEnum):
    """How image files come into the new folder."""

    COPY = "copy"
    LINK = "link"


class UnlabelledImages(StrEnum):
    """What becomes of images that no label mentions."""

    LEAVE_OUT = "leave-out"
    HEALTHY = "healthy"


@data_app.command("import")
def import_data(
    source: Annotated[Path, typer.Option("--source", exists=True, help="Folder of the data set; CSV: or the file.")],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="New folder; appears when it is complete.")],
    kind: Annotated[Format, typer.Option("--format", help="Format of the labels.")],
    fracture_label: Annotated[
        list[str] | None, typer.Option(help="A label that is a fracture; repeat it for several. Others are ignored.")
    ] = None,
    unlabelled: Annotated[
        UnlabelledImages, typer.Option(help="Images that no label mentions: leave them out, or count them healthy.")
    ] = UnlabelledImages.LEAVE_OUT,
    images: Annotated[Files, typer.Option(help="Copy the image files, or link to them.")] = Files.COPY,
    group_pattern: Annotated[
        str | None, typer.Option(help="Regular expression; its first group in a file name is the patient.")
    ] = None,
) -> None:
    """Turn YOLO, Pascal VOC, COCO or CSV labels into images.csv and boxes.csv; the source is not changed."""
    with failures_explained():
        from imaging.training.importers.convert import ImportOptions, Placement, Unlabelled, convert
        from imaging.training.importers.found import DatasetFormat

        result = convert(
            source,
            out,
            DatasetFormat(kind.value),
            ImportOptions(
                fracture_labels=frozenset(fracture_label or ()),
                unlabelled=Unlabelled(unlabelled.value),
                placement=Placement(images.value),
                group_pattern=group_pattern,
            ),
        )
        for problem in result.problems[:SHOWN]:
            _note(problem)
        if len(result.problems) > SHOWN:
            _note(f"and {len(result.problems) - SHOWN} more; all of them are in {out / 'import.json'}")
        for label, count, fracture in result.labels:
            print(f"label {label!r}: {count} boxes, {'a fracture' if fracture else 'ignored'}")
        print(f"{out}: {result.images} images, {result.fractured} fractured, {result.boxes} boxes")
        print(f"next: cds data check --data {out}")
        if not result.splits:
            print(f"then: cds data split --data {out} --out SPLITS.csv: the labels name no split, a training wants one")


@data_app.command("check")
def check_data(
    data: DataOption,
    json_path: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write every finding to this file.")
    ] = None,
    split_list: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Split list to check for groups and images in two splits."),
    ] = None,
) -> None:
    """Name every row and image that cannot be used, and how to mend it; exit code 1 when there are any."""
    with failures_explained():
        from rich.console import Console
        from rich.progress import track

        from imaging.training.audit import audit

        console = Console(stderr=True)
        report = audit(data, track=lambda paths: track(paths, description="images", console=console))
        for finding in report.findings[:SHOWN]:
            print(finding.line())
        if len(report.findings) > SHOWN:
            print(f"and {len(report.findings) - SHOWN} more findings; --json writes all of them")
        leaks = 0 if split_list is None else _print_leaks(data, split_list)
        counts = f"{report.images} images, {report.fractured} fractured, {report.boxes} boxes"
        print(f"{counts}; {len(report.findings)} findings, {len(report.unusable)} of them cost a row or an image")
        if json_path is not None:
            report.write(json_path)
        if report.unusable or leaks:
            raise typer.Exit(1)


@data_app.command("split")
def split_data(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="CSV file: image_id, group, split.")],
    scheme: Annotated[
        str, typer.Option(help="kfold, or percentages: 80-10-10 (train, val, test), 80-20.")
    ] = "80-10-10",
    k: Annotated[int, typer.Option("--k", min=2, help="Folds of kfold.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
    join_duplicates: Annotated[
        bool, typer.Option(help="Keep images that look like one picture in one split, with their groups.")
    ] = True,
) -> None:
    """Write a split list: whole groups, fractures spread evenly, near-duplicates kept together."""
    with failures_explained():
        from imaging.training.datasets import read_collection
        from imaging.training.splits import describe_splits, near_duplicates, plan_splits, shares_of, write_list

        shares = shares_of(scheme, k)
        samples = read_collection(data).samples
        pairs = near_duplicates(samples)
        together = [(pair.first, pair.second) for pair in pairs] if join_duplicates else []
        assignment = plan_splits(samples, shares, seed=seed, together=together)
        write_list(out, samples, assignment)
        for line in describe_splits(samples, assignment):
            print(line)
        apart = [pair for pair in pairs if assignment[pair.first] != assignment[pair.second]]
        _print_pairs("near-duplicates in different splits", apart)
        _print_pairs("near-duplicates", [] if apart else pairs)
        _note(json.dumps({"written": str(out), "scheme": scheme, "seed": seed, "near_duplicates": len(pairs)}))


@data_app.command("deidentify")
def deidentify_data(
    source: Annotated[Path, typer.Argument(metavar="IN", exists=True, help="DICOM, PNG or JPEG file, or folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", file_okay=False, help="New folder for the results.")],
    key_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="At least 16 random bytes: exports with one key keep a patient's pseudonym. A new one by default.",
        ),
    ] = None,
    shift_dates: Annotated[bool, typer.Option("--shift-dates", help="Shift dates instead of removing them.")] = False,
    keep_characteristics: Annotated[
        bool, typer.Option("--keep-characteristics", help="Keep sex and age (90 years at most).")
    ] = False,
    mapping: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Table of old and new names, for you only; outside OUT.")
    ] = None,
) -> None:
    """De-identify radiographs (DICOM by PS3.15, PNG, JPEG) and mask text burned in near the borders. Look at each."""
    with failures_explained():
        import os

        from imaging.dicom.deidentify import DeidentifyOptions
        from imaging.dicom.deidentify_folder import deidentify_folder
        from imaging.errors import UnreadableFileError

        key = os.urandom(32) if key_file is None else key_file.read_bytes()
        if len(key) < 16:
            raise UnreadableFileError("The key is too short.", remedy="Give a file of at least 16 random bytes.")
        options = DeidentifyOptions(key=key, shift_dates=shift_dates, keep_characteristics=keep_characteristics)
        done = deidentify_folder(source, out, options, mapping=mapping)
        print(f"{out}: {done.written} files of {done.patients} patients, text masked in {done.masked}")
        if done.pictures:
            print(f"{done.pictures} of them are PNG or JPEG: they name no patient, so each counts as one")
        for name in done.review:
            print(f"look at {name}: it says text is burned in, and none was found")
        for number, code in done.refused:
            print(f"left out: file {number} in the order of names [{code}]")
        _note("Text away from the borders, soft or slanted is not seen: look through the images before they leave.")
        if done.refused and not done.written:
            raise typer.Exit(3)


def _print_leaks(data: Path, split_list: Path) -> int:
    """Print what is in two splits; return how many groups and pairs are."""
    from imaging.training.datasets import read_collection
    from imaging.training.splits import group_leaks, near_duplicates, read_list

    samples, assignment = read_collection(data).samples, read_list(split_list)
    groups = group_leaks(samples, assignment)
    for group, splits in groups.items():
        print(f"group {group!r} is in several splits: {', '.join(splits)}")
    pairs = near_duplicates(samples, assignment)
    _print_pairs("near-duplicates in different splits", pairs)
    return len(groups) + len(pairs)


def _print_pairs(title: str, pairs: "Sequence[NearPair]") -> None:
    if not pairs:
        return
    print(f"{title}: {len(pairs)} pairs; look at them")
    for pair in pairs[:SHOWN]:
        mirrored = ", mirrored" if pair.mirrored else ""
        print(f"  {pair.first} and {pair.second}: {pair.distance} of 256 bits differ{mirrored}")
    if len(pairs) > SHOWN:
        print(f"  and {len(pairs) - SHOWN} more")


def _note(line: str) -> None:
    print(line, file=sys.stderr)
