"""TLS for DICOM (PS3.15 annex B) and the trust that DICOMweb uses: TLS 1.2 or newer, certificates always checked."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cds.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What this program shows to a peer, and whom it believes."""

    certificate: Path | None = None
    """Ours, PEM with its chain."""
    key: Path | None = None
    """Its private key, PEM without a passphrase."""
    authority: Path | None = None
    """Certificates that a peer's must come from; None: the system's for a server, none asked of a client."""


class _LateHandshake(ssl.SSLContext):
    """Leaves the handshake to the thread that reads: a caller that never begins one must not hold up the others."""

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Wrap without a handshake; reading begins with it."""
        return super().wrap_socket(sock, *args, **{**kwargs, "do_handshake_on_connect": False})


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calling a peer: its certificate must be trusted and carry its host name.

    Raises:
        SettingsError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    return _loaded(context, files)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For being called; with an authority the caller must show a certificate, too.

    Raises:
        SettingsError: a file cannot be used, or there is no certificate.
    """
    if files.certificate is None:
        raise SettingsError(
            "A listener with TLS needs a certificate.", remedy="Give --tls-cert and --tls-key, or neither."
        )
    context = _loaded(_LateHandshake(ssl.PROTOCOL_TLS_SERVER), files)
    if files.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _loaded(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if (files.certificate is None) != (files.key is None):
        raise SettingsError(
            "A certificate and its private key belong together.", remedy="Give --tls-cert and --tls-key, or neither."
        )
    try:
        if files.authority is not None:
            context.load_verify_locations(cafile=files.authority)
        if files.certificate is not None:
            # An empty password makes an encrypted key an error instead of a question on the terminal.
            context.load_cert_chain(files.certificate, files.key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"A file for TLS cannot be used: {error.strerror or type(error).__name__}.",
            remedy="Give readable PEM files: a certificate, the private key that fits it, an authority.",
        ) from None
    return context
