"""The page for the patient as one self-contained HTML document: no script, no external load, ready to print."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.localiser import Localiser
from cds.presenters.patient_page.advice import not_to_take, to_do
from cds.presenters.patient_page.appointments import appointments
from cds.presenters.patient_page.finding import found, healing, meaning
from cds.presenters.patient_page.reader import Group, Reader
from cds.presenters.patient_page.warning_signs import warning_signs
from fusion.evidence_base import EvidenceBase
from fusion.results import Certainty

_TEMPLATES = Path(__file__).parent / "templates"
_CITED = frozenset({Certainty.VERIFIED, Certainty.WEAK})


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_patient_page(result: CaseResult, language: Language) -> str:
    """One case in plain words.

    Args:
        result: the case; any part of it may be missing.
        language: language of the page.

    Returns:
        A document that needs no other file and names no patient; a line for a clinician's name and signature stands
        at its head, because it must not be handed out unread.
    """
    reader = Reader(result=result, localiser=Localiser(language))
    groups: dict[str, Group | None] = {
        "found": found(reader),
        "means": meaning(reader),
        "healing": healing(reader),
        "do": to_do(reader),
        "not_take": not_to_take(reader),
    }
    rows, signs = appointments(reader), warning_signs(reader)
    shown = [group for group in (*groups.values(), *signs) if group is not None]
    evidence = [one for group in shown for line in group.lines for one in line.evidence]
    evidence += [one for row in rows for one in row.evidence]
    synthetic = result.findings is not None and result.findings.synthetic
    return (
        _environment()
        .get_template("page.html")
        .render(
            language=language.tag,
            say=reader.say,
            groups={name: group for name, group in groups.items() if group is not None and group.lines},
            signs=signs,
            rows=rows,
            conditional=reader.unconfirmed and bool(rows),
            date=reader.localiser.date(result.assessment.created),
            synthetic=synthetic,
            reviewed=reader.localiser.reviewed,
            sources=_citations(result, evidence),
            case_id=result.case_id,
            version=result.engine_version,
        )
    )


def _citations(result: CaseResult, evidence: Iterable[str]) -> tuple[str, ...]:
    """Where the page's own lines come from, each source once; what is not verified is left to the report."""
    cited = {one.id: one for one in result.assessment.sources}
    base = EvidenceBase.load()
    found: list[tuple[str, str | None]] = []
    for name in dict.fromkeys(evidence):
        if name in base:
            if base.certainty([name]) in _CITED:
                found += [(base.sources[key].citation, base.sources[key].identifier) for key in base[name].sources]
        elif name in cited and cited[name].certainty in _CITED:
            found.append((cited[name].citation, cited[name].identifier))
    return tuple(dict.fromkeys(" ".join(part for part in one if part) for one in found))
