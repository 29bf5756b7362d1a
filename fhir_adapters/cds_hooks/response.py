"""What a CDS Hooks service answers: discovery and cards, as JSON without nulls and without empty elements."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fhir_adapters.shapes import JsonObject

MAX_SUMMARY = 139
"""Characters: the specification wants fewer than 140."""

Line = Annotated[str, Field(min_length=1)]


class Indicator(StrEnum):
    """Urgency of a card, in rising order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Selection(StrEnum):
    """How many suggestions of a card may be taken."""

    AT_MOST_ONE = "at-most-one"
    ANY = "any"


class ActionType(StrEnum):
    """What an action does to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class LinkType(StrEnum):
    """What a link leads to."""

    ABSOLUTE = "absolute"
    SMART = "smart"


class _Wire(BaseModel):
    """Frozen; what is None is left out when it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Coding(_Wire):
    """A code with its words."""

    code: Line
    system: Line
    display: Line


class Source(_Wire):
    """Where the guidance of a card comes from."""

    label: Line
    url: Line | None = None
    topic: Coding | None = None


class Action(_Wire):
    """One change that a suggestion makes."""

    type: ActionType
    description: Line
    resource: dict[str, Any] | None = None
    resourceId: Line | None = None  # noqa: N815

    @model_validator(mode="after")
    def _complete(self) -> "Action":
        needed = self.resourceId if self.type is ActionType.DELETE else self.resource
        if not needed:
            raise ValueError("an action names the resource that it changes")
        return self


class Suggestion(_Wire):
    """Changes that the clinician may take with one click."""

    label: Line
    uuid: Line
    isRecommended: bool = False  # noqa: N815
    actions: Annotated[tuple[Action, ...], Field(min_length=1)]


class Link(_Wire):
    """An address to open."""

    label: Line
    url: Line
    type: LinkType
    appContext: Line | None = None  # noqa: N815

    @model_validator(mode="after")
    def _context_for_apps_only(self) -> "Link":
        if self.appContext is not None and self.type is not LinkType.SMART:
            raise ValueError("only a SMART link carries a context")
        return self


class Card(_Wire):
    """One card."""

    uuid: Line
    summary: Annotated[str, Field(min_length=1, max_length=MAX_SUMMARY)]
    detail: Line | None = None
    indicator: Indicator
    source: Source
    suggestions: Annotated[tuple[Suggestion, ...], Field(min_length=1)] | None = None
    selectionBehavior: Selection | None = None  # noqa: N815
    overrideReasons: Annotated[tuple[Coding, ...], Field(min_length=1)] | None = None  # noqa: N815
    links: Annotated[tuple[Link, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _selectable(self) -> "Card":
        if (self.suggestions is None) != (self.selectionBehavior is None):
            raise ValueError("suggestions and selectionBehavior come together")
        return self


class ServiceDescription(_Wire):
    """A service as discovery lists it."""

    hook: Line
    title: Line
    description: Line
    id: Line
    prefetch: dict[str, str]
    usageRequirements: Line | None = None  # noqa: N815


class Discovery(_Wire):
    """The answer of the discovery endpoint."""

    services: tuple[ServiceDescription, ...]


class HookResponse(_Wire):
    """The answer of a service; no cards means that there is nothing to say."""

    cards: tuple[Card, ...]


def as_json(answer: Discovery | HookResponse) -> JsonObject:
    """The answer as plain JSON, without nulls."""
    return answer.model_dump(mode="json", exclude_none=True)
