"""The C-STORE and C-ECHO provider (PS3.4 annexes A and B): takes instances and puts them into the queue.

Every storage class is accepted in every transfer syntax, so that a PACS that forwards whole studies sees no failure;
what is no limb radiograph is acknowledged and left alone. Success is answered only once the instance is on the disk.

=======  ===============================================================================================
status   meaning
=======  ===============================================================================================
0000     in the queue, there already, or nothing to assess
B006     another image came under the same SOP Instance UID before: the first one is kept, this one is discarded
A700     the queue or the disk is full, or the database does not answer: send it again later
A900     the file holds another instance than was announced
C000     the file cannot be read as DICOM
C001     the file is larger than ``FRACTURE_CDS_MAX_IMAGE_MIB``
=======  ===============================================================================================
"""

import ipaddress
import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt

from cds.errors import SettingsError
from cds.pacs.callers import Caller
from cds.pacs.intake import Intake, Taken, Verdict
from cds.pacs.send import HIGH, VERIFICATION
from cds.pacs.tls import TlsFiles, server_context

_log = logging.getLogger(__name__)
STATUSES: Final = {
    Verdict.QUEUED: 0x0000,
    Verdict.KNOWN: 0x0000,
    Verdict.SKIPPED: 0x0000,
    Verdict.CHANGED: 0xB006,
    Verdict.NO_ROOM: 0xA700,
    Verdict.NOT_AS_SAID: 0xA900,
    Verdict.NOT_READABLE: 0xC000,
    Verdict.TOO_LARGE: 0xC001,
}
_COMMENTS: Final = {
    Verdict.CHANGED: "Another image came under this UID before and is kept",
    Verdict.NO_ROOM: "No room now: send it again later",
    Verdict.NOT_AS_SAID: "Not the instance that was announced",
    Verdict.NOT_READABLE: "Not readable as DICOM",
    Verdict.TOO_LARGE: "Larger than is accepted here",
}
_MAX_PDU: Final = 1 << 17
"""Bytes that a peer may put into one unit; what declares more is cut off (PS3.8 9.3.1)."""
_REJECTED_CALLER: Final = (0x01, 0x01, 0x03)
"""Permanent, by the service user, calling AE title not recognised (PS3.8 table 9-21)."""
_SLACK: Final = 2
"""An association may carry this many times the largest file for one instance before it is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Where to listen, and for whom."""

    host: str = "127.0.0.1"
    port: int = 11112
    """0 lets the system choose."""
    aet: str = "FRACTURE-CDS"
    callers: tuple[Caller, ...] = ()
    """Empty: anybody, which only the loopback address allows."""
    max_associations: int = 8
    timeout_s: float = 30.0
    tls: TlsFiles | None = None


class Listener:
    """Listens until it is stopped.

    Args:
        intake: where instances go.
        options: where and for whom.
    """

    def __init__(self, intake: Intake, options: ListenerOptions) -> None:
        self._intake = intake
        self._options = options
        self._entity = _entity(options)
        self._server: Any = None
        self._lock = threading.Lock()
        self._received: dict[int, int] = {}
        self._counts: Counter[str] = Counter()

    def start(self) -> int:
        """Listen from now on, in threads of its own.

        Returns:
            The port.

        Raises:
            SettingsError: the address cannot be used, or would be open to everybody.
        """
        options = self._options
        if not options.callers and not _is_loopback(options.host):
            raise SettingsError(
                "A listener that other hosts reach must know who may call.",
                remedy="Name the callers with --allow AET@address, or listen on 127.0.0.1.",
            )
        context = None if options.tls is None else server_context(options.tls)
        handlers = [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_CONN_CLOSE, self._forget),
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_PDU_RECV, self._count),
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, self._store),
        ]
        try:
            self._server = self._entity.start_server(
                (options.host, options.port), block=False, evt_handlers=handlers, ssl_context=context
            )
        except OSError as error:
            raise SettingsError(
                f"The listener cannot have port {options.port}: {error.strerror or type(error).__name__}.",
                remedy="Choose another --port, or end the program that has it.",
            ) from None
        return int(self._server.socket.getsockname()[1])

    @property
    def counts(self) -> dict[str, int]:
        """Verdict to number of instances since the start."""
        with self._lock:
            return dict(self._counts)

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Take no further association, let those that are open end, then cut off what is left."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        deadline = time.monotonic() + grace_s
        while self._entity.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self._entity.shutdown()

    def _admit(self, event: evt.Event) -> None:
        """Reject a caller that is not on the list, before anything is agreed with it."""
        if not self._options.callers:
            return
        requestor: Any = event.assoc.requestor
        aet = str(requestor.primitive.calling_ae_title or "").strip()
        if any(one.admits(aet, str(requestor.address)) for one in self._options.callers):
            return
        _log.warning("an association was rejected: its title and address are not on the allow-list")
        event.assoc.acse.send_reject(*_REJECTED_CALLER)
        event.assoc.kill()

    def _bound(self, event: evt.Event) -> None:
        """Bound what a peer can hold us up with: a unit that never ends, or never comes.

        The library would read as many bytes as the peer declares, and wait for them for ever.
        """
        wrapped: Any = event.assoc.dul.socket
        wrapped.socket.settimeout(self._options.timeout_s)
        receive = wrapped.recv

        def bounded(count: int) -> Any:
            if count > _MAX_PDU:
                raise OSError("a unit is longer than was agreed")
            return receive(count)

        wrapped.recv = bounded

    def _forget(self, event: evt.Event) -> None:
        with self._lock:
            self._received.pop(id(event.assoc), None)

    def _count(self, event: evt.Event) -> None:
        """Cut an association off that sends far more for one instance than is accepted."""
        size = getattr(event.pdu, "pdu_length", 0)
        with self._lock:
            total = self._received.get(id(event.assoc), 0) + size
            self._received[id(event.assoc)] = total
        if total > _SLACK * self._intake.max_bytes + _MAX_PDU:
            _log.warning("an association was cut off: one instance is far larger than is accepted")
            event.assoc.abort()

    def _store(self, event: evt.Event) -> int | Dataset:
        self._received_new(event)
        try:
            taken = self._take(event)
        except Exception as error:  # whatever happens, the sender must not believe that the instance is kept
            _log.error("an instance could not be taken in", exc_info=error)
            taken = Taken(verdict=Verdict.NO_ROOM, reason="internal")
        with self._lock:
            self._counts[taken.verdict.value] += 1
        _log.info("instance %s%s", taken.verdict.value, f" ({taken.reason})" if taken.reason else "")
        return _answer(taken.verdict)

    def _take(self, event: evt.Event) -> Taken:
        request: Any = event.request
        if request.DataSet.getbuffer().nbytes > self._intake.max_bytes:
            return Taken(verdict=Verdict.TOO_LARGE)
        return self._intake.take(
            event.encoded_dataset(),
            announced=str(request.AffectedSOPInstanceUID),
            first=request.Priority == HIGH,
        )

    def _received_new(self, event: evt.Event) -> None:
        with self._lock:
            self._received[id(event.assoc)] = 0


def _entity(options: ListenerOptions) -> Any:
    entity = AE(ae_title=options.aet)
    entity.require_called_aet = True
    entity.maximum_associations = options.max_associations
    entity.maximum_pdu_size = _MAX_PDU - 1024
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = options.timeout_s
    entity.add_supported_context(VERIFICATION)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), AllTransferSyntaxes)
    return entity


def _answer(verdict: Verdict) -> int | Dataset:
    comment = _COMMENTS.get(verdict)
    if comment is None:
        return STATUSES[verdict]
    status = Dataset()
    status.Status = STATUSES[verdict]
    status.ErrorComment = comment
    return status


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
