"""A FHIR server in memory for fault injection: scripted answers behind `httpx.MockTransport`, and what it was asked."""

import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx

from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.retrying import RetryPolicy

BASE = "https://ehr.example/fhir"
FHIR_JSON = "application/fhir+json"
Json = dict[str, Any]
Answer = httpx.Response | Exception
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Saves reading the certificate authorities anew for every client."""
QUICK = RetryPolicy(attempts=3, failure_attempts=2, first_wait_s=0.5, longest_wait_s=8, deadline_s=30, jitter=lambda: 1)


def resource(body: Json, status: int = 200, **headers: str) -> httpx.Response:
    """A FHIR answer."""
    return httpx.Response(
        status, content=json.dumps(body), headers={"content-type": f"{FHIR_JSON}; charset=utf-8"} | headers
    )


def searchset(
    resources: Iterable[Json] = (), *, base: str = BASE, following: str | None = None, outcome: Json | None = None
) -> httpx.Response:
    """One page of a search result."""
    entry: list[Json] = [
        {"fullUrl": f"{base}/{item['resourceType']}/{item['id']}", "resource": item, "search": {"mode": "match"}}
        for item in resources
    ]
    if outcome is not None:
        entry.append({"resource": outcome, "search": {"mode": "outcome"}})
    link = [{"relation": "self", "url": base}] + ([{"relation": "next", "url": following}] if following else [])
    return resource({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entry})


def outcome(severity: str, code: str = "processing", text: str = "about Plantedname") -> Json:
    """An OperationOutcome with a planted name in its text."""
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": text}]}


class Script:
    """Gives its answers in order, the last one for ever; keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        """Keep the answers."""
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Routes:
    """Answers by resource type (of ``POST Type/_search`` and ``GET Type/...``); keeps the requests."""

    def __init__(self, answers: Mapping[str, Answer | Callable[[httpx.Request], httpx.Response]]) -> None:
        """Keep the answers; a type that is not there has no resources."""
        self._answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The answer for the type."""
        self.requests.append(request)
        name = request.url.path.removeprefix("/fhir/").split("/")[0]
        answer = self._answers.get(name, searchset())
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def asked(self, name: str) -> list[dict[str, str]]:
        """The parameters of the requests for a type."""
        return [
            dict(parse_qsl(request.content.decode() or request.url.query.decode()))
            for request in self.requests
            if f"/{name}" in request.url.path
        ]


class Sleeper:
    """Waits without waiting; keeps how long."""

    def __init__(self) -> None:
        """Start empty."""
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Note the wait."""
        self.waits.append(seconds)


def client(handler: Callable[[httpx.Request], Any], **options: Any) -> FhirClient:
    """A client whose server is `handler` and that does not wait."""
    given: Json = {"base_url": BASE, "retries": QUICK, "sleep": Sleeper(), "verify": NO_TLS} | options
    return FhirClient(transport=httpx.MockTransport(handler), **given)
