"""`CaseResult` to one self-contained HTML page: inline style, PNG as data address, no script, no external load.

The sections stand in the order of need: urgency and red flags, radiograph with findings, what to do, then the
numbers behind it, what was missing, the data, the method and the sources. Text from records and images reaches the
page only through Jinja2's autoescaping.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.presenters import bone_age_view, combination_view, wording
from cds.presenters.citations import Citations, link
from cds.presenters.evidence_view import evidence_anchor
from cds.presenters.figures import healing_bar, overlay, png_data_uri, timeline, what_if_bars
from cds.presenters.image_view import image_facts, rate, reasons_not_judged
from cds.presenters.messages import case_warnings, explain
from cds.presenters.ordering import advice_by_harm, follow_up_by_due_week
from cds.presenters.places import HEAT_WARNING, places
from cds.presenters.record_view import context_view, patient_view, reference_labels
from cds.presenters.risk_view import change_view, osteoporosis_view, probability_views
from cds.presenters.risk_words import CAVEAT
from cds.presenters.translated import translated_page
from cds.presenters.waterfall import from_log_odds
from fusion.results import Advice, Certainty, FollowUp, HealingFactor, HealingWhatIf
from fusion.rulebook import Rulebook
from imaging.results import FractureDetection, ImageFindings, PixelSpacing

_TEMPLATES = Path(__file__).parent / "templates"
ORIGINS: dict[str, str] = {"clinician": "clinician's input", "image": "radiograph", "model": "model"}


def _box_size(detection: FractureDetection, spacing: PixelSpacing | None) -> str:
    return wording.box_size(detection.box_width_mm, detection.box_height_mm, spacing)


def _dose(advice: Advice) -> str:
    return wording.dose(advice.dose_low, advice.dose_high, advice.dose_unit)


def _when(appointment: FollowUp) -> str:
    return wording.capitalised(wording.when_weeks(appointment.earliest_week, appointment.latest_week))


def weeks_apart(row: HealingWhatIf) -> str:
    """How much earlier people without a factor unite, 80 % of the paired differences."""
    if row.weeks_earlier_low is None or row.weeks_earlier_high is None:
        return "none known"
    low, high = wording.weeks(abs(row.weeks_earlier_low)), wording.weeks(row.weeks_earlier_high)
    if row.weeks_earlier_low < 0:
        return f"{low} weeks later to {high} earlier"
    return f"{low} to {high} weeks earlier"


def time_effect(factor: HealingFactor) -> str:
    """What a factor does to the time to union, with its interval."""
    if factor.time_ratio is None:
        return "none known; non-union only"
    text = f"{wording.TIMES} {wording.ratio(factor.time_ratio)}"
    if factor.time_ratio_low is None or factor.time_ratio_high is None:
        return text
    return f"{text} ({wording.ratio(factor.time_ratio_low)} to {wording.ratio(factor.time_ratio_high)})"


@cache
def _environment() -> Environment:
    """The templates with the words they may use."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        action_word=wording.ACTIONS.__getitem__,
        box_size=_box_size,
        call_explanation=wording.CALL_EXPLANATIONS.__getitem__,
        call_word=wording.CALLS.__getitem__,
        capitalised=wording.capitalised,
        certainty_explanation=wording.CERTAINTY_EXPLANATIONS.__getitem__,
        certainty_word=wording.CERTAINTIES.__getitem__,
        dose=_dose,
        feature_name=wording.feature_name,
        from_log_odds=from_log_odds,
        laterality=lambda value: wording.LATERALITIES.get(value, value or ""),
        link=link,
        moment=wording.moment,
        number=wording.number,
        operating_point=lambda name: wording.OPERATING_POINTS.get(name, wording.words(name)),
        outcome_word=lambda name: wording.OUTCOMES.get(name, wording.words(name)),
        percent=wording.percent,
        rate=rate,
        ratio=wording.ratio,
        region_source=lambda name: wording.REGION_SOURCES.get(name, wording.words(name)),
        score=wording.score,
        short_outcome=lambda name: wording.SHORT_OUTCOMES.get(name, wording.words(name)),
        signed=wording.signed,
        severity_word=wording.SEVERITIES.__getitem__,
        time_effect=time_effect,
        urgency_word=wording.URGENCIES.__getitem__,
        weeks=wording.weeks,
        weeks_apart=weeks_apart,
        when=_when,
        words=wording.words,
    )
    return environment


def image_alt(findings: ImageFindings | None) -> str:
    """What a reader who cannot see the radiograph needs to know."""
    if findings is None:
        return "Radiograph, not assessed."
    count = len(findings.detections)
    places = "no box" if count == 0 else "1 box" if count == 1 else f"{count} boxes"
    parts = (
        wording.LATERALITIES.get(findings.laterality or "", ""),
        wording.words(findings.region) if findings.region is not None else "",
    )
    what = " ".join(part for part in parts if part)
    return f"Radiograph{': ' + what if what else ''}. {wording.CALLS[findings.call]}; {places} drawn, see findings."


def _rule_address(evidence_page: str, statement_id: str) -> str | None:
    """Where the rule behind a statement stands on the evidence page; None for a statement that no rule made."""
    rule = Rulebook.load().rule_for(statement_id)
    return None if rule is None else f"{evidence_page}#{rule.anchor}"


def _image_values(result: CaseResult) -> dict[str, object]:
    """What the radiograph section draws; empty of pixels when the result holds none."""
    values: dict[str, object] = {"overlay": overlay(result.findings) if result.findings is not None else None}
    if result.radiograph is not None:
        height, width = result.radiograph.pixels.shape
        values.update(
            image=png_data_uri(result.radiograph.pixels),
            image_alt=image_alt(result.findings),
            image_height=height,
            image_width=width,
        )
    return values


def render_html(result: CaseResult, language: Language = Language.EN, *, evidence_page: str | None = None) -> str:
    """One case as a complete HTML document.

    Args:
        result: The case; any part of it may be missing.
        language: Of the reader. The rules write British English; another language is made of it by phrases, and what
            they do not know stays English, marked as such.
        evidence_page: Address of the evidence page, such as ``/evidence`` where it is served or ``evidence.html`` for a
            file beside the report. None: every entry has its place in the list of sources and the report links to
            nothing outside of itself but publications.

    Returns:
        A document that needs no other file.
    """
    assessment, risk = result.assessment, result.risk
    appointments = follow_up_by_due_week(assessment.follow_up)
    last_week, bars = timeline(appointments)
    horizon = f"{wording.number(risk.major_osteoporotic.horizon_years)} years" if risk is not None else ""
    page = (
        _environment()
        .get_template("report.html")
        .render(
            _image_values(result),
            result=result,
            assessment=assessment,
            findings=result.findings,
            image_facts=image_facts(result.findings, result.context) if result.findings is not None else (),
            reasons_not_judged=reasons_not_judged(result.findings) if result.findings is not None else (),
            places=places(result),
            bone_age_facts=bone_age_view.facts(result),
            bone_age_notes=bone_age_view.notes(result.bone_age) if result.bone_age is not None else (),
            heat_warning=HEAT_WARNING,
            patient=result.patient,
            advice=advice_by_harm(assessment.supplementation),
            certainties=tuple(Certainty),
            cite=Citations(assessment.sources),
            entry_address=lambda name: f"{evidence_page or ''}#{evidence_anchor(name)}",
            evidence_anchor=evidence_anchor,
            rule_address=(lambda name: _rule_address(evidence_page, name)) if evidence_page is not None else None,
            combined=combination_view.questions(result),
            healing_bar=healing_bar(assessment.healing) if assessment.healing is not None else None,
            what_if_bars=what_if_bars(assessment.healing) if assessment.healing is not None else (),
            horizon=horizon,
            intended_use=wording.INTENDED_USE,
            last_week=last_week,
            messages=explain(case_warnings(result)),
            notice=wording.NOTICE,
            origin_words=ORIGINS | (reference_labels(result.patient) if result.patient is not None else {}),
            probabilities=probability_views(risk) if risk is not None else (),
            changes=change_view(risk) if risk is not None else None,
            osteoporosis=osteoporosis_view(risk) if risk is not None else None,
            risk_caveat=CAVEAT,
            record=patient_view(result.patient) if result.patient is not None else None,
            stated=context_view(result.context),
            timeline=tuple(zip(appointments, bars, strict=True)),
        )
    )
    return translated_page(result, page, language)
