"""The calendar: what is planned, in weeks after the injury, with room for the real day."""

from dataclasses import dataclass

from cds.presenters.ordering import follow_up_by_due_week
from cds.presenters.patient_page.reader import Reader
from fusion.results import BoneHealthPathway, FollowUp

LIAISON = ("follow_up.fls.", "follow_up.weak_bone_tests")
"""Rules that hold after a low-energy fracture only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """One row: everything that is due at the same time."""

    when: str
    what: tuple[str, ...]
    evidence: tuple[str, ...]


def appointments(reader: Reader) -> tuple[Appointment, ...]:
    """Rows by time; what is due at the same time stands in one row, each sentence once."""
    rows: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for one in follow_up_by_due_week(reader.result.assessment.follow_up):
        what, evidence = rows.setdefault(_when(reader, one), ({}, {}))
        what[_what(reader, one)] = None
        evidence.update(dict.fromkeys(one.statement.evidence))
    return tuple(
        Appointment(when=reader.localiser.capitalised(when), what=tuple(what), evidence=tuple(evidence))
        for when, (what, evidence) in rows.items()
    )


def _what(reader: Reader, one: FollowUp) -> str:
    rule = one.statement.id
    key = f"calendar.{rule}"
    what = reader.say(key if reader.localiser.has(f"patient.{key}") else "calendar.unnamed")
    conditional = reader.pathway is BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY
    if conditional and rule.startswith(LIAISON):
        return reader.say("calendar.if_simple_fall", what=what.removesuffix(".")) + "."
    return what


def _when(reader: Reader, one: FollowUp) -> str:
    """When it is due, in whole weeks."""
    earliest, latest = (None if week is None else round(week) for week in (one.earliest_week, one.latest_week))
    if earliest is None and latest is None:
        return reader.say("calendar.open")
    if not earliest and latest == 0:
        return reader.say("calendar.now")
    if latest is None:
        return reader.say("calendar.from", week=earliest or 0)
    if not earliest:
        return reader.say("calendar.by", week=latest)
    if earliest == latest:
        return reader.say("calendar.at", week=latest)
    return reader.say("calendar.between", weeks=reader.localiser.span(earliest, latest))
