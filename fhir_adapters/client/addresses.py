"""Addresses of servers: what is a usable base, what is the same server, and what may appear in a message."""

import ipaddress
import re

import httpx

from fhir_adapters.errors import ServerAddressError

_TYPE = re.compile(r"[A-Z][A-Za-z]{2,60}")
_OPERATION = re.compile(r"\$[a-z][a-z-]{1,40}")
_PLAIN = frozenset({"metadata", "auth", "token", "smart-configuration", "_search", "studies", "series", "instances"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def base_address(text: str, *, credentials: bool = False) -> httpx.URL:
    """The base address of a server, ending in a slash.

    Args:
        text: such as ``https://ehr.example/fhir``.
        credentials: whether a token will be sent there; then only https, or this machine itself, will do.

    Raises:
        ServerAddressError: no absolute http(s) address, one with a password, a query or a fragment, or one on which a
            token would travel readable.
    """
    try:
        url = httpx.URL(text.strip())
    except (httpx.InvalidURL, ValueError, TypeError):
        raise ServerAddressError("The address of the server cannot be read.") from None
    if url.scheme not in _DEFAULT_PORTS or not url.host:
        raise ServerAddressError("The address of the server is not an absolute http or https address.")
    if url.userinfo or url.query or url.fragment:
        raise ServerAddressError("The address of the server carries a password, a query or a fragment.")
    if credentials:
        require_private(url)
    return url.copy_with(path=url.path.rstrip("/") + "/")


def require_private(url: httpx.URL) -> None:
    """Refuse to send a credential where others could read it.

    Raises:
        ServerAddressError: plain http to another machine.
    """
    if url.scheme != "https" and not is_loopback(url):
        raise ServerAddressError(
            f"Credentials would travel unencrypted to {host_of(url)}.",
            remedy="Use an https address, or no credentials.",
        )


def is_loopback(url: httpx.URL) -> bool:
    """Whether the address is this machine itself."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port, the port explicit."""
    return url.scheme, url.host, url.port or _DEFAULT_PORTS.get(url.scheme)


def host_of(url: httpx.URL) -> str:
    """Host and port: the only part of an address that a message repeats."""
    return url.host if url.port is None else f"{url.host}:{url.port}"


def label_of(url: httpx.URL) -> str:
    """What a request is about, in words without identifiers: resource types, operations and fixed path parts."""
    known = [
        part
        for part in url.path.split("/")
        if _TYPE.fullmatch(part) or _OPERATION.fullmatch(part) or part.removeprefix(".") in _PLAIN
    ]
    return "/".join(known[-2:]) or "a page"
