"""Who assessed what, when, with which versions; never a word about the patient.

One line of JSON per assessment, appended with a single write so that processes can share the file. Inputs appear only
as SHA-256 digests: who holds a file can find its assessments, who holds only the log learns nothing from it.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cds.errors import AuditError

AUDIT_SCHEMA = "fracture-cds.audit/1"


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


class AuditTrail(Protocol):
    """Takes records; raises `AuditError` when one cannot be kept."""

    def record(self, entry: AuditRecord) -> None:
        """Keep one record."""


class NoAuditTrail:
    """Keeps nothing; for tests and where the operator switched the trail off."""

    def record(self, entry: AuditRecord) -> None:
        """Forget the record."""


class JsonLinesAuditTrail:
    """Appends records to a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        """Remember the path; folders and file are made on the first record."""
        self._path = path

    def record(self, entry: AuditRecord) -> None:
        """Append one line.

        Raises:
            AuditError: the file cannot be written.
        """
        fields = {"schema": AUDIT_SCHEMA, **asdict(entry), "started": entry.started.isoformat()}
        line = (json.dumps(fields) + "\n").encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditError(
                f"The audit log {self._path} cannot be written: {error.strerror}.",
                remedy="Set FRACTURE_CDS_AUDIT_LOG to a file that can be written, or to 'off' to keep no record.",
            ) from error


def sha256_hex(data: bytes | None) -> str | None:
    """SHA-256 digest in hexadecimal; None for no data."""
    return None if data is None else hashlib.sha256(data).hexdigest()
