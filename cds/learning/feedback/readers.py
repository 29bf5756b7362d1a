"""The feedback of one reader on one case, to that reader's view of it.

Rules
-----
* What was superseded does not count, except as a witness of when the reader first spoke.
* Of several words on one finding the newest stands; two at the same moment that differ are a contradiction.
* ``agree`` makes the machine's box the reader's; ``correct`` replaces it; ``missed`` adds; ``reject`` takes it away.
* All findings rejected and none missed: no fracture. Some rejected and the others not spoken of: not determined.
* An own read counts as independent evidence when it was the reader's first word on the case and the reader still
  holds to its answer; everything said after the machine's read was shown is dependent.
* A box drawn in the own read stays where the reader then merely agreed with the machine's box on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cds.learning.feedback import reasons
from cds.learning.feedback.places import Place, meets, overlap, types_of
from cds.store.feedback import Box, Feedback, FeedbackContent, FeedbackKind
from fusion.context import FractureType

READER_ROLES: Final = frozenset({"clinician", "radiologist", "admin"})
"""Roles whose word on a radiograph counts."""
_ABOUT_FINDINGS: Final = frozenset({FeedbackKind.AGREE, FeedbackKind.CORRECT, FeedbackKind.REJECT})
_READS: Final = _ABOUT_FINDINGS | {FeedbackKind.OWN_READ, FeedbackKind.MISSED}
_SAYS: Final = {"definite": True, "suspected": True, "not_seen": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRead:
    """What the machine had said of the radiograph when readers spoke about it."""

    call: str | None = None
    """``definite``, ``suspected``, ``not_seen`` or ``cannot_judge``; None without a radiograph."""
    boxes: tuple[Box, ...] = ()
    """By index of the finding."""

    @property
    def fracture(self) -> bool | None:
        """Whether it saw one; None where it could not judge."""
        return _SAYS.get(self.call or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderView:
    """What one reader holds of one case."""

    author: str
    role: str
    fracture: bool | None
    """None: the reader did not say, was unsure, or contradicts himself."""
    places: tuple[Place, ...] = ()
    complete: bool = False
    """Whether `places` are all there are by this reader."""
    judged: frozenset[int] = frozenset()
    """Findings that the reader spoke of."""
    types: frozenset[FractureType] = frozenset()
    """Patterns that the reader stated, of a place or of the whole."""
    independent: bool = False
    """The reader gave this answer before the machine's was shown."""
    reasons: tuple[str, ...] = ()
    """Codes of `reasons` for what could not be used."""


def current(feedback: Iterable[Feedback]) -> tuple[Feedback, ...]:
    """What still stands, the oldest first; the order in which it is given does not matter."""
    known = {one.id: one for one in feedback}
    gone = {one.supersedes for one in known.values()}
    return tuple(sorted((one for one in known.values() if one.id not in gone), key=lambda one: (one.created, one.id)))


def views_of(feedback: Iterable[Feedback], machine: MachineRead) -> tuple[tuple[ReaderView, ...], tuple[str, ...]]:
    """The view of every reader who spoke about the radiograph.

    Args:
        feedback: of one case, superseded ones too.
        machine: what the machine had said.

    Returns:
        Views, by author; and codes for what could not be used at all.
    """
    everything = tuple(feedback)
    said = [one for one in current(everything) if one.kind in _READS]
    strange = {reasons.ROLE for one in said if one.role not in READER_ROLES}
    counted = [one for one in said if one.role in READER_ROLES]
    authors = sorted({one.author for one in counted})
    views = tuple(
        _view(
            [one for one in counted if one.author == author],
            [one for one in everything if one.author == author],
            machine,
        )
        for author in authors
    )
    return views, tuple(sorted(strange))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """What a reader said about the machine's read."""

    fracture: bool | None
    places: tuple[Place, ...]
    rejected: tuple[Box, ...]
    judged: frozenset[int]
    whole: bool
    """The answer is about the whole image, not the sum of findings."""
    settled: bool
    """The places are all there are."""
    types: frozenset[FractureType]


def _view(said: Sequence[Feedback], ever: Sequence[Feedback], machine: MachineRead) -> ReaderView:
    faults: set[str] = set()
    read = _newest([one for one in said if one.kind is FeedbackKind.OWN_READ], faults)
    later = [one for one in said if one.kind is not FeedbackKind.OWN_READ]
    judgement = _judgement(later, machine, faults)
    # An own read that came after all judgements is the newer word; at the same moment it was the first one.
    last = read is not None and all(one.created < read.created for one in later)
    fracture, places, complete = _combined(None if read is None else read.content, judgement, faults, read_last=last)
    types = judgement.types | ({read.content.fracture_type} if read and read.content.fracture_type else set())
    newest = max(said, key=lambda one: (one.created, one.id))
    return ReaderView(
        author=newest.author,
        role=min(one.role for one in said if one.created == newest.created),
        fracture=fracture,
        places=tuple(sorted(places, key=lambda one: (one.box, one.drawn))) if fracture else (),
        complete=complete,
        judged=judgement.judged,
        types=frozenset(types | types_of(places)) if fracture else frozenset(),
        independent=fracture is not None and _first_word(ever) is fracture,
        reasons=tuple(sorted(faults)),
    )


def _first_word(ever: Sequence[Feedback]) -> bool | None:
    """The answer of an own read that came before everything else the reader said."""
    spoken = [one for one in ever if one.kind in _READS]
    start = min(one.created for one in spoken)
    reads = [one for one in spoken if one.created == start and one.kind is FeedbackKind.OWN_READ]
    answers = {one.content.fracture for one in reads}
    return answers.pop() if len(answers) == 1 else None


def _judgement(said: Sequence[Feedback], machine: MachineRead, faults: set[str]) -> _Judgement:
    """Agreements, corrections, rejections and missed fractures as one answer."""
    about = [one for one in said if one.kind in _ABOUT_FINDINGS]
    missed = [one for one in said if one.kind is FeedbackKind.MISSED]
    if any(one.finding is not None and one.finding >= len(machine.boxes) for one in about):
        faults.add(reasons.FINDING_UNKNOWN)
    whole = _newest([one for one in about if one.finding is None], faults)
    places = [place for one in missed for place in _drawn(one.content)]
    rejected: list[Box] = []
    judged: set[int] = set()
    left: set[int] = set()
    for number, box in enumerate(machine.boxes):
        # A word on the whole image stands for every finding that nothing as new was said of.
        mine = [one for one in about if one.finding == number and (whole is None or one.created >= whole.created)]
        said_of_it = _newest(mine, faults)
        if not mine:
            left.add(number)
        elif said_of_it is not None:
            judged.add(number)
            rejected += [box] if said_of_it.kind is FeedbackKind.REJECT else []
            places += () if said_of_it.kind is FeedbackKind.REJECT else _held(said_of_it, box)
    said_whole = _of_whole(whole, machine, [machine.boxes[number] for number in sorted(left)])
    places = list(_each_once((*places, *said_whole.places)))
    rejected += said_whole.rejected
    judged |= left if said_whole.settled else set()
    all_judged = len(judged) == len(machine.boxes)
    positive = bool(places) or said_whole.fracture is True
    negative = said_whole.fracture is False or (bool(machine.boxes) and all_judged)
    return _Judgement(
        fracture=True if positive else False if negative else None,
        places=tuple(places),
        rejected=tuple(rejected),
        judged=frozenset(judged),
        whole=said_whole.fracture is False,
        settled=bool(places) and (said_whole.settled or all_judged),
        types=types_of(places) | {one.content.fracture_type for one in about + missed if one.content.fracture_type},
    )


def _of_whole(said: Feedback | None, machine: MachineRead, left: list[Box]) -> _Judgement:
    """A word on the whole image, for the findings that nothing newer was said of."""

    def answer(
        fracture: bool | None, places: Sequence[Place] = (), rejected: Sequence[Box] = (), *, settled: bool = False
    ) -> _Judgement:
        return _Judgement(
            fracture=fracture,
            places=tuple(places),
            rejected=tuple(rejected),
            judged=frozenset(),
            whole=True,
            settled=settled,
            types=frozenset(),
        )

    if said is None:
        return answer(None)
    match said.kind:
        case FeedbackKind.REJECT:
            return answer(False, rejected=left, settled=True)
        case FeedbackKind.CORRECT:
            drawn = _drawn(said.content)
            return answer(True, drawn, settled=bool(drawn))
        case _ if machine.fracture:
            pattern = said.content.fracture_type
            agreed = [Place(box=box, fracture_type=pattern, drawn=False) for box in left]
            return answer(True, agreed, settled=True)
        case _:
            return answer(machine.fracture, settled=machine.fracture is False)


def _combined(
    read: FeedbackContent | None, judgement: _Judgement, faults: set[str], *, read_last: bool
) -> tuple[bool | None, tuple[Place, ...], bool]:
    """The own read and the judgement of the machine's read as one view: fracture, places, whether they are all."""
    own = None if read is None else read.fracture
    if read is None or own is None or (own is False and judgement.fracture is not None and not read_last):
        return judgement.fracture, judgement.places, judgement.settled or judgement.fracture is False
    if own is False:
        return False, (), True
    drawn = _drawn(read)
    if read_last or judgement.fracture is None:
        return True, drawn or judgement.places, bool(drawn) or judgement.settled
    if judgement.fracture is False:
        # Findings taken away one by one leave room for a fracture elsewhere, a word on the whole image does not.
        elsewhere = tuple(one for one in drawn if not any(overlap(one.box, box) > 0 for box in judgement.rejected))
        if judgement.whole:
            return False, (), True
        if not elsewhere:
            faults.add(reasons.SELF_CONTRADICTION)
            return None, (), False
        return True, elsewhere, True
    places = _with_own(drawn, judgement)
    return True, places, bool(drawn) or judgement.settled


def _with_own(drawn: tuple[Place, ...], judgement: _Judgement) -> tuple[Place, ...]:
    """Places of the judgement and those that were drawn before: each once."""
    newly = tuple(one for one in judgement.places if one.drawn)
    kept = [
        one
        for one in drawn
        if not meets(one.box, newly)
        and (meets(one.box, judgement.places) or not any(overlap(one.box, box) > 0 for box in judgement.rejected))
    ]
    agreed = [one for one in judgement.places if not one.drawn and not meets(one.box, kept)]
    return (*newly, *agreed, *kept)


def _each_once(places: Sequence[Place]) -> tuple[Place, ...]:
    """Without the machine's box where the reader drew one on the same place, and without a box said twice."""
    drawn = tuple(dict.fromkeys(one for one in places if one.drawn))
    return (*drawn, *dict.fromkeys(one for one in places if not one.drawn and not meets(one.box, drawn)))


def _drawn(content: FeedbackContent) -> tuple[Place, ...]:
    return tuple(Place(box=box, fracture_type=content.fracture_type, drawn=True) for box in content.boxes)


def _held(said: Feedback, box: Box) -> tuple[Place, ...]:
    """The places of an agreement with a finding, or of its correction."""
    corrected = _drawn(said.content) if said.kind is FeedbackKind.CORRECT else ()
    return corrected or (Place(box=box, fracture_type=said.content.fracture_type, drawn=False),)


def _newest(said: Sequence[Feedback], faults: set[str]) -> Feedback | None:
    """The newest word; None, and a fault, where several of the same moment differ."""
    if not said:
        return None
    last = max(one.created for one in said)
    found = [one for one in said if one.created == last]
    told = {(one.kind, one.content.fracture, one.content.boxes, one.content.fracture_type) for one in found}
    if len(told) > 1:
        faults.add(reasons.SELF_CONTRADICTION)
        return None
    return min(found, key=lambda one: one.id)
