"""What a clinician says about a case on the screen, into the store; and whether an own read agrees with the machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from cds.errors import InputError
from cds.learning.feedback.places import SAME_PLACE, overlap
from cds.presenters import wording
from cds.store.feedback import Box, Feedback, FeedbackContent, FeedbackKind, from_json
from cds.store.opening import Store

JUDGEMENTS = (FeedbackKind.AGREE, FeedbackKind.CORRECT, FeedbackKind.REJECT, FeedbackKind.MISSED)
READS = {"yes": True, "no": False, "unsure": None}


def keep_judgement(store: Store, case_id: str, said: Mapping[str, Any], *, author: str, role: str) -> None:
    """Keep agree, correct, reject or missed.

    Args:
        store: where.
        case_id: of which case.
        said: ``kind``, ``finding``, ``boxes``, ``type``, ``supersedes``, as the browser sends them.
        author: who says it.
        role: in which role.

    Raises:
        InputError: it cannot be read.
        StoreError: it is not kept.
    """
    kind = _kind(said.get("kind"))
    content = from_json({"boxes": said.get("boxes") or [], "fracture_type": said.get("type") or None})
    finding = said.get("finding")
    store.feedback.add(
        case_id,
        kind,
        author=author,
        role=role,
        content=content,
        finding=finding if isinstance(finding, int) else None,
        supersedes=_text(said.get("supersedes")),
    )


def own_read(said: Mapping[str, Any]) -> FeedbackContent:
    """The own read that the browser sends.

    Raises:
        InputError: it cannot be read.
    """
    if said.get("read") not in READS:
        raise InputError("The read cannot be understood.", remedy="Choose fracture, no fracture or unsure.")
    fracture = READS[said["read"]]
    values = {"boxes": said.get("boxes") or [], "seconds": said.get("seconds")}
    values |= {"unsure": True} if fracture is None else {"fracture": fracture}
    return from_json(values)


def keep_outcome(store: Store, case_id: str, said: Mapping[str, Any], *, author: str, role: str) -> None:
    """Keep what became of the fracture.

    Raises:
        InputError: it cannot be read.
        StoreError: it is not kept.
    """
    store.feedback.add(
        case_id,
        FeedbackKind.OUTCOME,
        author=author,
        role=role,
        content=from_json({"weeks": said.get("weeks"), "united": said.get("united")}),
        supersedes=_text(said.get("supersedes")),
    )


def feedback_view(found: Sequence[Feedback], *, author: str) -> list[dict[str, Any]]:
    """Feedback as the browser shows it."""
    return [
        {
            "id": one.id,
            "kind": one.kind.value,
            "finding": one.finding,
            "fracture": one.content.fracture,
            "boxes": [list(box) for box in one.content.boxes],
            "type": None if one.content.fracture_type is None else one.content.fracture_type.value,
            "weeks": one.content.weeks,
            "united": one.content.united,
            "author": one.author,
            "mine": one.author == author,
            "at": wording.moment(one.created.astimezone()),
        }
        for one in found
    ]


def agreement(read: FeedbackContent, view: Mapping[str, Any] | None, call: str | None) -> dict[str, str]:
    """The own read beside the machine's, in words.

    Args:
        read: the clinician's.
        view: what the viewer shows, with its places.
        call: ``definite``, ``suspected``, ``not_seen`` or ``cannot_judge``.
    """
    own = {True: "fracture", False: "no fracture", None: "unsure"}[read.fracture]
    machine = "not judged" if call is None else wording.words(call)
    took = "" if read.seconds is None else f" Your read took {read.seconds:.0f} s."
    text = f"You: {own}. Machine: fracture {machine}.{_places(read.boxes, view)}{took}"
    says = {"definite": True, "suspected": True, "not_seen": False}.get(call or "")
    if read.fracture is None or says is None:
        return {"kind": "open", "title": "Neither agreement nor disagreement.", "text": text}
    if read.fracture == says:
        return {"kind": "agree", "title": "You and the machine agree.", "text": text}
    return {"kind": "differ", "title": "You and the machine differ: look again.", "text": text}


def _places(own: Sequence[Box], view: Mapping[str, Any] | None) -> str:
    """Which of the machine's places the own boxes meet."""
    if not own or view is None:
        return ""
    met = [one["number"] for one in view["detections"] if any(overlap(box, one["box"]) >= SAME_PLACE for box in own)]
    if not met:
        return " None of your boxes lies on a place that the machine marked."
    named = ", ".join(str(number) for number in met)
    return f" Your boxes meet the machine's place {named}."


def _kind(value: object) -> FeedbackKind:
    if value not in JUDGEMENTS:
        raise InputError(
            "The judgement cannot be understood.", remedy="Agree, correct, reject, or mark what was missed."
        )
    return FeedbackKind(str(value))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
