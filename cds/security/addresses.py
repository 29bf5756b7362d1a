"""Which servers may be asked: an allow-list of base addresses, and what their names may resolve to.

A request that names a server (``fhirServer``, a JWKS, a webhook) must not make this service reach into its own network
(server-side request forgery). So an address is compared as a whole, after normalisation, with a list of base addresses;
a redirect is judged like a new address; and a name on a list of public servers may not resolve to a private address.
"""

import ipaddress
import posixpath
import socket
from collections.abc import Callable, Collection, Iterable
from urllib.parse import unquote

import httpx

from cds.errors import SettingsError
from fhir_adapters.client.addresses import base_address, origin
from fhir_adapters.errors import ServerAddressError

Resolver = Callable[[str], Iterable[str]]
"""Gives the addresses of a host name."""


def resolve(host: str) -> tuple[str, ...]:
    """What the system's resolver says.

    Raises:
        OSError: the name is not known.
    """
    return tuple(dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(host, None)))


class AllowedServers:
    """Base addresses that may be asked."""

    def __init__(
        self, bases: Collection[str], *, private_ok: Collection[str] = (), resolver: Resolver = resolve
    ) -> None:
        """Prepare.

        Args:
            bases: such as ``https://ehr.example/fhir``; everything below each is allowed.
            private_ok: host names that may resolve to private addresses (a hospital's own network); a host given as a
                private address in `bases` is one by itself.
            resolver: names to addresses.

        Raises:
            SettingsError: a base is no usable address.
        """
        try:
            self._bases = tuple(base_address(one) for one in bases)
        except ServerAddressError as error:
            raise SettingsError(
                "An address on a list of allowed servers cannot be used.", remedy=error.remedy
            ) from None
        self._private_ok = {one.lower() for one in private_ok} | {
            one.host for one in self._bases if _private(one.host) is not None
        }
        self._resolver = resolver

    def check(self, address: str) -> httpx.URL:
        """The address, if it may be asked; to be called for the target of every redirect as well.

        Raises:
            ServerAddressError: it is none, is not on the list, or its name leads into a private network.
        """
        try:
            url = httpx.URL(address)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise ServerAddressError("The address of the server cannot be read.") from None
        if url.userinfo or not any(_below(url, base) for base in self._bases):
            raise ServerAddressError("The server is not on the list of allowed ones.")
        self._check_names(url.host)
        return url

    def _check_names(self, host: str) -> None:
        if host.lower() in self._private_ok:
            return
        try:
            found = [host] if _private(host) is not None else list(self._resolver(host))
        except OSError:
            raise ServerAddressError("The name of the server cannot be resolved.") from None
        if not found or any(_private(one) is not False for one in found):
            raise ServerAddressError("The name of the server leads into a private network.")


def _below(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether an address is a base or lies below it; dots and escapes in the path lead nowhere else."""
    path = unquote(unquote(url.path))
    if "\\" in path or "\x00" in path:
        return False
    plain = posixpath.normpath("/" + path.lstrip("/"))
    inside = base.path == "/" or (plain + "/").startswith(base.path)
    return origin(url) == origin(base) and inside


def _private(host: str) -> bool | None:
    """Whether an address is anything but public; None for a name.

    Every writing that an operating system takes for an address counts: decimal, octal, mapped into IPv6.
    """
    text = host.strip("[]").partition("%")[0]
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(text))
        except OSError:
            return True if host == "localhost" or host.endswith(".localhost") else None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return not inner.is_global
    return not address.is_global or address.is_multicast
