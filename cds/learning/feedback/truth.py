"""The views of all readers of one case, or an adjudication, to one truth. What is not said stays undetermined.

Rules
-----
* An adjudication is the last word, the newest one where there are several. What it leaves open (the place, the
  pattern) is taken from the readers on its side, where these agree.
* Else all readers who say whether there is a fracture have to say the same; one reader is enough.
* Places: readers who name all places have to name the same ones (`places.paired`); who names only some, or rejects one,
  must not contradict them. Where nobody names all, the places are known once every finding was judged by somebody.
* Patterns: two that differ on one place are a disagreement; the fracture itself is not in doubt then.

The answer does not depend on the order in which feedback is given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cds.learning.feedback import reasons
from cds.learning.feedback.places import Place, joined, meets, paired, types_of
from cds.learning.feedback.readers import READER_ROLES, MachineRead, ReaderView, current, views_of
from cds.store.feedback import Feedback, FeedbackContent, FeedbackKind
from fusion.context import FractureType

RULES_VERSION: Final = "1"
"""Changes when the same feedback could give another truth."""


class Agreement(StrEnum):
    """How the answer came about."""

    NONE = "none"
    """Nobody said whether there is a fracture."""
    ONE_READER = "one_reader"
    READERS_AGREE = "readers_agree"
    DISAGREE = "disagree"
    ADJUDICATED = "adjudicated"


class Dispute(StrEnum):
    """What readers disagree on."""

    FRACTURE = "fracture"
    PLACE = "place"
    TYPE = "type"
    ADJUDICATION = "adjudication"
    """Two adjudications of the same moment that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTruth:
    """What is held to be true of one radiograph, and by whom."""

    fracture: bool | None
    """None: not determined."""
    places: tuple[Place, ...]
    """Where; empty without a fracture, and where `places_known` is False."""
    places_known: bool
    """Whether `places` are all there are."""
    fracture_type: FractureType | None
    """The one pattern that was stated; None where there is none, or several places have different ones."""
    agreement: Agreement
    disputes: tuple[Dispute, ...]
    """What is open; settled by an adjudication."""
    adjudicated_by: str | None
    """Role of who settled it."""
    readers: tuple[ReaderView, ...]
    reasons: tuple[str, ...]
    """Codes of `reasons`."""

    @property
    def needs_adjudication(self) -> bool:
        """Whether somebody has to settle it."""
        return bool(self.disputes)

    @property
    def supporters(self) -> tuple[ReaderView, ...]:
        """Readers who gave the answer that is held to be true."""
        return tuple(one for one in self.readers if self.fracture is not None and one.fracture is self.fracture)

    @property
    def independent_readers(self) -> int:
        """How many of them gave it before they saw the machine's."""
        return sum(one.independent for one in self.supporters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """The places of several readers as one answer."""

    places: tuple[Place, ...] = ()
    known: bool = False
    types: frozenset[FractureType] = frozenset()
    disputes: tuple[Dispute, ...] = ()


def truth_of(feedback: Iterable[Feedback], machine: MachineRead) -> CaseTruth:
    """One truth from the feedback of one case.

    Args:
        feedback: all of it, superseded ones too, in any order; outcomes are passed over.
        machine: what the machine had said, for feedback that speaks of its findings.
    """
    everything = tuple(feedback)
    views, strange = views_of(everything, machine)
    rulings = [one for one in current(everything) if one.kind is FeedbackKind.ADJUDICATION]
    rulings = [one for one in rulings if one.role in READER_ROLES]
    newest = [one for one in rulings if one.created == max(each.created for each in rulings)]
    codes = {*strange, *(code for view in views for code in view.reasons)}
    if newest and len({_ruling(one.content) for one in newest}) == 1:
        return _adjudicated(newest[0].content, min(one.role for one in newest), views, machine, codes)
    found = _by_readers(views, machine, codes)
    if newest:
        return _undetermined(views, codes, (Dispute.ADJUDICATION,))
    return found


def _ruling(content: FeedbackContent) -> tuple[object, ...]:
    return content.fracture, tuple(sorted(content.boxes)), content.fracture_type


def _adjudicated(
    said: FeedbackContent, role: str, views: tuple[ReaderView, ...], machine: MachineRead, codes: set[str]
) -> CaseTruth:
    fracture = said.fracture
    merged = _Merged(known=True)
    if fracture:
        drawn = tuple(Place(box=box, fracture_type=said.fracture_type, drawn=True) for box in sorted(said.boxes))
        side = [view for view in views if view.fracture]
        merged = _Merged(places=drawn, known=True) if drawn else _merged(side, machine)
        types = frozenset({said.fracture_type}) if said.fracture_type else merged.types or _agreed_types(side)
        merged = _Merged(places=merged.places, known=merged.known, types=types)
        codes |= set() if merged.known else {reasons.PLACE_UNKNOWN}
    return _truth(fracture, merged, Agreement.ADJUDICATED, views, codes, adjudicated_by=role)


def _by_readers(views: tuple[ReaderView, ...], machine: MachineRead, codes: set[str]) -> CaseTruth:
    answers = {view.fracture for view in views if view.fracture is not None}
    if len(answers) > 1:
        return _undetermined(views, codes, (Dispute.FRACTURE,))
    if not answers:
        return _undetermined(views, codes | {reasons.UNDETERMINED if views else reasons.NOBODY}, ())
    fracture = answers.pop()
    supporters = [view for view in views if view.fracture is fracture]
    merged = _merged(supporters, machine) if fracture else _Merged(known=True)
    codes |= {reasons.DISPUTED} if merged.disputes else set()
    codes |= set() if merged.known else {reasons.PLACE_UNKNOWN}
    agreement = Agreement.READERS_AGREE if len(supporters) > 1 else Agreement.ONE_READER
    if merged.disputes:
        agreement = Agreement.DISAGREE
    return _truth(fracture, merged, agreement, views, codes)


def _undetermined(views: tuple[ReaderView, ...], codes: set[str], disputes: tuple[Dispute, ...]) -> CaseTruth:
    codes = codes | ({reasons.DISPUTED} if disputes else set())
    agreement = Agreement.DISAGREE if disputes else Agreement.NONE
    return _truth(None, _Merged(disputes=disputes), agreement, views, codes)


def _truth(
    fracture: bool | None,
    merged: _Merged,
    agreement: Agreement,
    views: tuple[ReaderView, ...],
    codes: set[str],
    *,
    adjudicated_by: str | None = None,
) -> CaseTruth:
    return CaseTruth(
        fracture=fracture,
        places=merged.places if merged.known else (),
        places_known=merged.known,
        fracture_type=next(iter(merged.types)) if len(merged.types) == 1 else None,
        agreement=agreement,
        disputes=merged.disputes,
        adjudicated_by=adjudicated_by,
        readers=views,
        reasons=tuple(sorted(codes)),
    )


def _merged(views: Sequence[ReaderView], machine: MachineRead) -> _Merged:
    """Places of readers who all say that there is a fracture."""
    whole = [view for view in views if view.complete and view.places]
    parts = [view for view in views if not view.complete and view.places]
    groups = _groups([view.places for view in whole])
    if groups is None or not _fit(parts, groups, views, machine):
        return _Merged(disputes=(Dispute.PLACE,))
    if not whole:
        judged = frozenset().union(*(view.judged for view in views))
        if not parts or judged != frozenset(range(len(machine.boxes))):
            types = _agreed_types(views)
            return _Merged(types=types, disputes=_type_dispute(views) if not types else ())
        groups = _loose_groups(parts)
    for view in parts if whole else ():
        pairs = paired([joined(group) for group in groups], view.places) or ()
        for here, there in pairs:
            groups[here].append(view.places[there])
    split = any(len(types_of(group)) > 1 for group in groups)
    places = tuple(sorted((joined(group) for group in groups), key=lambda one: one.box))
    types = types_of(places) or (frozenset() if split else _agreed_types(views))
    return _Merged(
        places=places,
        known=True,
        types=frozenset() if split else types,
        disputes=(Dispute.TYPE,) if split else (),
    )


def _groups(sets: Sequence[tuple[Place, ...]]) -> list[list[Place]] | None:
    """Places that readers mean alike, one group a place; None where they do not name the same ones."""
    if not sets:
        return []
    first, *rest = sorted(sets, key=lambda places: [(one.box, one.drawn, str(one.fracture_type)) for one in places])
    groups = [[one] for one in first]
    for places in rest:
        pairs = paired(first, places)
        if pairs is None or len(places) != len(first):
            return None
        for here, there in pairs:
            groups[here].append(places[there])
    return groups


def _loose_groups(parts: Sequence[ReaderView]) -> list[list[Place]]:
    """Places of readers who each name some, gathered: boxes of one place together."""
    groups: list[list[Place]] = []
    for place in sorted((one for view in parts for one in view.places), key=lambda one: (one.box, not one.drawn)):
        group = next((each for each in groups if meets(place.box, each)), None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return groups


def _fit(
    parts: Sequence[ReaderView], groups: list[list[Place]], views: Sequence[ReaderView], machine: MachineRead
) -> bool:
    """Whether readers who name some places, or reject one, leave the others' places standing."""
    named = [joined(group) for group in groups]
    if groups and any(paired(named, view.places) is None for view in parts):
        return False
    for view in views:
        rejected = [
            machine.boxes[number] for number in sorted(view.judged) if not meets(machine.boxes[number], view.places)
        ]
        others = [place for other in views if other is not view for place in other.places]
        if any(meets(box, others) and not _elsewhere(box, others, view) for box in rejected):
            return False
    return True


def _elsewhere(box: tuple[float, float, float, float], others: Sequence[Place], view: ReaderView) -> bool:
    """Whether all the others' places on a rejected box are places that this reader names too."""
    return all(meets(one.box, view.places) for one in others if meets(box, [one]))


def _agreed_types(views: Sequence[ReaderView]) -> frozenset[FractureType]:
    """The patterns that every reader who states some has in common."""
    stated = [view.types for view in views if view.types]
    return frozenset.intersection(*stated) if stated else frozenset()


def _type_dispute(views: Sequence[ReaderView]) -> tuple[Dispute, ...]:
    return (Dispute.TYPE,) if sum(bool(view.types) for view in views) > 1 else ()
