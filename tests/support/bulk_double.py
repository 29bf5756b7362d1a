"""A server of Bulk Data exports in memory: each address gives its scripted answers in order, the last one for ever."""

import gzip
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import httpx

from tests.support.fhir_double import BASE, Sleeper

NDJSON = "application/fhir+ndjson"
STATUS = f"{BASE}/jobs/1"
Json = dict[str, Any]
Answer = httpx.Response | Exception


class Clock(Sleeper):
    """Waits without waiting, and a clock that knows how long."""

    def now(self) -> float:
        """Seconds waited."""
        return sum(self.waits)


class Broken(httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, data: bytes, *, silently: bool = False) -> None:
        """Keep what comes before the break."""
        self._data, self._silently = data, silently

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The data, then the break."""
        yield self._data
        if not self._silently:
            raise httpx.ReadError("about Plantedname")


def lines(resource_type: str, number: int, *, start: int = 0) -> bytes:
    """NDJSON of resources."""
    made = ({"resourceType": resource_type, "id": f"{resource_type[:3].lower()}{start + i}"} for i in range(number))
    return b"".join(json.dumps(item, separators=(",", ":")).encode() + b"\n" for item in made)


def ndjson(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """A file of an export."""
    return httpx.Response(status, content=body, headers={"content-type": NDJSON} | headers)


def broken(body: bytes, headers: Mapping[str, str] | None = None, *, silently: bool = False) -> httpx.Response:
    """A file of which only the beginning comes."""
    return httpx.Response(
        200, stream=Broken(body, silently=silently), headers={"content-type": NDJSON, **(headers or {})}
    )


def packed(body: bytes, *, encoding: bool) -> httpx.Response:
    """A file as gzip: for the way only, or as it is stored."""
    headers = {"content-encoding": "gzip"} if encoding else {"content-type": "application/gzip"}
    return httpx.Response(200, content=gzip.compress(body), headers={"content-type": NDJSON} | headers)


def manifest(
    output: Iterable[Mapping[str, Any]], *, error: Iterable[Mapping[str, Any]] = (), token: bool = True, **more: Any
) -> httpx.Response:
    """The answer of a finished export."""
    body = {
        "transactionTime": "2026-01-01T00:00:00Z",
        "request": f"{BASE}/$export",
        "requiresAccessToken": token,
        "output": list(output),
        "error": list(error),
    }
    return httpx.Response(200, json=body | more)


def offered(resource_type: str, name: str, count: int | None = None, *, host: str = BASE) -> Json:
    """A file of a manifest."""
    told = {"type": resource_type, "url": f"{host}/files/{name}"}
    return told if count is None else told | {"count": count}


def accepted(**headers: str) -> httpx.Response:
    """The answer to a kick-off."""
    return httpx.Response(202, headers={"content-location": STATUS} | headers)


class BulkServer:
    """Answers by the last part of the path, ``$export`` for every kick-off; keeps the requests."""

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        """Script: ``export``, ``status``, and the names of files."""
        self._answers = {name: list(told) if isinstance(told, list) else [told] for name, told in answers.items()}
        self._answers.setdefault("export", [accepted()])
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.requests.append(request)
        name = request.url.path.split("/")[-1]
        if request.method == "DELETE":
            return httpx.Response(202)
        name = {"$export": "export", "1": "status"}.get(name, name)
        left = self._answers.get(name)
        if left is None:
            return httpx.Response(404)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return again(answer)

    def asked(self, name: str) -> list[httpx.Request]:
        """The requests for a path that ends so."""
        return [request for request in self.requests if request.url.path.endswith(name) and request.method == "GET"]

    @property
    def deleted(self) -> list[str]:
        """Addresses of DELETE."""
        return [str(request.url) for request in self.requests if request.method == "DELETE"]


def again(answer: httpx.Response) -> httpx.Response:
    """A fresh copy of an answer, since one can be read once only."""
    if isinstance(answer.stream, Broken):
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
    raw = b"".join(answer.stream)  # type: ignore[arg-type]  # content given as bytes
    headers = {name: value for name, value in answer.headers.items() if name != "transfer-encoding"}
    return httpx.Response(answer.status_code, headers=headers, stream=httpx.ByteStream(raw))
