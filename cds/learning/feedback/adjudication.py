"""The last word where readers disagree: who may have it, and keeping it."""

from cds.errors import ConflictError, ForbiddenError, InputError
from cds.learning.feedback.readers import READER_ROLES
from cds.store.feedback import Feedback, FeedbackContent, FeedbackKind
from cds.store.opening import Store

_NO_READS = frozenset({FeedbackKind.ADJUDICATION, FeedbackKind.OUTCOME})


def adjudicate(
    store: Store, case_id: str, content: FeedbackContent, *, author: str, role: str, supersedes: str | None = None
) -> Feedback:
    """Keep an adjudication.

    It takes a third person: who read the case cannot settle what became of that read.

    Args:
        store: where the case is kept.
        case_id: which case.
        content: whether there is a fracture, and where and of which pattern as far as it was settled.
        author: who settles it.
        role: in which role: one of `READER_ROLES`.
        supersedes: the author's own earlier adjudication that this one replaces.

    Raises:
        ForbiddenError: the role does not read radiographs.
        ConflictError: the author is one of the case's readers, or what is superseded cannot be.
        InputError: the details do not fit.
        NotStoredError: there is no such case.
    """
    if role not in READER_ROLES:
        raise ForbiddenError("clinician")
    store.cases.get(case_id)
    said = store.feedback.of_case(case_id, current=False)
    if any(one.author == author and one.kind not in _NO_READS for one in said):
        raise ConflictError(
            "Who read the case cannot settle it as well.", remedy="Ask somebody who has not given feedback on it."
        )
    if content.unsure or content.fracture is None:
        raise InputError(
            "An adjudication says whether there is a fracture.", remedy="Say fracture or no fracture, or leave it open."
        )
    return store.feedback.add(
        case_id, FeedbackKind.ADJUDICATION, author=author, role=role, content=content, supersedes=supersedes
    )
