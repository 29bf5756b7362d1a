"""``/api/cases/{case_id}/feedback``: what clinicians say about a case; ``/api/feedback/open``: where they disagree."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cds.entrypoints.api.cases import sensible
from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.api.schemas import DisagreementOut, FeedbackOut
from cds.entrypoints.auth import client_of, principal_of
from cds.entrypoints.service import Service
from cds.errors import InputError
from cds.learning.feedback.adjudication import adjudicate
from cds.learning.feedback.cases import open_disagreements
from cds.store.cases import MAX_PAGE
from cds.store.feedback import MAX_BOXES, MAX_WEEKS, FeedbackContent, FeedbackKind
from fusion.context import FractureType

MAX_PX = 100_000.0
_Pixel = Annotated[float, Field(ge=0, le=MAX_PX, allow_inf_nan=False)]
_Box = Annotated[list[_Pixel], Field(min_length=4, max_length=4)]


class FeedbackIn(BaseModel):
    """A feedback; which details a kind takes is checked beyond this description."""

    model_config = ConfigDict(extra="forbid", strict=False, hide_input_in_errors=True)

    kind: FeedbackKind
    finding: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = Field(
        default=None, description="Index of the detection, from 0."
    )
    fracture: Annotated[bool, Field(strict=True)] | None = None
    unsure: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description="True for an own read that could not decide; `fracture` is left out then."
    )
    boxes: Annotated[list[_Box], Field(max_length=MAX_BOXES)] = Field(
        default_factory=list, description="x0, y0, x1, y1 in pixels of the radiograph, x0 < x1 and y0 < y1."
    )
    fracture_type: FractureType | None = None
    weeks: Annotated[float, Field(ge=0, le=MAX_WEEKS, allow_inf_nan=False, strict=True)] | None = None
    united: Annotated[bool, Field(strict=True)] | None = None
    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)] | None = None
    supersedes: UUID | None = Field(default=None, description="One's own earlier feedback that this one replaces.")

    def adjudication(self) -> FeedbackContent:
        """The details of an adjudication.

        Raises:
            InputError: it speaks of one finding.
        """
        if self.finding is not None:
            raise InputError("An adjudication is about the whole radiograph.", remedy="Leave the finding out.")
        return self.content()

    def content(self) -> FeedbackContent:
        """The details as the store takes them."""
        return FeedbackContent(
            fracture=self.fracture,
            unsure=self.unsure,
            boxes=tuple((box[0], box[1], box[2], box[3]) for box in self.boxes),
            fracture_type=self.fracture_type,
            weeks=self.weeks,
            united=self.united,
            seconds=self.seconds,
        )


def feedback_router(service: Service) -> APIRouter:
    """The routes.

    Args:
        service: holds the store.
    """
    router = APIRouter(prefix="/api/cases/{case_id}/feedback", route_class=ProblemRoute, tags=["feedback"])

    @router.post(
        "",
        status_code=201,
        summary="Say something about a case or one of its findings",
        description="An adjudication is the last word where readers disagree: it takes the role clinician or admin, and"
        " somebody who has not given feedback on the case as a reader (409 otherwise).",
        responses=problems(400, 404, 409, 413, 422),
    )
    def add(request: Request, case_id: UUID, said: FeedbackIn) -> FeedbackOut:
        store, author, role = service.opened(), client_of(request), principal_of(request).role.value
        supersedes = None if said.supersedes is None else str(said.supersedes)
        if said.kind is FeedbackKind.ADJUDICATION:
            content = said.adjudication()
            kept = adjudicate(store, str(case_id), content, author=author, role=role, supersedes=supersedes)
        else:
            kept = store.feedback.add(
                str(case_id),
                said.kind,
                author=author,
                role=role,
                content=said.content(),
                finding=said.finding,
                supersedes=supersedes,
            )
        return FeedbackOut.model_validate(kept)

    @router.get("", summary="What was said about a case", responses=problems(404, 422))
    def listed(
        case_id: UUID,
        superseded: Annotated[bool, Query(description="Also what was replaced by a correction.")] = False,
    ) -> list[FeedbackOut]:
        store = service.opened()
        store.cases.get(str(case_id))
        found = store.feedback.of_case(str(case_id), current=not superseded)
        return [FeedbackOut.model_validate(one) for one in found]

    return router


def disagreements_router(service: Service) -> APIRouter:
    """The route that lists what needs an adjudication.

    Args:
        service: holds the store.
    """
    router = APIRouter(prefix="/api/feedback", route_class=ProblemRoute, tags=["feedback"])

    @router.get(
        "/open",
        summary="Cases whose readers disagree and that nobody has settled, the oldest first",
        responses=problems(404, 422),
    )
    def disagreements(
        since: Annotated[
            AwareDatetime | None, Query(description="Only cases that something was said about since then.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> list[DisagreementOut]:
        found = open_disagreements(service.opened(), since=sensible(since))
        return [DisagreementOut.of(one) for one in found[:limit]]

    return router
