"""`FhirClient`: reading and searching on a FHIR R4 server.

Searches go by ``POST [type]/_search`` first, because the address of a GET, with the patient's id in it, is what servers
and proxies write into their logs; a server that does not know that form is asked by GET.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import httpx

from fhir_adapters.client.addresses import host_of
from fhir_adapters.client.answers import Issue, Reply, issues_of, raise_if_failed
from fhir_adapters.client.http import DEFAULT_MAX_BODY, DEFAULT_TIMEOUT_S, Authenticator, HttpClient, Params
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import NotOnServerError, PagingError, ServerContentError
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

MAX_PAGES = 1000
MAX_ENTRIES = 100_000
_CACHED_READS = 256
_NO_POST_SEARCH = (404, 405, 415, 501)
"""How servers say that they know no ``POST _search``."""
_STRICT = {"Prefer": "handling=strict"}
"""A server that does not know a parameter must say so: one that drops ``patient`` would return everybody."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class SearchMethod(StrEnum):
    """How a search travels."""

    AUTO = "auto"
    """POST, and GET where the server knows no POST."""
    POST = "post"
    GET = "get"


class Hit(NamedTuple):
    """One resource of a search result."""

    resource: JsonObject
    full_url: str | None
    included: bool
    """True for what ``_include`` or ``_revinclude`` added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a search result."""

    number: int
    """From 1."""
    hits: tuple[Hit, ...] = field(repr=False)
    issues: tuple[Issue, ...]
    """Warnings and information that the server added (``search.mode`` outcome)."""
    total: int | None
    """Matches in all, when the server says."""
    next_url: str | None = field(repr=False)


class FhirClient(HttpClient):
    """Asynchronous client of one FHIR R4 server; use it with ``async with``."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: Authenticator | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        elsewhere: httpx.AsyncBaseTransport | None = None,
        verify: ssl.SSLContext | bool = True,
        max_body_bytes: int = DEFAULT_MAX_BODY,
        search_method: SearchMethod = SearchMethod.AUTO,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: ``[base]`` of the FHIR server.
            auth: as in `HttpClient`.
            timeout: as in `HttpClient`.
            retries: as in `HttpClient`.
            transport: as in `HttpClient`.
            elsewhere: as in `HttpClient`.
            verify: as in `HttpClient`.
            max_body_bytes: as in `HttpClient`.
            search_method: how searches travel.
            sleep: as in `HttpClient`.

        Raises:
            ServerAddressError: as in `HttpClient`.
        """
        super().__init__(
            base_url,
            auth=auth,
            timeout=timeout,
            retries=retries,
            transport=transport,
            elsewhere=elsewhere,
            verify=verify,
            max_body_bytes=max_body_bytes,
            sleep=sleep,
        )
        self._method = search_method
        self._read_before: dict[str, tuple[str, JsonObject]] = {}

    async def capabilities(self) -> JsonObject:
        """The CapabilityStatement of the server.

        Raises:
            FhirServerError: as in `HttpClient.get`.
        """
        return (await self.get("metadata", check=Reply.resource)).resource()

    async def read(self, resource_type: str, logical_id: str) -> JsonObject:
        """One resource by its id; one read before is transferred again only if it has changed (ETag).

        Raises:
            NotOnServerError: the server does not have it, or the id cannot be one.
            FhirServerError: as in `HttpClient.get`.
        """
        path = f"{resource_type}/{checked_id(logical_id)}"
        known = self._read_before.get(path)
        reply = await self.get(
            path,
            headers={} if known is None else {"If-None-Match": known[0]},
            ok=(200,) if known is None else (200, 304),
            check=lambda answer: _expect(answer, resource_type),
        )
        if reply.status == 304 and known is not None:
            return known[1]
        resource = reply.resource()
        etag = reply.headers.get("etag")
        self._read_before.pop(path, None)
        if etag is not None:
            self._read_before[path] = (etag, resource)
            if len(self._read_before) > _CACHED_READS:
                self._read_before.pop(next(iter(self._read_before)))
        return resource

    async def search(
        self,
        resource_type: str,
        params: Params = (),
        *,
        include: Iterable[str] = (),
        rev_include: Iterable[str] = (),
        has: Params = (),
        page_size: int | None = None,
        max_pages: int = MAX_PAGES,
        max_entries: int = MAX_ENTRIES,
    ) -> AsyncIterator[Page]:
        """The pages of a search, each asked for when the one before has been used.

        Args:
            resource_type: what is searched.
            params: name and value; a name may come several times (and), a value may hold commas (or).
            include: ``MedicationRequest:medication`` and the like.
            rev_include: ``Provenance:target`` and the like.
            has: ``Observation:patient:code`` and the value: only those that something refers to.
            page_size: entries on a page, as a wish.
            max_pages: more is an error.
            max_entries: more is an error.

        Yields:
            One page after the other; its issues are warnings at most.

        Raises:
            ServerOutcomeError: the server reports an error among the results, or instead of them.
            PagingError: the next links form a loop, lead to another host, or do not end.
            FhirServerError: as in `HttpClient.get`.
        """
        wanted = [
            *params,
            *(("_include", value) for value in include),
            *(("_revinclude", value) for value in rev_include),
            *((f"_has:{name}", value) for name, value in has),
            *([] if page_size is None else [("_count", str(page_size))]),
        ]
        page = await self._first_page(resource_type, wanted)
        seen: set[str] = set()
        entries = 0
        while True:
            entries += len(page.hits)
            if entries > max_entries:
                raise PagingError(f"The search for {resource_type} returns more than {max_entries} entries.")
            yield page
            if page.next_url is None:
                return
            if page.next_url in seen:
                raise PagingError(f"The pages of the search for {resource_type} form a loop.")
            if page.number >= max_pages:
                raise PagingError(f"The search for {resource_type} has more than {max_pages} pages.")
            seen.add(page.next_url)
            page = await self._next_page(page.next_url, page.number + 1)

    async def _first_page(self, resource_type: str, params: Params) -> Page:
        pages: list[Page] = []

        def keep(reply: Reply) -> None:
            if reply.status == 200:
                pages[:] = [self._page(reply, 1)]

        if self._method is not SearchMethod.GET:
            automatic = self._method is SearchMethod.AUTO
            reply = await self.post_form(
                f"{resource_type}/_search",
                lambda: params,
                headers=_STRICT,
                ok=(200, *_NO_POST_SEARCH) if automatic else (200,),
                check=keep,
            )
            if reply.status == 200:
                return pages[0]
        await self.get(resource_type, params=params, headers=_STRICT, check=keep)
        # Only now is it known that the type exists and the form was the trouble.
        self._method = SearchMethod.GET
        return pages[0]

    async def _next_page(self, url: str, number: int) -> Page:
        pages: list[Page] = []
        await self.get(url, headers=_STRICT, check=lambda reply: pages.append(self._page(reply, number)))
        return pages[-1]

    def _page(self, reply: Reply, number: int) -> Page:
        """Take a searchset apart."""
        bundle = reply.resource()
        if bundle["resourceType"] != "Bundle":
            raise ServerContentError(f"The server answered {reply.label} with another resource than a Bundle.")
        hits: list[Hit] = []
        issues: list[Issue] = []
        for item in as_list(bundle.get("entry")):
            entry = as_object(item)
            resource = as_object(entry.get("resource"))
            mode = as_object(entry.get("search")).get("mode")
            if resource.get("resourceType") == "OperationOutcome":
                issues.extend(issues_of(resource))
            elif isinstance(resource.get("resourceType"), str):
                hits.append(Hit(resource, as_text(entry.get("fullUrl")), mode == "include"))
            else:
                raise ServerContentError(f"The server answered {reply.label} with an entry that is no resource.")
        raise_if_failed(tuple(issues), reply.label)
        total = bundle.get("total")
        return Page(
            number=number,
            hits=tuple(hits),
            issues=tuple(issues),
            total=total if isinstance(total, int) else None,
            next_url=self._next_link(bundle, reply),
        )

    def _next_link(self, bundle: JsonObject, reply: Reply) -> str | None:
        links = (as_object(link) for link in as_list(bundle.get("link")))
        text = next((as_text(link.get("url")) for link in links if link.get("relation") == "next"), None)
        if text is None:
            return None
        try:
            # A bare relative link is relative to [base], as everywhere in FHIR, and not to the page that holds it.
            page = httpx.URL(reply.url.replace("/_search", "", 1))
            url = (page if text.startswith(("?", "/")) else self.base).join(text)
        except (httpx.InvalidURL, ValueError):
            raise PagingError(f"The server answered {reply.label} with an unreadable link to its next page.") from None
        # A server behind a proxy that ends TLS often writes http into its links; the same host over TLS is meant.
        if self.base.scheme == "https" and url.scheme == "http" and (url.host, url.port) == (self.base.host, None):
            url = url.copy_with(scheme="https", port=self.base.port)
        if not self.is_home(url):
            raise PagingError(
                f"The next page of {reply.label} is on another host, {host_of(url)}.",
                remedy="Have the server's own base address corrected; credentials are not sent to another host.",
            )
        return str(url)


def checked_id(logical_id: str) -> str:
    """A logical id as FHIR has it.

    Raises:
        NotOnServerError: it cannot be one.
    """
    if _ID.fullmatch(logical_id) is None:
        raise NotOnServerError("The logical id holds characters that no FHIR id has, or is too long.")
    return logical_id


def _expect(reply: Reply, resource_type: str) -> None:
    """Check that an answer, unless it says "not modified", is a resource of this type."""
    if reply.status != 304 and reply.resource()["resourceType"] != resource_type:
        raise ServerContentError(f"The server answered {reply.label} with a resource of another type.")
