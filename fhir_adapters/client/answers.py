"""One answer of a server, and what it means: a body, a warning or an error.

The texts of an OperationOutcome (``diagnostics``, ``details``) may quote the record, so only its coded severity and
type go into messages.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from fhir_adapters.errors import (
    FhirServerError,
    ForbiddenError,
    GoneFromServerError,
    NotOnServerError,
    ServerBusyError,
    ServerContentError,
    ServerFailureError,
    ServerOutcomeError,
    ServerRefusalError,
    UnauthorisedError,
)
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

FHIR_JSON = "application/fhir+json"
_JSON_TYPES = ("application/fhir+json", "application/json", "text/json", "application/json+fhir")
_CODE = re.compile(r"[a-z][a-z-]{1,40}")
_BY_STATUS: dict[int, tuple[type[FhirServerError], str]] = {
    401: (UnauthorisedError, "wants valid credentials"),
    403: (ForbiddenError, "does not allow it"),
    404: (NotOnServerError, "has no such thing"),
    410: (GoneFromServerError, "says it was deleted"),
    429: (ServerBusyError, "asks for fewer requests"),
    502: (ServerBusyError, "cannot reach what is behind it"),
    503: (ServerBusyError, "is not available"),
    504: (ServerBusyError, "waits for what is behind it"),
}


class Issue(NamedTuple):
    """One issue of an OperationOutcome, without its texts."""

    severity: str
    """``fatal``, ``error``, ``warning`` or ``information``."""
    code: str
    """Coded type such as ``not-supported``."""

    @property
    def failed(self) -> bool:
        """Whether the request did not do what was asked."""
        return self.severity in {"fatal", "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a server; its representation holds neither the body nor the address."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Case-insensitive."""
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    """The address that answered, after redirects."""
    label: str
    """What was asked for, without identifiers: ``Condition/_search``."""

    @property
    def media_type(self) -> str:
        """Content type without its parameters, in lower case; empty when not stated."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> JsonObject:
        """The body as a JSON object.

        Raises:
            ServerContentError: another content type, or JSON that is damaged, cut short or no object.
        """
        if self.media_type not in _JSON_TYPES:
            raise ServerContentError(
                f"The server answered {self.label} with {_safe_type(self.media_type)} instead of {FHIR_JSON}."
            )
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            # From None: the parser's exception carries the whole text.
            raise ServerContentError(
                f"The server's answer to {self.label} is not valid JSON, or was cut short.",
                remedy="Try again; if it stays, a proxy between here and the server may cut answers.",
            ) from None
        if not isinstance(value, dict):
            raise ServerContentError(f"The server's answer to {self.label} is no JSON object.")
        return value

    def resource(self) -> JsonObject:
        """The body as a FHIR resource.

        Raises:
            ServerContentError: as in `json`, or JSON that is no resource.
            ServerOutcomeError: an OperationOutcome that says error or fatal.
        """
        value = self.json()
        if not isinstance(value.get("resourceType"), str):
            raise ServerContentError(f"The server's answer to {self.label} is JSON, but no FHIR resource.")
        if value["resourceType"] == "OperationOutcome":
            raise_if_failed(issues_of(value), self.label)
        return value


def _safe_type(media_type: str) -> str:
    """A media type for a message; what does not look like one is not repeated."""
    return media_type if re.fullmatch(r"[a-z]+/[a-z0-9.+-]{1,60}", media_type) else "no known content type"


def issues_of(outcome: JsonObject) -> tuple[Issue, ...]:
    """The issues of an OperationOutcome; what is not coded as FHIR has it becomes ``error`` and ``unknown``."""

    def coded(value: object, otherwise: str) -> str:
        text = as_text(value)
        return text if text is not None and _CODE.fullmatch(text) else otherwise

    found = (as_object(item) for item in as_list(outcome.get("issue")))
    return tuple(Issue(coded(item.get("severity"), "error"), coded(item.get("code"), "unknown")) for item in found)


def raise_if_failed(issues: tuple[Issue, ...], label: str) -> None:
    """Raise for issues of severity error or fatal.

    Raises:
        ServerOutcomeError: there is one.
    """
    failed = next((issue for issue in issues if issue.failed), None)
    if failed is not None:
        raise ServerOutcomeError(
            f"The server reports that {label} failed ({failed.severity}, {failed.code}), with a status of success."
        )


def error_for(reply: Reply) -> FhirServerError:
    """The error that a status stands for."""
    reasons = ", ".join(dict.fromkeys(issue.code for issue in _issues(reply) if issue.failed))
    suffix = f" ({reply.status}{', ' + reasons if reasons else ''})."
    known = _BY_STATUS.get(reply.status)
    if known is not None:
        error, words = known
        return error(f"The server {words}: {reply.label}{suffix}")
    if reply.status >= 500 and reply.status != 501:  # 501 is no accident: the server was never able to
        return ServerFailureError(f"The server failed at {reply.label}{suffix}")
    return ServerRefusalError(f"The server does not accept the request for {reply.label}{suffix}")


def _issues(reply: Reply) -> Iterator[Issue]:
    try:
        value = reply.json()
    except ServerContentError:
        return
    if value.get("resourceType") == "OperationOutcome":
        yield from issues_of(value)
