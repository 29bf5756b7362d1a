"""The whole PDF: A4 pages with running lines, an outline, metadata without patient data, equal bytes each time."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import TimeStamp
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.localiser import Localiser
from cds.localisation.statements import translator
from cds.presenters import wording
from cds.presenters.html import ORIGINS
from cds.presenters.pdf import care, ending, numbers, overview, styles
from cds.presenters.pdf.blocks import Heading, Story, finished, held_together
from cds.presenters.pdf.translation import said, written_in
from cds.presenters.pdf.words import Words
from cds.presenters.places import Place, places
from cds.presenters.record_view import reference_labels
from cds.presenters.translated import TranslatedReport, notices

_TOP, _BOTTOM = 21 * mm, 19 * mm


def render_pdf(result: CaseResult, language: Language = Language.EN) -> bytes:
    """One case as a PDF for the clinician.

    Args:
        result: the case; any part of it may be missing.
        language: of the reader. What the phrases do not know stays English; the first page says how much that is, and
            that no clinician reviewed the translation.

    Returns:
        The file. Equal cases give equal bytes; the date in its metadata is that of the assessment. Its metadata hold no
        patient data, the pages do.
    """
    styles.register_fonts()
    localiser, translation, shown = Localiser(language), translator(language), places(result)
    report = None if translation is None else TranslatedReport(translation, result)
    notes: tuple[str, ...] = ()
    with written_in(report, language):
        if translation is not None and report is not None:
            # Once without pages: only a whole story knows what stayed English.
            _story(result, shown, ())
            notes = notices(report, translation)
        # Twice: only a finished document knows how many pages it has.
        pages = _build(result, localiser, shown, notes, pages=None)[1]
        return _build(result, localiser, shown, notes, pages=pages)[0]


def _build(
    result: CaseResult, localiser: Localiser, shown: tuple[Place, ...], notes: tuple[str, ...], *, pages: int | None
) -> tuple[bytes, int]:
    buffer = io.BytesIO()
    document = _Document(buffer, result, localiser, pages)
    document.build(held_together(_story(result, shown, notes)), canvasmaker=document.canvas_maker)
    return buffer.getvalue(), document.page


def _story(result: CaseResult, shown: tuple[Place, ...], notes: tuple[str, ...]) -> Story:
    patient = result.patient
    origins = ORIGINS | (reference_labels(patient) if patient is not None else {})
    words = Words(result.assessment.sources, origins)
    story: Story = [finished(one) for one in notes]
    story += overview.overview(result, words)
    story += overview.radiograph(result)
    story += overview.findings(result, words)
    story += overview.marked_places(shown)
    story += care.healing(result, words)
    story += care.follow_up(result, words)
    story += care.skeletal_age(result, words)
    story += care.safety(result, words)
    story += numbers.fragility(result, words)
    story += numbers.combined(result, words)
    story += numbers.risk(result, words)
    story += ending.limits(result, words)
    story += ending.further(result, words)
    story += ending.record(result)
    story += ending.method(result)
    story += ending.sources(result)
    return story


class _Document(BaseDocTemplate):  # type: ignore[misc]  # the layout engine carries no types
    """Pages with the same running lines, and an outline of the headings."""

    def __init__(self, target: io.BytesIO, result: CaseResult, localiser: Localiser, pages: int | None) -> None:
        super().__init__(
            target,
            pagesize=A4,
            title=f"{localiser.text('pdf.title')}, {localiser.text('pdf.case', case=result.case_id)}",
            author=f"fracture-cds {result.engine_version}",
            subject=said(wording.NOTICE),
            creator="fracture-cds",
            lang=localiser.language.tag,
            displayDocTitle=1,
            invariant=1,
        )
        self._result, self._localiser, self._pages = result, localiser, pages
        self._headings = 0
        frame = Frame(
            styles.PAGE_MARGIN,
            _BOTTOM,
            styles.FRAME_WIDTH,
            styles.FRAME_HEIGHT,
            leftPadding=0,
            rightPadding=0,
            topPadding=0,
            bottomPadding=0,
        )
        self.addPageTemplates(PageTemplate(frames=[frame], onPage=self._running_lines))

    @property
    def canvas_maker(self) -> Callable[..., Canvas]:
        """Makes the canvas, dated with the assessment instead of the engine's fixed date."""
        stamp = _stamp(self._result.assessment.created)

        def make(*args: object, **options: object) -> Canvas:
            canvas = Canvas(*args, **options)
            canvas._doc._timeStamp = stamp
            return canvas

        return make

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802  # a name of the layout engine
        """Puts headings into the outline; a heading two steps deeper than the last would be refused."""
        if not isinstance(flowable, Heading):
            return
        text, level = flowable.outline
        self._headings += 1
        key = f"heading-{self._headings}"
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(text, key, level=level, closed=True)

    def _running_lines(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        """The notice on top; case, time and page number at the foot."""
        say, result = self._localiser.text, self._result
        canvas.saveState()
        left, right = styles.PAGE_MARGIN, A4[0] - styles.PAGE_MARGIN
        canvas.setFillColor(styles.INK)
        canvas.setFont(styles.BOLD, 7.6)
        canvas.drawString(left, A4[1] - 13 * mm, said(wording.NOTICE))
        canvas.setStrokeColor(styles.WARN)
        canvas.setLineWidth(0.8)
        canvas.line(left, A4[1] - 15.5 * mm, right, A4[1] - 15.5 * mm)
        canvas.setStrokeColor(styles.LINE)
        canvas.line(left, 14.5 * mm, right, 14.5 * mm)
        canvas.setFillColor(styles.MUTED)
        canvas.setFont(styles.REGULAR, 7.2)
        created = self._localiser.moment(result.assessment.created)
        case = say("pdf.case", case=result.case_id)
        canvas.drawString(left, 10.5 * mm, f"{say('pdf.title')}, {case}, {created}")
        page = say("pdf.page", page=document.page, pages=self._pages or document.page)
        canvas.drawRightString(right, 10.5 * mm, page)
        canvas.restoreState()


def _stamp(created: datetime) -> TimeStamp:
    """The time of the assessment as the engine's own stamp."""
    moment = created.astimezone(UTC)
    stamp = TimeStamp(invariant=1)
    stamp.t, stamp.lt = moment.timestamp(), moment.timetuple()
    stamp.YMDhms = tuple(moment.timetuple())[:6]
    return stamp
