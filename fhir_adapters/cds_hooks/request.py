"""What a CDS Hooks client sends: a call of a service, or feedback on its cards.

What the specification requires and a service needs is checked; what it does not need is taken as it comes, and unknown
members are passed over. An element that is null counts as absent. No message repeats what the request held.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic import model_validator as validated

from fhir_adapters.errors import HookPayloadError
from fhir_adapters.shapes import JsonObject

MAX_FEEDBACK = 100
"""Items of feedback in one request."""
MAX_SELECTIONS = 1000
MAX_COMMENT = 4000
"""Characters of a clinician's comment on a card."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MEMBER = re.compile(r"[A-Za-z_]{1,40}")


class Hook(StrEnum):
    """The hooks that are served."""

    PATIENT_VIEW = "patient-view"
    ORDER_SELECT = "order-select"
    ORDER_SIGN = "order-sign"


class Outcome(StrEnum):
    """What became of a card."""

    ACCEPTED = "accepted"
    OVERRIDDEN = "overridden"


def _uuid(value: object) -> object:
    return str(UUID(value)) if isinstance(value, str) and len(value) <= 64 else value


def _patient_id(value: object) -> object:
    """A logical id, also as ``Patient/id``."""
    if not isinstance(value, str):
        return value
    found = value.removeprefix("Patient/")
    if _ID.fullmatch(found) is None:
        raise ValueError("no FHIR id")
    return found


Identifier = Annotated[str, BeforeValidator(_uuid), Field(min_length=32, max_length=36)]
Text = Annotated[str, Field(min_length=1, max_length=2048)]


class _Wire(BaseModel):
    """Frozen, tolerant of members it does not know, silent about values."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class FhirAuthorization(_Wire):
    """A bearer token for the client's FHIR server, good for this call."""

    access_token: SecretStr
    token_type: Text = "Bearer"
    expires_in: int | None = None
    scope: str | None = None
    subject: str | None = None


class HookContext(_Wire):
    """What the client's user is looking at; the orders only with the hooks on orders."""

    patientId: Annotated[str, BeforeValidator(_patient_id)] = Field(repr=False)  # noqa: N815
    userId: Text | None = None  # noqa: N815
    encounterId: Text | None = None  # noqa: N815
    selections: Annotated[list[Text], Field(max_length=MAX_SELECTIONS)] | None = None
    draftOrders: dict[str, Any] | None = Field(default=None, repr=False)  # noqa: N815


class HookRequest(_Wire):
    """One call of a service."""

    hook: Hook
    hookInstance: Identifier  # noqa: N815
    context: HookContext
    fhirServer: Text | None = None  # noqa: N815
    fhirAuthorization: FhirAuthorization | None = None  # noqa: N815
    prefetch: dict[str, Any] | None = Field(default=None, repr=False)

    @validated(mode="after")
    def _orders_there(self) -> "HookRequest":
        """The hooks on orders need them, and order-select which of them are new."""
        if self.hook is Hook.PATIENT_VIEW:
            return self
        orders = self.context.draftOrders
        if orders is None or orders.get("resourceType") != "Bundle":
            raise ValueError("context.draftOrders is no Bundle")
        if self.hook is Hook.ORDER_SELECT and self.context.selections is None:
            raise ValueError("context.selections is missing")
        return self


class Coding(_Wire):
    """A code with its system."""

    code: Text
    system: Text | None = None
    display: str | None = None


class OverrideReason(_Wire):
    """Why a card was not followed."""

    reason: Coding | None = None
    userComment: Annotated[str, Field(max_length=MAX_COMMENT)] | None = Field(default=None, repr=False)  # noqa: N815


class AcceptedSuggestion(_Wire):
    """A suggestion that was followed."""

    id: Text


class Feedback(_Wire):
    """What a clinician did with one card."""

    card: Text
    outcome: Outcome
    outcomeTimestamp: AwareDatetime  # noqa: N815
    acceptedSuggestions: list[AcceptedSuggestion] | None = None  # noqa: N815
    overrideReason: OverrideReason | None = None  # noqa: N815

    @validated(mode="after")
    def _says_which(self) -> "Feedback":
        if self.outcome is Outcome.ACCEPTED and not self.acceptedSuggestions:
            raise ValueError("an accepted card names the accepted suggestions")
        return self


class FeedbackRequest(_Wire):
    """The body of a feedback call."""

    feedback: Annotated[list[Feedback], Field(min_length=1, max_length=MAX_FEEDBACK)]


_Model = TypeVar("_Model", bound=_Wire)


def parse_hook(body: bytes) -> HookRequest:
    """Read a call of a service.

    Raises:
        HookPayloadError: it is no JSON object, or not as CDS Hooks has it.
    """
    return _parse(body, HookRequest)


def parse_feedback(body: bytes) -> FeedbackRequest:
    """Read a feedback call.

    Raises:
        HookPayloadError: it is no JSON object, or not as CDS Hooks has it.
    """
    return _parse(body, FeedbackRequest)


def _parse(body: bytes, model: type[_Model]) -> _Model:
    try:
        value: JsonObject = orjson.loads(body)
    except orjson.JSONDecodeError:
        # From None: the parser's exception carries the whole text.
        raise HookPayloadError("The body is not valid JSON in UTF-8, or is nested too deeply.") from None
    if not isinstance(value, dict):
        raise HookPayloadError("The body is not a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise HookPayloadError(
            f"These parts of the request are missing or not as CDS Hooks has them: {', '.join(_places(error))}."
        ) from None


def _places(error: ValidationError) -> list[str]:
    """Where it fails, by names of the models and numbers only: a client's own member names may be anything."""
    found = set()
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        place = [str(part) for part in item["loc"] if isinstance(part, int) or _MEMBER.fullmatch(str(part))]
        if item["type"] == "value_error" and (not place or place[-1] == "context"):
            place.append(str(item["msg"]).removeprefix("Value error, "))
        found.add(".".join(place) or "the body")
    return sorted(found)
