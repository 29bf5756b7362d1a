"""A renewed certificate is taken up without a restart, and one that is about to expire is told about.

Only new connections see it. A pair that does not fit (the certificate is there, its key not yet) is left alone until it
does.
"""

import logging
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509

_log = logging.getLogger(__name__)

EVERY_S: Final = 30.0
EXPIRES_SOON: Final = timedelta(days=14)
TELL_AGAIN: Final = timedelta(hours=12)


class CertificateWatch:
    """Looks at a certificate and its key from time to time.

    Args:
        context: of the server that is running.
        certificate: chain in PEM.
        key: its private key in PEM.
        clock: the time, timezone-aware.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        certificate: Path,
        key: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._context = context
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._seen = self._stamp()
        self._told: datetime | None = None

    def look(self) -> bool:
        """Take a changed pair up, if it fits; say when the certificate ends soon.

        Returns:
            Whether another pair is used from now on.
        """
        taken = False
        stamp = self._stamp()
        if stamp is not None and stamp != self._seen:
            try:
                # Tried on a context of its own: half a change would leave the running one with a key that does not fit.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
                self._context.load_cert_chain(self._certificate, self._key)
            except (OSError, ssl.SSLError):
                _log.warning("the certificate was changed and does not fit its key yet; the one before stays in use")
            else:
                self._seen, self._told, taken = stamp, None, True
                _log.warning("a renewed certificate is in use")
        self._tell()
        return taken

    def follow(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        self.look()
        while not stop.wait(EVERY_S):
            self.look()

    def _tell(self) -> None:
        now = self._clock()
        if self._told is not None and now - self._told < TELL_AGAIN:
            return
        try:
            ends = x509.load_pem_x509_certificate(self._certificate.read_bytes()).not_valid_after_utc
        except (OSError, ValueError):
            return
        if ends <= now:
            _log.error("the certificate of this service has expired; put a new one in its place, no restart is needed")
        elif ends - now < EXPIRES_SOON:
            _log.warning("the certificate of this service expires in %d days", (ends - now).days)
        else:
            return
        self._told = now

    def _stamp(self) -> tuple[tuple[int, int], ...] | None:
        """What changes when a file is written or replaced; None while one is missing."""
        try:
            return tuple((one.st_mtime_ns, one.st_ino) for one in (self._certificate.stat(), self._key.stat()))
        except OSError:
            return None


def renewed_when_changed(certificate: Path, key: Path) -> Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """What makes the context of ``uvicorn``: its own one, watched for as long as the process lives.

    Args:
        certificate: chain in PEM.
        key: its private key in PEM.
    """

    def make(_: object, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = usual()
        watch = CertificateWatch(context, certificate, key)
        threading.Thread(target=watch.follow, args=(threading.Event(),), daemon=True).start()
        return context

    return make
