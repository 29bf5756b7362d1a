"""Headings, lists and tables. Everything breaks across pages, rows of tables included, so that nothing is cut off."""

from collections.abc import Iterable, Sequence
from typing import Any

from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer, Table

from cds.presenters.image_view import Fact
from cds.presenters.pdf import styles
from cds.presenters.pdf.translation import marked, said
from cds.presenters.pdf.words import Words, escaped, muted
from fusion.results import Statement

Story = list[Flowable]
_ROOM_BELOW_HEADING = (115.0, 80.0)
"""By level, in points: the heading with the first lines, a bar or the first rows below it."""
_ROOM_BELOW_CAPTION = 60.0
_BESIDE_HEIGHT = 0.75 * styles.FRAME_HEIGHT
"""Content beside a drawing does not break across pages; what is taller goes below."""
_GRID: list[tuple[Any, ...]] = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ("TOPPADDING", (0, 0), (-1, -1), 2.2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6),
    ("LINEBELOW", (0, 0), (-1, -1), 0.4, styles.LINE),
]


class Heading(Paragraph):  # type: ignore[misc]  # the layout engine carries no types
    """A heading that also stands in the outline of the document."""

    def __init__(self, text: str, *, level: int = 0) -> None:
        """Takes plain text and its depth, 0 for a section and 1 for a part of one."""
        shown = said(text)
        super().__init__(escaped(shown), styles.HEADING if level == 0 else styles.SUBHEADING)
        self.outline = (shown, level)


def held_together(story: Story) -> Story:
    """The same story, in which no heading or caption ends a page.

    Room is asked for by height: keeping a heading with the table that follows it would move whole tables and leave
    half pages empty.
    """
    held: Story = []
    for one in story:
        if isinstance(one, Heading):
            held.append(CondPageBreak(_ROOM_BELOW_HEADING[one.outline[1]]))
        elif isinstance(one, Paragraph) and one.style is styles.CAPTION:
            held.append(CondPageBreak(_ROOM_BELOW_CAPTION))
        held.append(one)
    return held


def paragraph(markup: str, style: ParagraphStyle = styles.BODY) -> Paragraph:
    """A paragraph of markup made by `cds.presenters.pdf.words`."""
    return Paragraph(marked(markup, literature=style is styles.SOURCE), style)


def finished(text: str) -> Paragraph:
    """A small paragraph that is in the language of the document already."""
    return Paragraph(escaped(text), styles.SMALL)


def empty(text: str) -> Paragraph:
    """What stands where there is nothing to show."""
    return Paragraph(muted(said(text)), styles.BODY)


def items(markups: Iterable[str], *, boxes: bool = False, style: ParagraphStyle | None = None) -> Story:
    """A list; with boxes to tick where `boxes`."""
    chosen = style or (styles.CHECK if boxes else styles.ITEM)
    bullet = "\N{BALLOT BOX}" if boxes else "\N{BULLET}"
    return [Paragraph(marked(one), chosen, bulletText=bullet) for one in markups]


def statements(words: Words, said: Iterable[Statement], *, boxes: bool = False) -> Story:
    """Statements as a list."""
    return items((words.say(one) for one in said), boxes=boxes)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str | Flowable | None]],
    shares: Sequence[float],
    *,
    style: ParagraphStyle = styles.CELL,
    width: float = styles.FRAME_WIDTH,
) -> Story:
    """A table of markup and drawings, its head repeated on every page.

    Args:
        head: plain text; empty for a table without a head.
        rows: markup, a drawing, or None for an empty cell.
        shares: widths of the columns as parts of their sum.
        style: of the cells.
        width: of the table, in points.
    """
    body = [[Paragraph(marked(one), style) if isinstance(one, str) else (one or "") for one in row] for row in rows]
    if not body:
        return []
    lines = [[Paragraph(escaped(said(one)), styles.CELL_HEAD) for one in head]] if head else []
    columns = [width * share / sum(shares) for share in shares]
    made = Table([*lines, *body], colWidths=columns, repeatRows=len(lines), splitInRow=1, hAlign="LEFT")
    rule = [("LINEBELOW", (0, 0), (-1, 0), 0.8, styles.MUTED)] if head else []
    made.setStyle([*_GRID, *rule])
    return [made, Spacer(1, 4)]


def facts(shown: Iterable[Fact], *, width: float = styles.FRAME_WIDTH) -> Story:
    """Labels with values, and notes below the values."""
    rows = (
        (muted(one.label), escaped(one.value) + (f'<br/><font size="7.2">{muted(one.note)}</font>' if one.note else ""))
        for one in shown
    )
    return table((), rows, (2.8, 5), width=width)


def beside(left: Flowable, right: Story, *, gap: float) -> Story:
    """A drawing with content to its right where both fit on one page, else the content below it."""
    room = styles.FRAME_WIDTH - left.width - gap
    height = sum(one.wrap(room, styles.FRAME_HEIGHT)[1] + one.getSpaceAfter() for one in right)
    if max(height, left.height) > _BESIDE_HEIGHT:
        return [left, *right]
    made = Table([[left, right]], colWidths=[left.width + gap, room], hAlign="LEFT")
    made.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (1, 0), (1, 0), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 0),
        ]
    )
    return [made]


def framed(content: Story, *, line: Any, ground: Any) -> Story:
    """Content on a coloured ground with a strong line on its left, over as many pages as it takes."""
    made = Table([[one] for one in content], colWidths=[styles.FRAME_WIDTH], splitInRow=1, hAlign="LEFT")
    made.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), ground),
            ("LINEBEFORE", (0, 0), (0, -1), 5, line),
            ("LEFTPADDING", (0, 0), (-1, -1), 11),
            ("RIGHTPADDING", (0, 0), (-1, -1), 8),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ("TOPPADDING", (0, 0), (-1, 0), 6),
            ("BOTTOMPADDING", (0, -1), (-1, -1), 6),
        ]
    )
    return [made, Spacer(1, 5)]
