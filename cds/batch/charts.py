"""The plots of the screening summary as inline SVG; every number in them also stands in a table beside them."""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_INK, _LINE = "#17222d", "#cdd5dd"
COLOURS = ("#0b4f7d", "#e08a1e", "#7a8794")
"""Blue, orange and grey: told apart with any colour vision, and by the order of the legend."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fracture-cds",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, x_label: str, description: str) -> str:
    """Stacked columns of counts.

    Args:
        labels: One for each column.
        series: Name and counts of each layer, at most as many as `COLOURS`.
        x_label: What the columns are.
        description: What a reader who cannot see the plot is told.

    Returns:
        An ``<svg>`` element with a role and a label.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.6, 2.7), layout="constrained")
        axes = figure.subplots()
        places = range(len(labels))
        below = [0] * len(labels)
        for (name, counts), colour in zip(series, COLOURS, strict=False):
            axes.bar(places, counts, bottom=below, width=0.8, color=colour, label=name)
            below = [low + count for low, count in zip(below, counts, strict=True)]
        for place, total in zip(places, below, strict=True):
            if total:
                axes.annotate(f"{total:,}", (place, total), ha="center", va="bottom", fontsize=9)
        axes.set_xticks(list(places), list(labels))
        axes.set_ylim(0, 1.15 * max([*below, 1]))
        axes.set_xlabel(x_label)
        axes.set_ylabel("patients")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.grid(axis="y", color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="both", length=0)
        if len(series) > 1:
            axes.legend(frameon=False, ncols=len(series), loc="lower right", bbox_to_anchor=(1.0, 1.0))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), description)


def _inline(document: str, description: str) -> str:
    """The element alone, at the width of its place, with what it shows in words."""
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^<svg ([^>]*?)width="[^"]*" height="[^"]*"|^<svg ([^>]*?)height="[^"]*"', r"<svg \1\2", svg)
    svg = re.sub(r'^(<svg [^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)
