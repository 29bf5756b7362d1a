"""A network transport that connects to the address that was judged, and to no other.

A name is looked up once for each request; what it resolves to is judged, and the connection goes to exactly that
address: a name that changes its mind between the check and the connection (DNS rebinding) changes nothing. The request
still carries the name, and TLS still verifies the certificate against the name.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from urllib.request import getproxies

import httpx

from cds.security.addresses import AllowedServers, Reach, Resolver, looked_up, reach_of, resolve
from cds.settings import Settings
from fhir_adapters.errors import ServerAddressError

Judge = Callable[[httpx.URL], Sequence[str]]
"""Gives the network addresses of a URL, best first, or raises `ServerAddressError`."""


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects where a judge says.

    No proxy of the environment is used: a proxy would look the name up again.

    Args:
        judge: called for each request, in a thread, redirects included.
        verify: how certificates are checked.
    """

    def __init__(self, judge: Judge, *, verify: ssl.SSLContext | bool = True) -> None:
        self._judge = judge
        self._verify = verify
        # One for each name, so that a connection whose certificate was checked for one name is used for no other.
        self._inner: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of the judged addresses that takes a connection.

        Raises:
            ServerAddressError: the judge refuses.
            httpx.HTTPError: as every transport.
        """
        places = await asyncio.to_thread(self._judge, request.url)
        host = request.url.host
        inner = self._inner.get(host)
        if inner is None:
            inner = self._inner[host] = httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False)
        for place in places[:-1]:
            try:
                return await inner.handle_async_request(_pinned(request, place))
            except (httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent yet
                continue
        return await inner.handle_async_request(_pinned(request, places[-1]))

    async def aclose(self) -> None:
        """Close all connections."""
        for one in self._inner.values():
            await one.aclose()


def _pinned(request: httpx.Request, place: str) -> httpx.Request:
    """The same request, its connection going to a network address; ``Host`` stays, and TLS asks for the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=place),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def named_by_requests(
    bases: Sequence[str],
    settings: Settings,
    *,
    verify: ssl.SSLContext | bool = True,
    resolver: Resolver = resolve,
) -> PinnedTransport:
    """For servers that somebody else's request can make this service ask: listed ones only, each where it should be.

    Args:
        bases: the base addresses that may be asked.
        settings: which hosts may lie in a private network.
        verify: how certificates are checked.
        resolver: names to addresses.

    Raises:
        SettingsError: a base is no usable address.
    """
    allowed = AllowedServers(bases, private_ok=settings.private_hosts, resolver=resolver)
    return PinnedTransport(allowed.places, verify=verify)


def named_by_servers(
    host: str, *, verify: ssl.SSLContext | bool = True, resolver: Resolver = resolve
) -> PinnedTransport | None:
    """For addresses that the operator's own server points to: pictures, files of an export, its token endpoint.

    They lie where that server's owner put them, in the hospital's network or outside; but never on this machine or its
    link, unless the server itself does.

    Args:
        host: of the operator's own server.
        verify: how certificates are checked.
        resolver: names to addresses.

    Returns:
        None where a proxy of the environment stands in between: it looks names up, and decides.
    """
    if reach_of(host) is Reach.INSIDE or getproxies():
        return None
    return PinnedTransport(partial(_not_inside, resolver=resolver), verify=verify)


def _not_inside(url: httpx.URL, *, resolver: Resolver) -> tuple[str, ...]:
    found = looked_up(url.host, resolver)
    if any(reach_of(one) is Reach.INSIDE for one in found):
        raise ServerAddressError("The server points to an address of this machine or its network link.")
    return found
