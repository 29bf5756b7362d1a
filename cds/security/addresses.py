"""Which servers may be asked: an allow-list of base addresses, and what their names may resolve to.

A request that names a server (``fhirServer``, the issuer whose JWKS is read) must not make this service reach into its
own network (server-side request forgery). So an address is compared as a whole, after normalisation, with a list of
base addresses; a redirect is judged like a new address; a name on the list may not resolve to a private address unless
it is said to be one of the hospital's own; and what was judged is what is connected to (`cds.security.pinning`), so
that a name that resolves to something else a moment later (DNS rebinding) gains nothing.
"""

import ipaddress
import posixpath
import socket
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from urllib.parse import unquote

import httpx

from cds.errors import SettingsError
from fhir_adapters.client.addresses import base_address, origin
from fhir_adapters.errors import ServerAddressError

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
Resolver = Callable[[str], Iterable[str]]
"""Gives the addresses of a host name."""


class Reach(Enum):
    """Where an address leads."""

    PUBLIC = auto()
    PRIVATE = auto()
    """Into a network of somebody's own."""
    INSIDE = auto()
    """To this machine, to what only machines beside it can reach (cloud metadata), or to no single machine."""


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
            private_ok: host names that may resolve to private addresses (a hospital's own network), though not to this
                machine or its link; a host given as an address in `bases` is allowed by itself, whatever it is.
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
        self._private_ok = frozenset(one.lower() for one in private_ok)
        self._literal = frozenset(one.host for one in self._bases if reach_of(one.host) is not None)
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
        self.places(url)
        return url

    def places(self, url: httpx.URL) -> tuple[str, ...]:
        """The network addresses to connect to for an address that may be asked, best first.

        Raises:
            ServerAddressError: as `check`.
        """
        if url.userinfo or not any(_below(url, base) for base in self._bases):
            raise ServerAddressError("The server is not on the list of allowed ones.")
        found = looked_up(url.host, self._resolver)
        if url.host in self._literal:
            return found
        worst = {Reach.PUBLIC, Reach.PRIVATE} if url.host.lower() in self._private_ok else {Reach.PUBLIC}
        if any(reach_of(one) not in worst for one in found):
            raise ServerAddressError(
                "The name of the server leads into a private network.",
                remedy="Name its host in FRACTURE_CDS_PRIVATE_HOSTS if it is a server of the hospital's own network.",
            )
        return found


def looked_up(host: str, resolver: Resolver = resolve) -> tuple[str, ...]:
    """The network addresses of a host name, or the address itself.

    Raises:
        ServerAddressError: the name is not known.
    """
    if reach_of(host) is not None and not _is_localhost(host):
        return (host,)
    try:
        found = tuple(resolver(host))
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise ServerAddressError("The name of the server cannot be resolved.")
    return found


def _below(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether an address is a base or lies below it; dots and escapes in the path lead nowhere else."""
    path = unquote(unquote(url.path))
    if "\\" in path or "\x00" in path:
        return False
    plain = posixpath.normpath("/" + path.lstrip("/"))
    inside = base.path == "/" or (plain + "/").startswith(base.path)
    return origin(url) == origin(base) and inside


def reach_of(host: str) -> Reach | None:
    """Where an address leads; None for a name, save those of this machine.

    Every writing that an operating system takes for an address counts: decimal, octal, mapped into IPv6.
    """
    text = host.strip("[]").partition("%")[0]
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(text))
        except (OSError, UnicodeError):
            return Reach.INSIDE if _is_localhost(host) else None
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or _translated(address) or address
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return Reach.INSIDE
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address behind the well-known prefix of NAT64 (RFC 6052), or in the low bits (RFC 4291, deprecated)."""
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_localhost(host: str) -> bool:
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")
