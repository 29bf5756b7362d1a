"""DICOM files to a PACS by C-STORE, with retries: what was stored is not sent again, what cannot be is named.

Retried: no answer, a broken association, a rejection that the PACS calls transient, and a PACS out of resources (status
A7xx). Not retried: a rejection for good (mostly an unknown AE title), a class or encoding that is not accepted, and any
other failure status: sending again would change nothing.

A PACS that holds an instance already answers with success or a warning; both count as stored, so that repeating a push
does no harm. Files are sent as they are; only uncompressed ones may be re-encoded between the two little endian
syntaxes, where the PACS takes no other. Errors name the place of a file and its UID, never a value of it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from cds.errors import InputError, PacsAssociationRefusedError, PacsRefusedError, PacsUnreachableError
from cds.pacs.tls import TlsFiles, client_context
from imaging.dicom.dataset import quiet

MAX_CONTEXTS: Final = 128
"""Presentation contexts that one association can hold (PS3.8 9.3.2.2)."""
_SUCCESS: Final = 0x0000
_WARNINGS: Final = (0xB000, 0xB006, 0xB007)
_OUT_OF_RESOURCES: Final = 0xA700
_TRANSIENT_REJECTION: Final = 2
VERIFICATION: Final = UID("1.2.840.10008.1.1")
"""C-ECHO (PS3.4 annex A)."""
MEDIUM, HIGH = 0x0000, 0x0001
"""Priority of a DIMSE request (PS3.7 E.1)."""
# The library's log holds identifiers of queries and texts of exceptions.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
_UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsPeer:
    """Where to send, and as whom."""

    host: str
    port: int
    called_aet: str
    """Application Entity title of the PACS, 1 to 16 characters."""
    calling_aet: str = "FRACTURE-CDS"
    """Our own; many a PACS answers only titles that it knows."""
    timeout_s: float = 30.0
    """Longest wait for a connection or an answer."""
    tls: TlsFiles | None = None
    """None sends unencrypted."""


class Outcome(StrEnum):
    """What became of one file."""

    STORED = "stored"
    STORED_WITH_WARNING = "stored_with_warning"
    """The PACS coerced a value or misses one; it keeps the instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One file that the PACS holds now."""

    sop_instance_uid: str
    outcome: Outcome
    attempts: int
    """Associations that were opened before this file was stored, counted from 1."""


def push(
    contents: Sequence[bytes],
    peer: PacsPeer,
    *,
    attempts: int = 3,
    pause_s: float = 2.0,
    first: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Sent, ...]:
    """Store DICOM files in a PACS.

    Args:
        contents: the files, as bytes.
        peer: the PACS.
        attempts: associations to open at most.
        pause_s: seconds before the second attempt; doubled before each further one.
        first: ask the PACS to treat them with priority HIGH instead of MEDIUM (PS3.7 9.1.1); few act on it.
        sleep: waits; tests pass their own.

    Returns:
        One entry a file, in their order; returned only when every one is stored.

    Raises:
        InputError: a file is no DICOM instance, or there are too many kinds of them for one association.
        PacsUnreachableError: the PACS did not answer, or broke off, every time.
        PacsRefusedError: it refuses the association or a file for good.
    """
    datasets = [_instance(content, place) for place, content in enumerate(contents, start=1)]
    entity = _entity(datasets, peer)
    stored: dict[int, Sent] = {}
    for attempt in range(1, attempts + 1):
        if attempt > 1:
            sleep(pause_s * 2 ** (attempt - 2))
        if _attempt(entity, peer, datasets, stored, attempt, HIGH if first else MEDIUM):
            return tuple(stored[place] for place in range(len(datasets)))
    raise PacsUnreachableError(stored=len(stored), total=len(datasets), attempts=attempts)


def _instance(content: bytes, place: int) -> FileDataset:
    with quiet():
        try:
            dataset = dcmread(BytesIO(content))
            complete = bool(dataset.SOPInstanceUID and dataset.SOPClassUID and dataset.file_meta.TransferSyntaxUID)
        except Exception:  # pydicom answers damaged bytes with almost any exception, and its texts quote the file
            complete = False
    if not complete:
        raise InputError(
            f"File number {place} is no DICOM instance that can be sent.",
            remedy="Give DICOM files with their file meta information, such as sr.dcm.",
        )
    return dataset


def _entity(datasets: Sequence[FileDataset], peer: PacsPeer) -> Any:
    entity = own_entity(peer)
    kinds = dict.fromkeys((UID(one.SOPClassUID), UID(one.file_meta.TransferSyntaxUID)) for one in datasets)
    if len(kinds) > MAX_CONTEXTS:
        raise InputError("The files are of too many kinds for one association.", remedy="Send fewer files at once.")
    for sop_class, syntax in kinds:
        offered = list(_UNCOMPRESSED) if syntax in _UNCOMPRESSED else [syntax]
        entity.add_requested_context(sop_class, offered)
    return entity


def _attempt(
    entity: Any, peer: PacsPeer, datasets: Sequence[FileDataset], stored: dict[int, Sent], attempt: int, priority: int
) -> bool:
    """One association for what is not stored yet; whether everything is stored now."""
    association = associate(entity, peer)
    if association is None:
        return False
    try:
        for place, dataset in enumerate(datasets):
            if place in stored:
                continue
            outcome = _store(association, dataset, place + 1, priority)
            if outcome is None:
                return False
            stored[place] = Sent(sop_instance_uid=str(dataset.SOPInstanceUID), outcome=outcome, attempts=attempt)
    finally:
        if association.is_established:
            association.release()
    return True


def associate(
    entity: Any, peer: PacsPeer, *, roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
) -> Association | None:
    """Open an association with a peer; None when it does not answer now, but may later.

    Args:
        entity: from `own_entity`, with its presentation contexts.
        peer: whom to call.
        roles: role selection items, where the peer is to send to us (C-GET).
        handlers: event handlers.

    Raises:
        PacsRefusedError: it refuses for good.
        SettingsError: a file for TLS cannot be used.
    """
    tls = None if peer.tls is None else (client_context(peer.tls), peer.host)
    association: Association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.called_aet,
        tls_args=tls,
        ext_neg=list(roles),
        evt_handlers=list(handlers),
    )
    if association.is_established:
        return association
    _refuse_rejection(association)
    return None


def own_entity(peer: PacsPeer) -> Any:
    """This program as a caller, with the peer's patience; presentation contexts are still to be added."""
    entity = AE(ae_title=peer.calling_aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    entity.connection_timeout = peer.timeout_s
    return entity


def _refuse_rejection(association: Association) -> None:
    """Raise when the PACS refused for good; return when it may yet answer."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None and answer.result != _TRANSIENT_REJECTION:
        raise PacsAssociationRefusedError(
            "The PACS refuses the association.",
            remedy="Check --called-aet and --calling-aet: a PACS answers to its own title and to titles it knows.",
        )


def _store(association: Association, dataset: FileDataset, place: int, priority: int) -> Outcome | None:
    """Send one file; None when it is worth trying again."""
    try:
        status = association.send_c_store(dataset, priority=priority)
    except ValueError:
        raise PacsRefusedError(
            f"The PACS accepts no {UID(dataset.SOPClassUID).name} in this encoding (file number {place}).",
            remedy="Have the class enabled at the PACS, or send the other files only.",
        ) from None
    except RuntimeError:  # the association broke between two files
        return None
    code = status.get("Status")
    if code is None or code & 0xFF00 == _OUT_OF_RESOURCES:
        return None
    if code == _SUCCESS:
        return Outcome.STORED
    if code in _WARNINGS:
        return Outcome.STORED_WITH_WARNING
    raise PacsRefusedError(
        f"The PACS refuses file number {place} with status {code:04X}.",
        remedy="See the log of the PACS under this SOP Instance UID: " + str(dataset.SOPInstanceUID),
    )
