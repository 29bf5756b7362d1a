"""Searching: pages, includes, reverse chains, outcomes, and servers that link badly."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from fhir_adapters.client.auth import BearerAuth
from fhir_adapters.client.fhir import Page, SearchMethod
from fhir_adapters.errors import (
    FhirServerError,
    ForbiddenError,
    PagingError,
    ServerContentError,
    ServerOutcomeError,
    ServerRefusalError,
)
from tests.support.fhir_double import BASE, Script, client, outcome, resource, searchset

A, B = ({"resourceType": "Condition", "id": name} for name in "ab")
NEXT = f"{BASE}?_getpages=planted&_offset=1"


def search(script: Any, *, keep: dict[str, Any] | None = None, **options: Any) -> list[Page]:
    async def go() -> list[Page]:
        async with client(script, **(keep or {})) as fhir:
            return [page async for page in fhir.search("Condition", [("patient", "p1")], **options)]

    return asyncio.run(go())


def ids(pages: list[Page]) -> list[object]:
    return [hit.resource["id"] for page in pages for hit in page.hits]


def test_identifiers_go_into_the_body() -> None:
    script = Script(searchset([A]))
    assert ids(search(script)) == ["a"]
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/Condition/_search")
    assert request.content == b"patient=p1"
    assert request.headers["prefer"] == "handling=strict"


def test_pages_are_followed_with_the_token() -> None:
    script = Script(searchset([A], following=NEXT), searchset([B], following="Condition?page=3"), searchset())
    pages = search(script, keep={"auth": BearerAuth.fixed("t0ken")})
    assert ids(pages) == ["a", "b"]
    assert [page.number for page in pages] == [1, 2, 3]
    assert [str(request.url) for request in script.requests[1:]] == [NEXT, f"{BASE}/Condition?page=3"]
    assert {request.headers["authorization"] for request in script.requests} == {"Bearer t0ken"}


def test_everything_a_search_can_ask() -> None:
    script = Script(searchset())
    search(
        script,
        include=["MedicationRequest:medication"],
        rev_include=["Provenance:target"],
        has=[("Observation:patient:code", "38265-5")],
        page_size=50,
    )
    assert parse_qsl(script.requests[0].content.decode()) == [
        ("patient", "p1"),
        ("_include", "MedicationRequest:medication"),
        ("_revinclude", "Provenance:target"),
        ("_has:Observation:patient:code", "38265-5"),
        ("_count", "50"),
    ]


@pytest.mark.parametrize("status", [404, 405, 415, 501])
def test_a_server_without_post_search_is_asked_by_get_from_then_on(status: int) -> None:
    script = Script(httpx.Response(status), searchset([A]))

    async def go() -> None:
        async with client(script) as fhir:
            for _ in range(2):
                assert [page async for page in fhir.search("Condition", [("patient", "p1")])]

    asyncio.run(go())
    assert [request.method for request in script.requests] == ["POST", "GET", "GET"]
    assert str(script.requests[1].url) == f"{BASE}/Condition?patient=p1"


def test_the_method_can_be_fixed() -> None:
    script = Script(searchset())
    search(script, keep={"search_method": SearchMethod.GET})
    assert script.requests[0].method == "GET"
    with pytest.raises(ServerRefusalError):
        search(Script(httpx.Response(405)), keep={"search_method": SearchMethod.POST})


def test_a_type_that_is_forbidden_is_not_asked_for_twice() -> None:
    script = Script(httpx.Response(403))
    with pytest.raises(ForbiddenError):
        search(script)
    assert len(script.requests) == 1


def test_includes_and_warnings_are_told_apart() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "entry": [
            {"resource": A, "fullUrl": f"{BASE}/Condition/a", "search": {"mode": "match"}},
            {"resource": B, "search": {"mode": "include"}},
            {"resource": outcome("warning", "not-supported"), "search": {"mode": "outcome"}},
        ],
    }
    (page,) = search(Script(resource(bundle)))
    assert [(hit.full_url, hit.included) for hit in page.hits] == [(f"{BASE}/Condition/a", False), (None, True)]
    assert [(issue.severity, issue.code) for issue in page.issues] == [("warning", "not-supported")]
    assert page.total == 1
    assert "'a'" not in repr(page)


def fails(script: Script, error: type[FhirServerError], **options: Any) -> str:
    with pytest.raises(error) as caught:
        search(script, **options)
    text = f"{caught.value} {caught.value.remedy}"
    assert "planted" not in text.lower()
    return text


@pytest.mark.parametrize("severity", ["error", "fatal"])
def test_an_error_among_the_results(severity: str) -> None:
    assert severity in fails(Script(searchset([A], outcome=outcome(severity))), ServerOutcomeError)


def test_half_a_page() -> None:
    whole = searchset([A, B])
    half = httpx.Response(200, content=whole.content[: len(whole.content) // 2], headers=dict(whole.headers))
    half.headers["content-length"] = str(len(half.content))
    script = Script(searchset([A], following=NEXT), half)
    assert "cut short" in fails(script, ServerContentError)
    assert len(script.requests) == 3
    assert ids(search(Script(searchset([A], following=NEXT), half, searchset([B])))) == ["a", "b"]


def test_a_loop_of_next_links() -> None:
    script = Script(searchset([A], following=NEXT))
    assert "loop" in fails(script, PagingError)
    assert len(script.requests) == 2


def test_next_links_that_never_end() -> None:
    count = iter(range(10**6))

    def endless(request: httpx.Request) -> httpx.Response:
        return searchset([A], following=f"{NEXT}{next(count)}")

    with pytest.raises(PagingError, match="more than 5 pages"):
        search(endless, max_pages=5)
    with pytest.raises(PagingError, match="more than 7 entries"):
        search(endless, max_entries=7)


@pytest.mark.parametrize("link", ["https://other.example/fhir?page=planted", "http://ehr.example:8080/fhir?page=2"])
def test_a_next_page_on_another_host_is_not_fetched(link: str) -> None:
    script = Script(searchset([A], following=link))
    assert "another host" in fails(script, PagingError, keep={"auth": BearerAuth.fixed("t0ken")})
    assert len(script.requests) == 1


def test_a_server_behind_tls_that_links_to_itself_in_the_clear() -> None:
    script = Script(searchset([A], following="http://ehr.example/fhir?page=2"), searchset([B]))
    assert ids(search(script)) == ["a", "b"]
    assert str(script.requests[1].url) == "https://ehr.example/fhir?page=2"


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient", "id": "x"},
        {"resourceType": "Bundle", "entry": [{"resource": 7}]},
        {"resourceType": "Bundle", "entry": ["planted"]},
        {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://["}]},
        outcome("information"),
    ],
)
def test_what_is_no_search_result(body: dict[str, Any]) -> None:
    fails(Script(resource(body)), FhirServerError)
