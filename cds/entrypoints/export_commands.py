"""``cds export``: thin words around `imaging.export`, imported only when called."""

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time it would load torch, which --help need not wait for
    from imaging.export.exporter import Export

T = TypeVar("T")

export_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Write a model as one file for a tablet or another runtime."
)


class ExportFormat(StrEnum):
    """The formats of `imaging.export.writers.EdgeFormat`, named here so that --help loads no torch."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TFLITE = "tflite"


@export_app.callback()
def _group() -> None:
    """Keeps ``detector`` a command of its own while it is the only one."""


@export_app.command("detector")
def export_detector(
    export_format: Annotated[ExportFormat, typer.Option("--format", help="Kind of file.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise to 8-bit integers; needs --calibration.")] = False,
    model: Annotated[
        Path | None,
        typer.Option("--model", exists=True, file_okay=False, help="Model folder; the shipped one by default."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the file.")] = Path("out/export"),
    calibration: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Labelled data set: its training part calibrates int8, its held-out part checks the file. "
            "Without it a float file is checked on synthetic limbs.",
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Side of the canvas in pixels, a multiple of 32; the model's by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Export the fracture detector, check the file against eager torch, and keep it only if it passes."""
    with failures_explained():
        from imaging.export.exporter import export_detector as export
        from imaging.export.writers import EdgeFormat

        done = export(
            EdgeFormat(export_format.value),
            out,
            model=model,
            int8=int8,
            data=calibration,
            size=size,
            report=(lambda _: None) if quiet else _note,
            track=(lambda items: items) if quiet else _with_progress,
        )
        if not quiet:
            _show(done)


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _with_progress(items: Iterable[T]) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    return track(items, description="radiographs", console=Console(stderr=True), transient=True)


def _show(done: "Export") -> None:
    from rich.console import Console
    from rich.table import Table

    card, console = done.document, Console()
    table = Table(title=f"{card['file']}, {card['precision']}, {card['size_bytes'] / 1e6:.1f} MB", title_justify="left")
    table.add_column("check against eager torch")
    table.add_column("value", justify="right")
    for name, value in _rows(card["check"]):
        table.add_row(name, value)
    console.print(table)
    for path in (done.model, done.card, done.reader):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _rows(check: dict[str, Any]) -> Iterable[tuple[str, str]]:
    agreement = check["agreement"]
    yield "radiographs", f"{agreement['images']} ({agreement['source']})"
    yield "boxes compared, found again", f"{agreement['boxes']}, {agreement['matched_share']:.1%}"
    yield "IoU, smallest and median", f"{agreement['min_iou']:.4f}, {agreement['median_iou']:.4f}"
    yield (
        "score difference, largest and mean",
        f"{agreement['max_score_difference']:.6f}, {agreement['mean_score_difference']:.6f}",
    )
    yield "radiographs with the same call", f"{agreement['same_call_share']:.1%}"
    for where, figures in check.get("accuracy", {}).items():
        ap50 = figures["ap50"]
        yield f"AP50 on {where} (n = {figures['n']}), torch and file", f"{ap50['torch']:.3f}, {ap50['export']:.3f}"
        interval = f"{ap50['loss_low']:+.3f} to {ap50['loss_high']:+.3f}"
        yield f"loss of AP50 on {where}, 95 % interval", f"{ap50['loss']:+.3f} ({interval})"
