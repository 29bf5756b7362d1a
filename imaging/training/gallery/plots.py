"""Curves to SVG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imaging.training.gallery.curves import CalibrationGroup, Confusion, Curve

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8a8a8a"
"""Colours that stay apart for colour-blind readers (Okabe & Ito 2008)."""
SIDE_INCHES = 4.0
DARK_CELL = 0.6
STYLE: Any = {"font.size": 9.0, "svg.hashsalt": "fracture-cds", "svg.fonttype": "path"}
POINT_NAMES = {"high_sensitivity": "high-sensitivity point", "high_specificity": "high-specificity point"}


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIDE_INCHES, SIDE_INCHES * 0.92), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path


def plot_roc(path: Path, curve: Curve, points: Sequence[Confusion], area: float) -> Path:
    """ROC with the two operating points."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure("ROC, by image", "1 - specificity", "sensitivity")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axes.plot(curve.x, curve.y, color=BLUE, label=f"area {area:.3f}", drawstyle="steps-post")
        for point, marker in zip(points, ("o", "s"), strict=False):
            shares = point.shares()
            if "sensitivity" in shares and "specificity" in shares:
                axes.plot(
                    1 - shares["specificity"].value,
                    shares["sensitivity"].value,
                    marker,
                    color=ORANGE,
                    label=POINT_NAMES.get(point.name, point.name),
                )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="lower right", frameon=False)
    return _save(figure, path)


def plot_precision_recall(path: Path, curve: Curve, average_precision: float) -> Path:
    """Precision against recall of boxes at IoU .5."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure("Precision-recall of boxes, IoU 0.5", "recall", "precision")
        axes.plot(curve.x, curve.y, color=BLUE, label=f"mAP50 {average_precision:.3f}")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="upper right", frameon=False)
    return _save(figure, path)


def plot_froc(path: Path, curve: Curve, overlap: float) -> Path:
    """Share of fractures marked against false marks per image, on a logarithmic axis."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(
            f"FROC, mark on the fracture at IoU {overlap:g}", "false marks per image", "fractures marked"
        )
        shown = curve.x > 0
        axes.plot(curve.x[shown], curve.y[shown], color=BLUE, drawstyle="steps-post")
        axes.set_xscale("log")
        axes.set(xlim=(0.01, max(4.0, float(curve.x.max()))), ylim=(-0.02, 1.02))
        axes.set_xticks([0.01, 0.1, 1.0], ["0.01", "0.1", "1"])
    return _save(figure, path)


def plot_calibration(path: Path, groups: Sequence[CalibrationGroup]) -> Path:
    """Observed share of fractures against the stated probability, with Wilson intervals."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure("Calibration, groups of equal count", "stated probability", "share with a fracture")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        seen = [group.seen for group in groups]
        axes.errorbar(
            [group.said for group in groups],
            [share.value for share in seen],
            yerr=[[share.value - share.low for share in seen], [share.high - share.value for share in seen]],
            fmt="o",
            markersize=4,
            color=BLUE,
            ecolor="#9cc3dd",
            capsize=2,
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return _save(figure, path)


def plot_confusion(path: Path, points: Sequence[Confusion]) -> Path:
    """Counts by truth and call, one square per operating point."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIDE_INCHES * 2, SIDE_INCHES * 0.92), layout="constrained")
        for number, point in enumerate(points):
            axes = figure.add_subplot(1, len(points), number + 1)
            counts = [[point.true_positive, point.false_negative], [point.false_positive, point.true_negative]]
            shares = [[count / max(1, sum(row)) for count in row] for row in counts]
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3)
            for row in range(2):
                for column in range(2):
                    text = f"{counts[row][column]}\n{shares[row][column]:.0%} of row"
                    ink = "white" if shares[row][column] > DARK_CELL else "black"
                    axes.text(column, row, text, ha="center", va="center", color=ink)
            axes.set_xticks([0, 1], ["called", "not called"])
            axes.set_yticks([0, 1], ["fracture", "none"])
            axes.set_title(f"{POINT_NAMES.get(point.name, point.name)}, score {point.threshold:.3f}", fontsize=10)
            axes.tick_params(length=0)
    return _save(figure, path)
