"""The part of the client that knows HTTP and no FHIR: retries, deadlines, limits, redirects, credentials.

* A token goes to the origin of the base address and nowhere else; another origin is asked without one, and only when
  the caller says so.
* Every request may be repeated: those that change nothing (GET, POST to ``_search``, POST for a token), the DELETE of
  an export that this client began, and the POST of a transaction whose entries are all conditional.
* Messages and log lines name the host and the kind of thing asked for, never an address: it may hold an identifier.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import httpx

from fhir_adapters.client.addresses import base_address, host_of, is_loopback, label_of, origin
from fhir_adapters.client.answers import FHIR_JSON, Reply, error_for
from fhir_adapters.client.retrying import RetryPolicy, parse_retry_after
from fhir_adapters.errors import (
    FhirServerError,
    ServerAddressError,
    ServerAnswerTooLargeError,
    ServerBusyError,
    ServerCertificateError,
    ServerContentError,
    ServerFailureError,
    ServerRedirectError,
    ServerTimeoutError,
    ServerUnreachableError,
)

_log = logging.getLogger(__name__)
# The libraries below log whole addresses at INFO and headers at DEBUG; neither may reach a log.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_MAX_BODY = 64 * 1024 * 1024
PARALLEL = 6
"""Requests in flight at once: as many as a browser would open."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS = 3

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A large answer that is still arriving."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    pieces: AsyncIterator[bytes]
    """The body, decompressed."""


class Authenticator(Protocol):
    """Gives the bearer token of a server."""

    @property
    def renewable(self) -> bool:
        """Whether `token` may give another token after `forget`."""

    async def token(self, http: "HttpClient") -> str:
        """The token to send now; may ask an authorisation server through `http`.

        Raises:
            ClientAuthError: there is none to be had.
        """

    def forget(self, token: str) -> None:
        """Do not give this token again: the server refused it."""


@dataclass(slots=True)
class Traffic:
    """What went over the wire."""

    requests: int = 0
    """Every request sent, retries, tokens and redirects included."""
    retries: int = 0
    received_bytes: int = 0
    """Bodies as transferred, compressed or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, ready to be sent any number of times."""

    method: str
    url: httpx.URL
    label: str
    headers: Mapping[str, str]
    form: Callable[[], Mapping[str, str] | Params] | None
    ok: Collection[int]
    check: Callable[[Reply], object] | None
    credentials: bool
    max_body: int
    body: bytes | None = None
    """JSON to send; excludes `form`."""


class HttpClient:
    """Asynchronous HTTP client for one server; use it with ``async with``."""

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: of the server.
            auth: gives the bearer token; None for an open server.
            timeout: seconds for a connection, and between two pieces of an answer.
            retries: how patient to be; the defaults of `RetryPolicy`.
            transport: replaces the network, for this server.
            elsewhere: the same for the other servers that this one points to; `transport` by default.
            verify: how the server's certificate is checked.
            max_body_bytes: a longer answer is refused.
            sleep: waits between attempts, for tests.

        Raises:
            ServerAddressError: the address cannot be used, or a token would travel unencrypted.
        """
        self.base = base_address(base_url, credentials=auth is not None)
        self.traffic = Traffic()
        self._auth = auth
        self._retries = retries or RetryPolicy()
        self._max_body = max_body_bytes
        self._sleep = sleep
        self._gate = asyncio.Semaphore(PARALLEL)
        self._timeout = timeout
        self._transport = transport
        self._elsewhere = elsewhere
        self._verify = verify
        self._http = self._client(transport)
        self._away = self._http if elsewhere is None else self._client(elsewhere)

    def _client(self, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(self._timeout),
            transport=transport,
            verify=self._verify,
            follow_redirects=False,
            trust_env=not is_loopback(self.base),
            headers={"User-Agent": "fracture-cds"},
        )

    def __repr__(self) -> str:
        """Host only."""
        return f"<{type(self).__name__} {host_of(self.base)}>"

    async def __aenter__(self) -> Self:
        """Open."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._http.__aexit__(kind, error, trace)
        if self._away is not self._http:
            await self._away.aclose()

    def beside(self, base_url: str, *, chosen: bool = False) -> "HttpClient":
        """A client for a server that this one points to: the same patience and traffic count.

        It takes the credentials along only if that address is on this very server.

        Args:
            base_url: of that server.
            chosen: it was named by the operator, not by this server.

        Raises:
            ServerAddressError: the address cannot be used.
        """
        home = self.is_home(base_address(base_url))
        client = HttpClient(
            base_url,
            auth=self._auth if home else None,
            timeout=self._timeout,
            retries=self._retries,
            transport=self._transport if home or chosen or self._elsewhere is None else self._elsewhere,
            elsewhere=self._elsewhere,
            verify=self._verify,
            max_body_bytes=self._max_body,
            sleep=self._sleep,
        )
        client.traffic = self.traffic
        return client

    def address(self, path_or_url: str, params: Params = ()) -> httpx.URL:
        """An absolute address: a path is taken below the base, an absolute address as it is.

        Raises:
            ServerAddressError: it cannot be read.
        """
        try:
            given = httpx.URL(path_or_url)
            url = given if given.is_absolute_url else self.base.join(path_or_url.lstrip("/"))
            return url.copy_merge_params(list(params)) if params else url
        except (httpx.InvalidURL, ValueError, TypeError):
            raise ServerAddressError("An address that the server gave cannot be read.") from None

    def is_home(self, url: httpx.URL) -> bool:
        """Whether an address is on the server itself."""
        return origin(url) == origin(self.base)

    async def get(
        self,
        path_or_url: str,
        *,
        params: Params = (),
        headers: Mapping[str, str] | None = None,
        accept: str = FHIR_JSON,
        ok: Collection[int] = (200,),
        check: Callable[[Reply], object] | None = None,
        foreign: bool = False,
        anonymous: bool = False,
        max_body_bytes: int | None = None,
    ) -> Reply:
        """GET with retries.

        Args:
            path_or_url: below the base, or absolute.
            params: added to the query.
            headers: added to the request.
            accept: media types wanted.
            ok: statuses that are no error.
            check: looks at an answer of an `ok` status; what it raises as `ServerContentError` is tried once more.
            foreign: whether another host may be asked, without credentials.
            anonymous: ask without credentials at home, too.
            max_body_bytes: overrides the client's limit.

        Raises:
            FhirServerError: by status, by content, or no answer at all.
            ClientAuthError: no token to be had.
        """
        return await self._request(
            "GET",
            self.address(path_or_url, params),
            headers={"Accept": accept, **(headers or {})},
            ok=ok,
            check=check,
            credentials=not anonymous,
            foreign=foreign,
            max_body=max_body_bytes,
        )

    async def post_form(
        self,
        path_or_url: str,
        form: Callable[[], Mapping[str, str] | Params],
        *,
        headers: Mapping[str, str] | None = None,
        accept: str = FHIR_JSON,
        ok: Collection[int] = (200,),
        check: Callable[[Reply], object] | None = None,
        anonymous: bool = False,
        foreign: bool = False,
    ) -> Reply:
        """POST of a form that changes nothing on the server, with retries.

        Args:
            path_or_url: as in `get`.
            form: makes the fields anew for every attempt (a signed assertion is used once only).
            headers: as in `get`.
            accept: as in `get`.
            ok: as in `get`.
            check: as in `get`.
            anonymous: as in `get`.
            foreign: as in `get`.

        Raises:
            FhirServerError: as in `get`.
            ClientAuthError: as in `get`.
        """
        return await self._request(
            "POST",
            self.address(path_or_url),
            headers={"Accept": accept, **(headers or {})},
            form=form,
            ok=ok,
            check=check,
            credentials=not anonymous,
            foreign=foreign,
        )

    async def post_json(
        self,
        path_or_url: str,
        body: bytes,
        *,
        ok: Collection[int] = (200,),
        check: Callable[[Reply], object] | None = None,
    ) -> Reply:
        """POST of FHIR JSON that the server may receive more than once without harm, with retries, at home only.

        Args:
            path_or_url: as in `get`.
            body: the JSON.
            ok: as in `get`.
            check: as in `get`.

        Raises:
            FhirServerError: as in `get`.
            ClientAuthError: as in `get`.
        """
        return await self.post_bytes(path_or_url, body, content_type=FHIR_JSON, accept=FHIR_JSON, ok=ok, check=check)

    async def post_bytes(
        self,
        path_or_url: str,
        body: bytes,
        *,
        content_type: str,
        accept: str,
        ok: Collection[int] = (200,),
        check: Callable[[Reply], object] | None = None,
    ) -> Reply:
        """POST of any content that the server may receive more than once without harm, with retries, at home only.

        Args:
            path_or_url: as in `get`.
            body: the content.
            content_type: its media type.
            accept: media types wanted.
            ok: as in `get`.
            check: as in `get`.

        Raises:
            FhirServerError: as in `get`.
            ClientAuthError: as in `get`.
        """
        return await self._request(
            "POST",
            self.address(path_or_url),
            headers={"Accept": accept, "Content-Type": content_type},
            body=body,
            ok=ok,
            check=check,
        )

    @asynccontextmanager
    async def stream(
        self, path_or_url: str, *, accept: str, anonymous: bool = False, foreign: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of one large answer as they arrive, decompressed; opened once, without retry and deadline.

        Args:
            path_or_url: as in `get`.
            accept: media type wanted.
            anonymous: as in `get`.
            foreign: as in `get`.

        Raises:
            FhirServerError: on opening by status; while reading when the connection breaks.
        """
        async with self.download(path_or_url, accept=accept, anonymous=anonymous, foreign=foreign) as answer:
            yield answer.pieces

    @asynccontextmanager
    async def download(
        self,
        path_or_url: str,
        *,
        accept: str,
        headers: Mapping[str, str] | None = None,
        ok: Collection[int] = (200,),
        anonymous: bool = False,
        foreign: bool = False,
    ) -> AsyncIterator[Download]:
        """One large answer with its status and headers, as `stream`; a refused token is renewed once.

        Args:
            path_or_url: as in `get`.
            accept: media type wanted.
            headers: added to the request.
            ok: statuses that are no error.
            anonymous: as in `get`.
            foreign: as in `get`.

        Raises:
            FhirServerError: on opening by status; while reading when the connection breaks.
            ClientAuthError: no token to be had.
        """
        url = self.address(path_or_url)
        home = self._admit(url, foreign)
        call = _Call(
            method="GET",
            url=url,
            label=label_of(url),
            headers={"Accept": accept, **(headers or {})},
            form=None,
            ok=ok,
            check=None,
            credentials=home and not anonymous and self._auth is not None,
            max_body=1 << 20,
        )
        try:
            response = await self._opened(call)
            try:
                if response.status_code not in ok:
                    body = await self._body_of(response, call.max_body, call.label)
                    raise error_for(_reply(response, body, call.label))
                yield Download(status=response.status_code, headers=response.headers, pieces=response.aiter_bytes())
            finally:
                self.traffic.received_bytes += response.num_bytes_downloaded
                await response.aclose()
        except httpx.HTTPError as error:
            raise _no_answer(error, url) from None

    async def _opened(self, call: _Call) -> httpx.Response:
        """The answer after redirects on the same server, and with a new token if the first was refused."""
        hops = 0
        renewed = False
        while True:
            token = await self._auth.token(self) if call.credentials and self._auth is not None else None
            headers = {**call.headers, **({} if token is None else {"Authorization": f"Bearer {token}"})}
            self.traffic.requests += 1
            http = self._http if self.is_home(call.url) else self._away
            request = http.build_request(call.method, call.url, headers=headers)
            response = await http.send(request, stream=True)
            refused = response.status_code == 401 and token is not None and not renewed
            if response.status_code in _REDIRECTS:
                await response.aclose()
                call, hops = self._redirected(call, _reply(response, b"", call.label), hops), hops + 1
            elif refused and token is not None and self._auth is not None and self._auth.renewable:
                await response.aclose()
                self._auth.forget(token)
                renewed = True
            else:
                return response

    async def delete(self, path_or_url: str, *, ok: Collection[int] = (200, 202, 204)) -> Reply:
        """DELETE with retries, at home only.

        Args:
            path_or_url: as in `get`.
            ok: statuses that are no error.

        Raises:
            FhirServerError: as in `get`.
            ClientAuthError: as in `get`.
        """
        return await self._request(
            "DELETE", self.address(path_or_url), headers={"Accept": FHIR_JSON}, ok=ok, check=None
        )

    async def _request(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str],
        form: Callable[[], Mapping[str, str] | Params] | None = None,
        body: bytes | None = None,
        ok: Collection[int],
        check: Callable[[Reply], object] | None,
        credentials: bool = True,
        foreign: bool = False,
        max_body: int | None = None,
    ) -> Reply:
        home = self._admit(url, foreign)
        call = _Call(
            method=method,
            url=url,
            label=label_of(url),
            headers=headers,
            form=form,
            ok=ok,
            check=check,
            credentials=credentials and home and self._auth is not None,
            max_body=max_body or self._max_body,
            body=body,
        )
        try:
            async with asyncio.timeout(self._retries.deadline_s):
                return await self._until_answered(call)
        except TimeoutError:
            raise ServerTimeoutError(
                f"{host_of(url)} did not answer {call.label} within {self._retries.deadline_s:.0f} s."
            ) from None

    def _admit(self, url: httpx.URL, foreign: bool) -> bool:
        """Whether an address is at home; another one must be expected."""
        home = self.is_home(url)
        if not home and (not foreign or url.scheme not in {"http", "https"}):
            raise ServerRedirectError(f"The server points to another host, {host_of(url)}, which was not asked.")
        return home

    async def _until_answered(self, call: _Call) -> Reply:
        """Send until there is an answer, or an error that waiting does not mend."""
        started = time.monotonic()
        attempts = failures = hops = 0
        renewed = False
        while True:
            attempts += 1
            token = await self._auth.token(self) if call.credentials and self._auth is not None else None
            retry_after: str | None = None
            try:
                reply = await self._once(call, token)
                _log.debug("%s %s %d %d bytes", call.method, call.label, reply.status, len(reply.body))
                if reply.status in call.ok:
                    if call.check is not None:
                        call.check(reply)
                    return reply
                if reply.status in _REDIRECTS:
                    call, hops = self._redirected(call, reply, hops), hops + 1
                    continue
                if reply.status == 401 and token is not None and self._auth is not None and self._auth.renewable:
                    self._auth.forget(token)
                    if not renewed:
                        renewed = True
                        continue
                retry_after = reply.headers.get("retry-after")
                raise error_for(reply)
            except (ServerBusyError, ServerUnreachableError, ServerTimeoutError) as error:
                if attempts >= self._retries.attempts:
                    raise
                problem: FhirServerError = error
            except (ServerFailureError, ServerContentError) as error:
                failures += 1
                if failures >= self._retries.failure_attempts:
                    raise
                problem = error
            await self._wait(attempts, retry_after, started, problem)

    async def _wait(self, attempts: int, retry_after: str | None, started: float, problem: FhirServerError) -> None:
        """Wait before the next attempt, or give up at once when the server asks for more than the deadline leaves."""
        wait_s = self._retries.wait_s(attempts, retry_after)
        if wait_s > self._retries.deadline_s - (time.monotonic() - started):
            asked = parse_retry_after(retry_after)
            if asked is not None:
                problem.remedy = f"The server asks to be tried again in {asked:.0f} s."
            raise problem
        self.traffic.retries += 1
        await self._sleep(wait_s)

    async def _once(self, call: _Call, token: str | None) -> Reply:
        headers = dict(call.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = call.body
        if call.form is not None:
            fields = call.form()
            content = str(httpx.QueryParams(fields if isinstance(fields, Mapping) else list(fields))).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        http = self._http if self.is_home(call.url) else self._away
        request = http.build_request(call.method, call.url, headers=headers, content=content)
        async with self._gate:
            self.traffic.requests += 1
            try:
                response = await http.send(request, stream=True)
                try:
                    body = await self._body_of(response, call.max_body, call.label)
                finally:
                    await response.aclose()
            except httpx.HTTPError as error:
                raise _no_answer(error, call.url) from None
        self.traffic.received_bytes += response.num_bytes_downloaded or len(body)
        return _reply(response, body, call.label)

    async def _body_of(self, response: httpx.Response, limit: int, label: str) -> bytes:
        """The whole body, counted after decompression so that a small answer cannot fill the memory."""
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > limit:
                raise ServerAnswerTooLargeError(f"The answer to {label} is larger than {limit / 2**20:.0f} MiB.")
            parts.append(part)
        return b"".join(parts)

    def _redirected(self, call: _Call, reply: Reply, hops: int) -> _Call:
        """The call at its new address, if that is on the same server and the request may be repeated there."""
        target = reply.headers.get("location", "")
        try:
            url = httpx.URL(reply.url).join(target)
        except (httpx.InvalidURL, ValueError):
            raise ServerRedirectError(f"The server redirects {call.label} to an unreadable address.") from None
        if origin(url) != origin(call.url):
            raise ServerRedirectError(f"The server redirects {call.label} to another host, {host_of(url)}.")
        if not target or hops >= _MAX_HOPS or call.method != "GET":
            raise ServerRedirectError(
                f"The server keeps redirecting {call.label}.", remedy="Check the base address of the server."
            )
        return replace(call, url=url)


def _reply(response: httpx.Response, body: bytes, label: str) -> Reply:
    return Reply(
        status=response.status_code, headers=response.headers, body=body, url=str(response.request.url), label=label
    )


def _no_answer(error: httpx.HTTPError, url: httpx.URL) -> FhirServerError:
    """The error for a request without an answer; the library's own message holds the address and is dropped."""
    host = host_of(url)
    if isinstance(error, httpx.TimeoutException):
        return ServerTimeoutError(f"{host} did not answer in time.")
    if isinstance(error, httpx.DecodingError):
        return ServerContentError(f"The answer of {host} cannot be decompressed.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ServerCertificateError(f"The certificate of {host} is not trusted.")
    if isinstance(error, httpx.RemoteProtocolError):
        return ServerUnreachableError(f"{host} broke off its answer.")
    return ServerUnreachableError(f"{host} cannot be reached.")
