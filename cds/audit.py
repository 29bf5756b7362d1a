"""Who assessed and who looked, when, with which versions; never a word about the patient.

One line of JSON per event. Each line holds the hash of the line before it and ends with its own, so that a changed,
removed, inserted or moved line shows; a signed head beside the file shows a cut end (`cds.audit_head`). Processes
share the file under a lock. Inputs appear only as SHA-256 digests: who holds a file can find its assessments, who
holds only the log learns nothing from it.
"""

import fcntl
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cds.audit_head import Head, SignedHead
from cds.errors import AuditError, TamperedAuditError

AUDIT_SCHEMA = "fracture-cds.audit/2"
_TAIL = 256 * 1024
"""Bytes in which the last line is looked for; a line has about one thousand."""
_LINE = re.compile(rb'(\{.*), "hash": "([0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One assessment, finished or failed."""

    case_id: str
    started: datetime
    """Timezone-aware."""
    duration_ms: int
    actor: str
    """Who asked: ``cli:<login>`` or ``web:<address>``."""
    outcome: str
    """``ok`` or the dotted code of the error that ended the run."""
    engine_version: str
    model_versions: tuple[str, ...]
    """Identifiers of the models and the evidence that took part, in the order they were asked."""
    image_sha256: str | None
    record_sha256: str | None
    patient_key: str | None = field(default=None, repr=False)
    """The patient's identifier in the record system: kept as a keyed digest by the store's chain, by nothing else."""


class AuditKind(StrEnum):
    """What was done."""

    CREATE = "create"
    """An assessment, or something else kept for the first time."""
    READ = "read"
    """A case, a report or an image was opened."""
    QUERY = "query"
    """A list was searched."""
    UPDATE = "update"
    """A report was signed, a finding corrected."""
    DELETE = "delete"
    """Data were erased."""
    EXPORT = "export"
    """Data left the system: a patient's export, a report sent."""
    ALERT = "alert"
    """Before this entry was appended, the trail did not hold what its head named."""
    LOGIN = "login"
    """Somebody logged in, or failed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRecord:
    """Somebody looked at, searched, changed or erased something."""

    occurred: datetime
    """Timezone-aware."""
    kind: AuditKind
    actor: str
    """Who: as `cds.security.roles.Principal.actor` says."""
    outcome: str = "ok"
    """``ok`` or the dotted code of the error."""
    role: str | None = None
    address: str | None = None
    """Network address the request came from."""
    target: str | None = None
    """What: such as ``case/<id>``; no patient's name or number."""
    request_id: str | None = None
    """``X-Request-Id``."""
    query: str | None = field(default=None, repr=False)
    """The raw request of a search, from the path on. Values that name a patient go into `patient_key` instead."""
    token_tail: str | None = field(default=None, repr=False)
    """Last characters of an opaque token."""
    patient_key: str | None = field(default=None, repr=False)
    """As `AuditRecord.patient_key`."""


class AuditTrail(Protocol):
    """Takes records; raises `AuditError` when one cannot be kept."""

    def record(self, entry: AuditRecord) -> None:
        """Keep one record."""


@runtime_checkable
class AccessTrail(Protocol):
    """Takes records of who looked; raises `AuditError` when one cannot be kept."""

    def record_access(self, entry: AccessRecord) -> None:
        """Keep one record."""


def record_access(trail: AuditTrail, entry: AccessRecord) -> None:
    """Keep who looked, on a trail that keeps such records; other trails keep assessments only.

    Raises:
        AuditError: the record cannot be kept.
    """
    if isinstance(trail, AccessTrail):
        trail.record_access(entry)


class NoAuditTrail:
    """Keeps nothing; for tests and where the operator switched the trail off."""

    def record(self, entry: AuditRecord) -> None:
        """Forget the record."""


class JsonLinesAuditTrail:
    """Appends records to a file that only its owner can read."""

    def __init__(self, path: Path, *, key_path: Path | None = None) -> None:
        """Remember the path; folders, file and key are made on the first record.

        Args:
            path: of the file; its head lies beside it.
            key_path: of the key that signs heads; beside the file by default.
        """
        self._path = path
        self._head = head_of(path, key_path)

    def record(self, entry: AuditRecord) -> None:
        """Append one line.

        Raises:
            AuditError: the file cannot be written.
        """
        fields = asdict(entry) | {"started": entry.started.isoformat()}
        del fields["patient_key"]
        self._append(fields)

    def record_access(self, entry: AccessRecord) -> None:
        """Append one line.

        Raises:
            AuditError: the file cannot be written.
        """
        fields = asdict(entry) | {"occurred": entry.occurred.isoformat(), "kind": entry.kind.value}
        for name in ("patient_key", "query", "token_tail"):
            del fields[name]
        self._append(fields)

    def _append(self, fields: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                end = _last(descriptor)
                head, text = end.head, b"" if end.whole else b"\n"
                if self._head.disputes(end.hash_at):
                    head, line = _line({"kind": AuditKind.ALERT.value}, head)
                    text += line
                head, line = _line(fields, head)
                _write(descriptor, text + line)
                self._head.write(head)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditError(
                f"The audit log {self._path} cannot be written: {error.strerror}.",
                remedy="Set FRACTURE_CDS_AUDIT_LOG to a file that can be written, or to 'off' to keep no record.",
            ) from error


def head_of(path: Path, key_path: Path | None = None) -> SignedHead:
    """The signed head of an audit log."""
    return SignedHead(path.with_name(path.name + ".head"), key_path or path.with_name(path.name + ".key"))


def verify_log(path: Path, *, key_path: Path | None = None, anchor: str | None = None) -> tuple[int, tuple[str, ...]]:
    """Look whether an audit log is as it was written.

    Lines of the first format, which had no hashes, may stand at the beginning: the first hashed line vouches for them.

    Args:
        path: the log.
        key_path: of the key that signs heads; beside the file by default.
        anchor: text of a head that somebody else kept; it stands in addition to the file's own.

    Returns:
        The number of hashed entries, and what is wrong, one sentence each; none when nothing is.

    Raises:
        AuditError: the log cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise AuditError(
            f"The audit log cannot be read: {error.strerror}.", remedy="Check who may read that file."
        ) from None
    hashes, faults = _walk(data)
    signed = head_of(path, key_path)
    faults += head_faults(signed, hashes, anchor)
    return len(hashes), tuple(faults)


def head_faults(signed: SignedHead, hashes: list[str], anchor: str | None) -> list[str]:
    """What the heads say against a chain.

    Args:
        signed: the chain's own head.
        hashes: of every entry, in order.
        anchor: text of a head that somebody else kept.
    """
    faults: list[str] = []
    heads: list[Head] = []
    try:
        own = signed.read()
        if own is not None:
            heads.append(own)
        elif hashes or signed.expected:
            faults.append("The signed head is missing: whether entries were cut off at the end cannot be told.")
    except TamperedAuditError as error:
        faults.append(str(error))
    if anchor is not None:
        try:
            heads.append(signed.checked(anchor))
        except TamperedAuditError:
            faults.append("The anchor given is not signed with the key of this trail.")
    for head in heads:
        if head.sequence > len(hashes):
            cut = head.sequence - len(hashes)
            faults.append(f"The end was cut off: a head counts {head.sequence} entries, {cut} of them are gone.")
        elif head.sequence < 1 or hashes[head.sequence - 1] != head.hash:
            faults.append(f"Entry {head.sequence} is not the one that a signed head names: the chain was written anew.")
    return faults


def link_faults(place: str, previous: str, expected: str, known: set[str]) -> list[str]:
    """What a broken link means, as far as that can be told.

    Args:
        place: which entry, for the reader.
        previous: the hash it says it follows.
        expected: the hash of the entry before it.
        known: hashes of all entries.
    """
    if previous == expected:
        return []
    if previous in known:
        return [f"{place} does not follow the entry before it: entries were moved, or one was inserted before it."]
    return [f"{place} follows an entry that is not there: one was removed or changed before it."]


def alert(place: str) -> str:
    """What an entry of kind `AuditKind.ALERT` says."""
    return f"{place} notes that the trail had been cut off or written anew before it was appended."


def _walk(data: bytes) -> tuple[list[str], list[str]]:
    """Hashes of the hashed lines, and what is wrong with them."""
    lines = data.split(b"\n")
    faults = [] if lines[-1] == b"" else ["The last line is cut off."]
    matches = [_LINE.fullmatch(line) for line in lines]
    known = {one[2].decode() for one in matches if one is not None}
    hashes: list[str] = []
    expected, offset = "", 0
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), 1):
        if match is None:
            if line and (hashes or not _is_first_format(line)):
                faults.append(f"Line {number} is no entry of the chain.")
        else:
            if not hashes:
                expected = hashlib.sha256(data[:offset]).hexdigest()
            body, stated = match[1] + b"}", match[2].decode()
            if hashlib.sha256(body).hexdigest() != stated:
                faults.append(f"Line {number} was changed.")
            fields = _fields(body)
            faults += link_faults(f"Line {number}", str(fields.get("previous")), expected, known)
            if fields.get("kind") == AuditKind.ALERT:
                faults.append(alert(f"Line {number}"))
            hashes.append(stated)
            expected = stated
        offset += len(line) + 1
    return hashes, faults


def _is_first_format(line: bytes) -> bool:
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return isinstance(fields, dict) and fields.get("schema") == "fracture-cds.audit/1"


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _line(fields: dict[str, Any], before: Head) -> tuple[Head, bytes]:
    """The next line and its head."""
    sequence = before.sequence + 1
    told = {"schema": AUDIT_SCHEMA, "sequence": sequence, **fields, "previous": before.hash}
    body = json.dumps(told).encode()
    digest = hashlib.sha256(body).hexdigest()
    return Head(sequence=sequence, hash=digest), body[:-1] + f', "hash": "{digest}"}}\n'.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The end of the chain."""

    head: Head
    previous: str = ""
    whole: bool
    """The file ends with a whole line."""

    def hash_at(self, sequence: int) -> str | None:
        """The last entry's hash, or that of the one before: a process may have died before it wrote the head."""
        behind = self.head.sequence - sequence
        return self.head.hash if behind == 0 else self.previous if behind == 1 else None


def _last(descriptor: int) -> _End:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, min(size, _TAIL), max(0, size - _TAIL))
    whole = size == 0 or tail.endswith(b"\n")
    for line in reversed(tail.rstrip(b"\n").split(b"\n")):
        match = _LINE.fullmatch(line)
        if match is not None:
            fields = _fields(match[1] + b"}")
            sequence = fields.get("sequence", 0)
            head = Head(sequence=sequence if isinstance(sequence, int) else 0, hash=match[2].decode())
            return _End(head=head, previous=str(fields.get("previous")), whole=whole)
    return _End(head=Head(sequence=0, hash=_digest_of(descriptor, size, b"" if whole else b"\n")), whole=whole)


def _digest_of(descriptor: int, size: int, end: bytes) -> str:
    """Digest of the whole file as it stands, for the first link."""
    digest, position = hashlib.sha256(), 0
    while position < size:
        piece = os.pread(descriptor, 1 << 20, position)
        digest.update(piece)
        position += len(piece)
    digest.update(end)
    return digest.hexdigest()


def _write(descriptor: int, line: bytes) -> None:
    """All of a line or nothing: on a full disk a part of it must not stay."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(28, "No space left on device")
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def sha256_hex(data: bytes | None) -> str | None:
    """SHA-256 digest in hexadecimal; None for no data."""
    return None if data is None else hashlib.sha256(data).hexdigest()
