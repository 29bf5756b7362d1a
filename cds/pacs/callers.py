"""Who may call the listener: Application Entity titles, each from anywhere or from certain addresses only.

A title is a name that anybody can give; the address makes it harder, TLS with client certificates makes it proof.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from cds.errors import SettingsError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One entry of the allow-list."""

    aet: str
    """Its title, or ``*`` for every title."""
    networks: tuple[Network, ...] | None
    """Where it may call from; None: from anywhere."""

    def admits(self, aet: str, address: str) -> bool:
        """Whether a call comes from this one."""
        if self.aet not in (ANY, aet):
            return False
        if self.networks is None:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.networks)


def parse_callers(texts: Iterable[str]) -> tuple[Caller, ...]:
    """Entries written as ``AET``, ``AET@host``, ``AET@address`` or ``*@10.1.0.0/16``.

    A host name is looked up once, now.

    Raises:
        SettingsError: an entry is written otherwise, a host is not known, or an entry would admit everybody.
    """
    return tuple(_caller(text) for text in texts)


def _caller(text: str) -> Caller:
    aet, separated, place = text.strip().partition("@")
    aet = aet.strip()
    if not 0 < len(aet) <= 16 or not aet.isascii() or not aet.isprintable() or "\\" in aet or (separated and not place):
        raise SettingsError(
            "An entry of the allow-list is not written as it should be.",
            remedy="Write AET, AET@address or *@10.1.0.0/16.",
        )
    if aet == ANY and not place:
        raise SettingsError("An entry of the allow-list admits everybody.", remedy="Name a title or an address.")
    return Caller(aet=aet, networks=_networks(place.strip()) if place else None)


def _networks(place: str) -> tuple[Network, ...]:
    try:
        return (ipaddress.ip_network(place, strict=False),)
    except ValueError:
        pass
    try:
        found = {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(place, None)}
    except (OSError, UnicodeError):
        raise SettingsError(
            "A host of the allow-list is not known.", remedy="Give its address, or mend the name service."
        ) from None
    return tuple(ipaddress.ip_network(one) for one in sorted(found))
