"""The manifest of a finished export: which files, where, and whether the token goes along.

Addresses in it come from the server, but not every server may be asked: another host is asked without the token only,
over https unless the server itself speaks plain http, and never an address of this machine or of its network link.
"""

import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from fhir_adapters.client.addresses import host_of, is_loopback
from fhir_adapters.client.answers import Reply
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.errors import PagingError, ServerAddressError, ServerContentError, ServerRedirectError
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

MAX_FILES = 200_000
"""Some servers write a file for every patient; more than this is no export."""
OUTCOME = "OperationOutcome"
_MAX_PAGES = 1000
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,60}")
_SIGNING = re.compile(
    r"x-(?:amz|goog)-.*|sig|signature|s[a-z]|spr|sk[a-z]+|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid"
    r"|(?:access_)?token",
    re.IGNORECASE,
)
"""Parameters that sign an address: new each time the manifest is asked for, so that they do not tell files apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file that the server offers."""

    type: str
    url: str = field(repr=False)
    count: int | None
    """Resources in it, where the server says."""
    key: str
    """Names the file in the state of the export; the address itself may hold a signature that lets anybody in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a finished export consists of."""

    transaction_time: str | None
    requires_token: bool
    files: tuple[ManifestFile, ...]
    """Of the types asked for, then those of type ``OperationOutcome`` from ``error``."""
    passed_over: tuple[str, ...]
    """Types of files that nobody asked for."""
    deleted_files: int
    """Lists of deleted resources, which are not read."""


async def read_manifest(
    client: FhirClient, first: Reply, types: frozenset[str], more: Callable[[str], Awaitable[Reply]]
) -> Manifest:
    """Take the answer of the status endpoint apart, with its further pages.

    Args:
        client: whose server may be asked.
        first: the answer, of status 200.
        types: resource types that were asked for.
        more: fetches another page.

    Raises:
        ServerContentError: no JSON, no manifest, or one that cannot be used.
        ServerOutcomeError: an OperationOutcome that says error or fatal.
        ServerRedirectError: a file is where it must not be fetched from.
        PagingError: the pages do not end.
    """
    page = _page(first)
    pages = [page]
    seen: set[str] = set()
    while (following := _next_of(page)) is not None:
        url = str(admitted(client, following))
        if url in seen or len(pages) >= _MAX_PAGES or not client.is_home(httpx.URL(url)):
            raise PagingError("The pages of the export's manifest form a loop, do not end, or are on another host.")
        seen.add(url)
        page = _page(await more(url))
        pages.append(page)
    return _manifest(client, pages, types)


def _page(reply: Reply) -> JsonObject:
    value = reply.json()
    if value.get("resourceType") == OUTCOME:
        reply.resource()  # raises what it says
    if not isinstance(value.get("output"), list):
        raise ServerContentError(
            "The server says that the export is finished, but its manifest has no list of files.",
            remedy="Tell the operator of the server; a manifest without 'output' is against the Bulk Data standard.",
        )
    return value


def _next_of(page: JsonObject) -> str | None:
    links = (as_object(link) for link in as_list(page.get("link")))
    return next((as_text(link.get("url")) for link in links if link.get("relation") == "next"), None)


def _manifest(client: FhirClient, pages: list[JsonObject], types: frozenset[str]) -> Manifest:
    files: list[ManifestFile] = []
    problems: list[ManifestFile] = []
    passed_over: list[str] = []
    for page in pages:
        for item in as_list(page.get("output")):
            file = _file(client, as_object(item), None)
            if file.type in types:
                files.append(file)
            else:
                passed_over.append(file.type)
        problems += [_file(client, as_object(item), OUTCOME) for item in as_list(page.get("error"))]
    if len(files) + len(problems) > MAX_FILES:
        raise ServerContentError(f"The export has more than {MAX_FILES} files.")
    return Manifest(
        transaction_time=as_text(pages[0].get("transactionTime")),
        requires_token=pages[0].get("requiresAccessToken") is True,
        files=tuple(_told_apart([*files, *problems])),
        passed_over=tuple(sorted(set(passed_over))),
        deleted_files=sum(len(as_list(page.get("deleted"))) for page in pages),
    )


def _file(client: FhirClient, item: JsonObject, otherwise: str | None) -> ManifestFile:
    resource_type, text = as_text(item.get("type")) or otherwise, as_text(item.get("url"))
    if resource_type is None or text is None or _TYPE.fullmatch(resource_type) is None:
        raise ServerContentError("The manifest of the export names a file without its type or address.")
    count = item.get("count")
    url = admitted(client, text)
    return ManifestFile(
        type=otherwise or resource_type,
        url=str(url),
        count=count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None,
        key=_key(url, resource_type),
    )


def _key(url: httpx.URL, resource_type: str) -> str:
    kept = sorted(pair for pair in url.params.multi_items() if _SIGNING.fullmatch(pair[0]) is None)
    told = repr((resource_type, url.host, url.path, kept))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _told_apart(files: list[ManifestFile]) -> list[ManifestFile]:
    """Files whose addresses differ by their signatures only are told apart by the whole address."""
    often = Counter(file.key for file in files)
    told: dict[str, ManifestFile] = {}
    for file in files:
        key = hashlib.sha256(file.url.encode()).hexdigest()[:32] if often[file.key] > 1 else file.key
        # The very same address twice is the same file.
        told.setdefault(key, ManifestFile(type=file.type, url=file.url, count=file.count, key=key))
    return list(told.values())


def admitted(client: FhirClient, text: str) -> httpx.URL:
    """An address that the server gave, if it may be asked.

    A server behind a proxy that ends TLS often writes http into its addresses; the same host over TLS is meant.

    Raises:
        ServerRedirectError: an address that must not be asked.
        ServerContentError: it cannot be read.
    """
    try:
        url = client.address(text)
    except ServerAddressError:
        raise ServerContentError("The server gave an address of the export that cannot be read.") from None
    base = client.base
    if base.scheme == "https" and url.scheme == "http" and (url.host, url.port) == (base.host, None):
        url = url.copy_with(scheme="https", port=base.port)
    if client.is_home(url):
        return url
    if url.scheme not in {"https", base.scheme} or not url.host or url.userinfo:
        raise ServerRedirectError(
            f"A part of the export is on another host, {host_of(url)}, at an address that is not safe to use.",
            remedy="Have the server offer its files over https.",
        )
    if _is_inside(url) and not is_loopback(base):
        raise ServerRedirectError("The server points to an address of this machine or its network link.")
    return url


def _is_inside(url: httpx.URL) -> bool:
    """Whether an address leads to this machine, or to what only machines beside it can reach (cloud metadata)."""
    if is_loopback(url):
        return True
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        return False
    return address.is_link_local or address.is_unspecified or address.is_multicast
