"""What was found, what it means and how long healing takes: never more than the report says."""

from collections.abc import Iterator

from cds.presenters.patient_page.reader import Group, Line, Reader
from fusion.facts import FracturePresence
from fusion.results import BoneHealthPathway, Certainty, Severity, Statement, Urgency
from imaging.results import FractureCall

SIDED = frozenset({"L", "R"})
"""Lateralities that have a word on the page."""
ROUGH = frozenset({Certainty.UNVERIFIED, Certainty.WEAK})
NOT_SEEN = "severity.imaging.not_seen"

_UNSTATED: dict[FracturePresence, str] = {
    FracturePresence.NOT_SEEN: "found.not_seen",
    FracturePresence.NOT_JUDGED: "found.not_judged",
    FracturePresence.NO_IMAGE: "found.no_image",
}
_ALSO: dict[FractureCall, str] = {
    FractureCall.DEFINITE: "found.also_seen",
    FractureCall.SUSPECTED: "found.also_suspected",
    FractureCall.NOT_SEEN: "found.also_not_seen",
    FractureCall.CANNOT_JUDGE: "found.also_not_judged",
}


def found(reader: Reader) -> Group:
    """What was found, by the clinician or by the network, and who said it."""
    return Group(lines=tuple(_found(reader)))


def _found(reader: Reader) -> Iterator[Line]:
    facts, presence = reader.facts, reader.facts.presence
    if presence is FracturePresence.STATED:
        site = facts.context.site
        if site is None:
            yield reader.line("found.stated_somewhere")
        else:
            yield reader.line("found.stated", where=reader.say(f"site.{site.value}"))
        if facts.findings is not None:
            yield reader.line(_ALSO[facts.findings.call])
        return
    if presence in _UNSTATED:
        yield reader.line(_UNSTATED[presence], (NOT_SEEN,) if presence is FracturePresence.NOT_SEEN else ())
        if facts.context.clinical_suspicion_high is True:
            yield reader.line("found.more_pictures")
        return
    key = "found.seen" if presence is FracturePresence.SEEN else "found.suspected"
    yield reader.line(key, where=_region(reader))


def _region(reader: Reader) -> str:
    """The body region of the radiograph with its side, as far as either is known."""
    findings = reader.facts.findings
    if findings is None or findings.region is None:
        return reader.say("found.somewhere")
    region = reader.say(f"region.{findings.region.value}")
    side = findings.laterality
    return f"{region}, {reader.localiser.text(f'side.{side}')}" if side in SIDED else region


def meaning(reader: Reader) -> Group:
    """What it means: how pressing, which group, whether bones may be weak."""
    return Group(lines=tuple(_meaning(reader)))


def _meaning(reader: Reader) -> Iterator[Line]:
    facts, severity = reader.facts, reader.result.assessment.severity
    if severity.red_flags and severity.urgency in {Urgency.IMMEDIATE, Urgency.WITHIN_HOURS}:
        yield reader.line("means.wait")
    if not facts.has_fracture:
        if facts.presence is not FracturePresence.NO_IMAGE:
            yield reader.line("means.no_fracture")
        return
    if reader.unconfirmed:
        yield reader.line("means.if_confirmed")
    if reader.delicate:
        if facts.pathological:
            yield reader.line("means.ask_cause")
    elif severity.grade is Severity.UNDETERMINED:
        yield reader.line("means.undetermined")
    elif severity.grade is not Severity.NOT_APPLICABLE:
        yield reader.line("means.groups")
        yield reader.line(f"means.{severity.grade.value}", _cited(severity.reasons))
    yield reader.line("means.treatment")
    if reader.pathway is BoneHealthPathway.FRACTURE_LIAISON:
        yield reader.line("means.weak_bone")
    elif reader.pathway is BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY:
        yield reader.line("means.weak_bone_if")


def _cited(statements: tuple[Statement, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for statement in statements for one in statement.evidence))


def healing(reader: Reader) -> Group | None:
    """How long healing takes; None without a fracture."""
    if not reader.facts.has_fracture:
        return None
    estimate = reader.result.assessment.healing
    if estimate is None:
        return Group(lines=(reader.line("healing.unknown"),))
    key = "healing.range_if" if reader.unconfirmed else "healing.range"
    weeks = reader.localiser.span(estimate.low_weeks, estimate.high_weeks, decimals=0)
    lines = [
        reader.line(key, estimate.baseline.evidence, weeks=weeks),
        reader.line("healing.tenths"),
        reader.line("healing.meaning"),
    ]
    if estimate.baseline.certainty in ROUGH:
        lines.append(reader.line("healing.rough"))
    return Group(lines=tuple(lines))
