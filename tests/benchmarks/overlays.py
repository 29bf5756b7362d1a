"""The geometry of real fractures, drawn on their radiographs for a person to check.

    python -m tests.benchmarks.overlays --data DATA [--count 20] [--out out/geometry-overlays]

Takes the first radiographs of the data set's validation split that show a fracture and on which the default engine
tells one, in the order of their names. Writes one picture each, of the detection with the best score, and `index.html`
with all of them and their figures. Radiographs never leave the folder; the page loads nothing from elsewhere.
"""

import argparse
import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from imaging.engine import FractureEngine
from imaging.geometry.overlay import figures, sheet
from imaging.reader import read_radiograph
from imaging.results import BoxPx, FractureDetection, FractureGeometry
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.warnings import WARNINGS

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:1400px;margin:2rem auto;padding:0 1rem;color:#111}"
    "figure{margin:0 0 3rem}img{max-width:100%;height:auto;background:#000}"
    "table{border-collapse:collapse;margin:0 0 2rem}"
    "td,th{border:1px solid #bbb;padding:.25rem .6rem;text-align:left;vertical-align:top}"
    ".key span{display:inline-block;width:1.2rem;height:.5rem;margin:0 .3rem 0 1rem;border:1px solid #555}"
)
KEY = (
    ("#ffdc00", "the detection's box"),
    ("#ffffff", "boxes that people drew around fractures"),
    ("#50dc50", "traced edges of the bone"),
    ("#00c8ff", "axes of the fragments"),
    ("#ff3c3c", "fracture line"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One radiograph of the page."""

    image_id: str
    detection: FractureDetection
    geometry: FractureGeometry
    pixels: NDArray[np.float32]
    """[H, W] in 0..1."""
    labelled: tuple[BoxPx, ...]
    """Where people marked fractures."""

    @property
    def measured(self) -> bool:
        """Whether the fragments have axes, so that figures were given."""
        return bool(self.geometry.axes)

    @property
    def title(self) -> str:
        """Name, call and score."""
        return f"{self.image_id}: {self.detection.call.value}, score {self.detection.score:.3f}"

    def picture(self) -> NDArray[np.uint8]:
        """The radiograph with what was measured on it, BGR."""
        return sheet(self.pixels, self.detection.box, self.geometry, [self.title, *words(self.geometry)], self.labelled)


def told(engine: FractureEngine, samples: Iterable[LabelledRadiograph], count: int) -> Iterator[Shown]:
    """The first `count` radiographs on which the engine tells a fracture."""
    shown = 0
    for sample in samples:
        if shown == count:
            return
        radiograph = read_radiograph(sample.path)
        best = next(iter(engine.analyse(radiograph).detections), None)
        if best is None or best.geometry is None:
            continue
        shown += 1
        height, width = radiograph.pixels.shape
        yield Shown(
            image_id=sample.image_id,
            detection=best,
            geometry=best.geometry,
            pixels=radiograph.pixels,
            labelled=tuple(
                BoxPx(x1=x1 * width, y1=y1 * height, x2=x2 * width, y2=y2 * height) for x1, y1, x2, y2 in sample.boxes
            ),
        )


def words(geometry: FractureGeometry) -> list[str]:
    """Figures with their 90 % intervals, then each reason why others are missing."""
    reasons: dict[str, list[str]] = {}
    for quantity, reason in geometry.not_measured:
        reasons.setdefault(reason, []).append(quantity.replace("_", " "))
    missing = [f"not measured: {', '.join(names)}. {WARNINGS[reason]}" for reason, names in reasons.items()]
    return [*figures(geometry), *missing]


def page(shown: Sequence[Shown], heading: str) -> str:
    """The pictures of the same folder, ``NAME.png``, with a table of what was measured."""
    rows = "".join(
        f'<tr><td><a href="#{name}">{name}</a></td><td>{one.detection.call.value}</td>'
        f"<td>{one.detection.score:.3f}</td>"
        f"<td>{'<br>'.join(map(html.escape, words(one.geometry)))}</td></tr>"
        for one in shown
        for name in [html.escape(one.image_id)]
    )
    pictures = "".join(
        f'<figure id="{html.escape(one.image_id)}"><figcaption>{html.escape(one.title)}</figcaption>'
        f'<img src="{html.escape(file_name(one))}" alt="{html.escape("; ".join(words(one.geometry)))}"></figure>'
        for one in shown
    )
    key = "".join(f'<span style="background:{colour}"></span>{name}' for colour, name in KEY)
    measured = sum(one.measured for one in shown)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(heading)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(heading)}</h1>"
        f"<p>{len(shown)} radiographs with a told detection, {measured} of them measured. In brackets: 90 % intervals. "
        "To check by eye: do the axes lie on the broken bone, and the edges on its cortex?</p>"
        f'<p class="key">{key}</p>'
        "<table><tr><th>radiograph</th><th>call</th><th>score</th><th>figures</th></tr>"
        f"{rows}</table>{pictures}</html>\n"
    )


def file_name(one: Shown) -> str:
    """Of its picture."""
    return f"{Path(one.image_id).stem}.png"


def main() -> None:
    """Draw, write the page, and say how many were measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled data set with a validation split")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("out/geometry-overlays"))
    arguments = parser.parse_args()
    samples = sorted(read_collection(arguments.data, "val").samples, key=lambda sample: sample.image_id)
    fractured = [sample for sample in samples if sample.fractured]
    arguments.out.mkdir(parents=True, exist_ok=True)
    shown = []
    found = told(FractureEngine.load(), fractured, arguments.count)
    for one in track(found, total=min(arguments.count, len(fractured)), description="drawing", transient=True):
        cv2.imwrite(str(arguments.out / file_name(one)), one.picture())
        shown.append(one)
    index = arguments.out / "index.html"
    index.write_text(page(shown, f"Geometry of {len(shown)} fractures"), encoding="utf-8")
    measured = sum(one.measured for one in shown)
    Console().print(f"{len(shown)} radiographs, {measured} measured: {index}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
