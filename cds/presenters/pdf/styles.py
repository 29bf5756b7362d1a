"""Fonts, sizes and colours of the PDF. The fonts are embedded, so that every reader shows the same glyphs."""

from functools import cache
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD, OBLIQUE, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"
PAGE_MARGIN = 17 * mm
FRAME_WIDTH = 210 * mm - 2 * PAGE_MARGIN
"""Width of the text on A4, in points."""
FRAME_HEIGHT = 297 * mm - 21 * mm - 19 * mm

INK = HexColor("#17222d")
MUTED = HexColor("#4a5866")
LINE = HexColor("#cdd5dd")
SOFT = HexColor("#f3f6f9")
ACCENT = HexColor("#0b4f7d")
BAR = HexColor("#4f8ab5")
DANGER = HexColor("#8c1d18")
WARN = HexColor("#8a4300")
DEFINITE = HexColor("#f0e442")
SUSPECTED = HexColor("#7cc7f5")
RAISES = HexColor("#b3541e")
LOWERS = HexColor("#1f6f8b")


@cache
def register_fonts() -> None:
    """Make the embedded family known to the layout engine, once."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD, OBLIQUE, MONO):
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=OBLIQUE, boldItalic=BOLD)
    pdfmetrics.registerFontFamily(MONO, normal=MONO, bold=MONO, italic=MONO, boldItalic=MONO)


def _style(name: str, size: float, **more: object) -> ParagraphStyle:
    values: dict[str, object] = {
        "fontName": REGULAR,
        "bulletFontName": REGULAR,
        "fontSize": size,
        "leading": size * 1.36,
        "textColor": INK,
        "splitLongWords": 1,
        "allowWidows": 0,
        "allowOrphans": 0,
    }
    return ParagraphStyle(name, **(values | more))


TITLE = _style("title", 17, fontName=BOLD, spaceAfter=2)
HEADING = _style("heading", 12, fontName=BOLD, spaceBefore=11, spaceAfter=4)
SUBHEADING = _style("subheading", 9.5, fontName=BOLD, spaceBefore=6, spaceAfter=2)
BODY = _style("body", 8.8, spaceAfter=3)
LEAD = _style("lead", 11, fontName=BOLD, spaceAfter=2)
FIGURE = _style("figure", 10.5, spaceAfter=3)
ITEM = _style("item", 8.8, leftIndent=10, bulletIndent=1, spaceAfter=2)
CHECK = _style("check", 8.8, leftIndent=14, bulletIndent=1, spaceAfter=2)
SMALL = _style("small", 7.6, textColor=MUTED, spaceAfter=2.5)
CAPTION = _style("caption", 7.8, textColor=MUTED, spaceBefore=5, spaceAfter=2)
CELL = _style("cell", 8.2)
CELL_SMALL = _style("cell-small", 7.3)
CELL_HEAD = _style("cell-head", 7.6, textColor=MUTED)
NOTICE = _style("notice", 8.4, fontName=BOLD, spaceAfter=0)
SOURCE = _style("source", 7.6, leftIndent=17, bulletIndent=0, spaceAfter=3)
