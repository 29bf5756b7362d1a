"""Drawings: the radiograph with its boxes, bars of intervals, bars of time and waterfalls.

Each is marked in the page with its text alternative (``/Alt``), as far as a document without a structure tree allows.
"""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable

from cds.presenters.figures import IntervalBar, Overlay, TimelineBar
from cds.presenters.pdf import styles
from cds.presenters.pdf.translation import language_tag, said
from cds.presenters.waterfall import Waterfall

MAX_IMAGE_SIDE_PX = 1100
"""Of the radiograph as embedded; printed at 95 mm that is about 290 dots an inch."""
MAX_PICTURE_SIDE_PX = 560
"""Of a picture of one place; they are printed four in a row."""
JPEG_QUALITY = 88
_HALO = 2.6
_BOX = 1.4
_DISC = 5.4


class Drawing(Flowable):  # type: ignore[misc]  # the layout engine carries no types
    """A drawing with a text alternative, scaled down to the width it is given."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        """Takes the size in points and the alternative."""
        super().__init__()
        self.width, self.height, self.alt = width, height, alt
        self.hAlign = "LEFT"
        self.spaceAfter = 4

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """The size in points."""
        return self.width, self.height

    def draw(self) -> None:
        """Draws between the marks that carry the alternative."""
        text = (b"\xfe\xff" + said(self.alt).encode("utf-16-be", "replace")).hex()
        self.canv._code.append(f"/Span <</Lang ({language_tag()}) /Alt <{text}>>> BDC")
        self.canv.saveState()
        self.paint()
        self.canv.restoreState()
        self.canv._code.append("EMC")

    def paint(self) -> None:
        """Draws, from the lower left corner."""
        raise NotImplementedError


class Radiograph(Drawing):
    """The radiograph with its numbered boxes: solid for definite, dotted for suspected."""

    def __init__(
        self, pixels: NDArray[np.float32], overlay: Overlay | None, alt: str, *, width: float, height: float
    ) -> None:
        """Takes pixels [H, W], 0..1, and the room that the drawing may fill, in points."""
        rows, columns = pixels.shape
        scale = min(width / columns, height / rows)
        super().__init__(columns * scale, rows * scale, alt)
        grey = Image.fromarray((np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))
        grey.thumbnail((MAX_IMAGE_SIDE_PX, MAX_IMAGE_SIDE_PX), Image.Resampling.LANCZOS)
        self._image, self._overlay = grey, overlay

    def paint(self) -> None:
        """Pixels first, then every box on a dark halo, then the numbers."""
        self.canv.drawImage(ImageReader(self._image), 0, 0, self.width, self.height)
        if self._overlay is None:
            return
        scale = self.width / self._overlay.width
        for mark in self._overlay.marks:
            box = (
                mark.x * scale,
                self.height - (mark.y + mark.height) * scale,
                mark.width * scale,
                mark.height * scale,
            )
            self.canv.setDash()
            self.canv.setStrokeColorRGB(0, 0, 0, alpha=0.55)
            self.canv.setLineWidth(_HALO)
            self.canv.rect(*box, fill=0)
            self.canv.setStrokeColor(styles.DEFINITE if mark.definite else styles.SUSPECTED)
            self.canv.setStrokeAlpha(1)
            self.canv.setLineWidth(_BOX)
            if not mark.definite:
                self.canv.setLineCap(1)
                self.canv.setDash([0.8, 2.6])
            self.canv.rect(*box, fill=0)
        self.canv.setDash()
        for mark in self._overlay.marks:
            x, y = mark.label_x * scale, self.height - mark.label_y * scale
            self.canv.setStrokeColorRGB(0, 0, 0)
            self.canv.setLineWidth(0.5)
            self.canv.setFillColor(styles.DEFINITE if mark.definite else styles.SUSPECTED)
            self.canv.circle(x, y, _DISC, fill=1)
            self.canv.setFillColorRGB(0, 0, 0)
            self.canv.setFont(styles.BOLD, 7)
            self.canv.drawCentredString(x, y - 2.5, str(mark.number))


class Picture(Drawing):
    """A PNG of a place, from the data address that the HTML report uses."""

    def __init__(self, address: str, alt: str, *, width: float, height: float) -> None:
        """Takes the address and the room that the picture may fill, in points."""
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
        picture.thumbnail((MAX_PICTURE_SIDE_PX, MAX_PICTURE_SIDE_PX), Image.Resampling.LANCZOS)
        self._jpeg = io.BytesIO()  # a tenth of the bytes; the radiograph itself stays lossless
        picture.save(self._jpeg, format="JPEG", quality=JPEG_QUALITY)
        columns, rows = picture.size
        scale = min(width / columns, height / rows)
        super().__init__(columns * scale, rows * scale, alt)

    def paint(self) -> None:
        """The picture alone."""
        self.canv.drawImage(ImageReader(self._jpeg), 0, 0, self.width, self.height)


class Interval(Drawing):
    """An interval with its middle on an axis that starts at zero."""

    def __init__(self, bar: IntervalBar, alt: str, *, units: float, width: float) -> None:
        """Takes the bar, the width of its own drawing in its units, and the width wanted, in points."""
        super().__init__(width, 36, alt)
        self._bar, self._scale = bar, width / units

    def paint(self) -> None:
        """Grid and ticks, the bar, its middle."""
        for tick in self._bar.ticks:
            x = tick.x * self._scale
            self.canv.setStrokeColor(styles.LINE)
            self.canv.setLineWidth(0.6)
            self.canv.line(x, 10, x, 33)
            self.canv.setFillColor(styles.MUTED)
            self.canv.setFont(styles.REGULAR, 6.4)
            self.canv.drawCentredString(x, 2.5, said(tick.label))
        low, high = self._bar.low_x * self._scale, self._bar.high_x * self._scale
        self.canv.setFillColor(styles.BAR)
        self.canv.roundRect(low, 14, max(high - low, 0.8), 14, 2, stroke=0, fill=1)
        self.canv.setStrokeColor(styles.INK)
        self.canv.setLineWidth(1.8)
        self.canv.line(self._bar.middle_x * self._scale, 11.5, self._bar.middle_x * self._scale, 31)


class TimeBar(Drawing):
    """When an appointment is due, on the common axis of weeks."""

    def __init__(self, bar: TimelineBar, alt: str, *, width: float) -> None:
        """Takes the bar on 0..100 and the width wanted, in points."""
        super().__init__(width, 11, alt)
        self._bar = bar

    def paint(self) -> None:
        """The axis and the bar; paler where it has no end."""
        self.canv.setStrokeColor(styles.LINE)
        self.canv.line(0, 5.5, self.width, 5.5)
        self.canv.setFillColor(styles.BAR, alpha=0.45 if self._bar.open_ended else 1)
        self.canv.setStrokeColor(styles.ACCENT)
        self.canv.setLineWidth(0.5)
        share = self.width / 100
        room = min(self._bar.width, 100 - self._bar.x)
        self.canv.rect(self._bar.x * share, 2, room * share, 7, stroke=int(self._bar.open_ended), fill=1)


class Steps(Drawing):
    """One probability step by step, in log-odds."""

    def __init__(self, waterfall: Waterfall, *, width: float) -> None:
        """Takes the laid-out steps and the width wanted, in points."""
        self._scale = width / waterfall.width
        super().__init__(width, waterfall.height * self._scale, f"{waterfall.title}. {waterfall.description}")
        self._steps = waterfall

    def paint(self) -> None:
        """Grid, then steps from the top, then the numbers that the drawing passes."""
        self.canv.scale(self._scale, self._scale)
        top = self._steps.height
        for tick in self._steps.ticks:
            self.canv.setStrokeColor(styles.LINE)
            self.canv.setLineWidth(0.8)
            self.canv.line(tick.x, 20, tick.x, top - 16)
            self._label(tick.x, top - 11, tick.label, size=10, middle=True)
            self._label(tick.x, 6, tick.label, size=10, middle=True)
        for step in self._steps.steps:
            self._label(8, top - step.y - 12, step.label)
            self._label(self._steps.width - 8, top - step.y - 12, step.effect, right=True)
            corners = [tuple(map(float, one.split(","))) for one in step.points.split()]
            colour = styles.RAISES if step.raises else styles.LOWERS
            outline = self.canv.beginPath()
            outline.moveTo(corners[0][0], top - corners[0][1])
            for x, y in corners[1:]:
                outline.lineTo(x, top - y)
            outline.close()
            self.canv.setStrokeColor(colour)
            self.canv.setLineWidth(1.4)
            # What was added to the model is hollow, so that it is told apart without colour.
            self.canv.setFillColor(colour if step.kind == "model" else "white")
            self.canv.drawPath(outline, fill=1, stroke=int(step.kind != "model"))
        for mark in self._steps.marks:
            self._label(8, top - mark.y - 12, mark.label, font=styles.BOLD)
            diamond = self.canv.beginPath()
            diamond.moveTo(mark.x, top - mark.y - 16)
            for x, y in ((6, 23), (0, 30), (-6, 23)):
                diamond.lineTo(mark.x + x, top - mark.y - y)
            diamond.close()
            self.canv.setFillColor(styles.INK)
            self.canv.drawPath(diamond, fill=1, stroke=0)

    def _label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12.5,
        font: str = styles.REGULAR,
        middle: bool = False,
        right: bool = False,
    ) -> None:
        self.canv.setFillColor(styles.MUTED if middle else styles.INK)
        self.canv.setFont(font, size)
        draw = self.canv.drawCentredString if middle else self.canv.drawRightString if right else self.canv.drawString
        draw(x, y, said(text))
