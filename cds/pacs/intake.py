"""An instance into the queue: on the disk before its sender hears that it was accepted, and there once only."""

import hashlib
import logging
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from cds.errors import ConflictError, StoreError
from cds.pacs.queue import ACTOR, ASSESS, ASSESS_FIRST, IMAGE, PacsQueue, instance_key
from cds.pacs.selection import Change, Instance, read_instance, same_image
from cds.store.jobs import JobQueue

_log = logging.getLogger(__name__)


class Verdict(StrEnum):
    """What became of an instance."""

    QUEUED = "queued"
    KNOWN = "known"
    """It came before: nothing new was done."""
    CHANGED = "changed"
    """Another image came before under its SOP Instance UID, which the standard forbids: that one is kept."""
    SKIPPED = "skipped"
    TOO_LARGE = "too_large"
    NOT_READABLE = "not_readable"
    NOT_AS_SAID = "not_as_said"
    """It holds another instance than its sender announced."""
    NO_ROOM = "no_room"
    """The queue or the disk is full, or the database does not answer: the sender may try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an instance, and why."""

    verdict: Verdict
    reason: str | None = None
    """A code such as ``own_result``; never patient data."""


class Intake:
    """Puts instances into the queue; may be called from several threads.

    Args:
        jobs: the queue, with its capacity.
        queue: the same table.
        model_id: of the detector that will assess.
        folder: on the disk that must not run full.
        max_bytes: a larger file is refused.
        min_free_bytes: free space below which nothing is accepted.
        unstated: what becomes of a radiograph that names no part of the body.
    """

    def __init__(
        self,
        jobs: JobQueue,
        queue: PacsQueue,
        *,
        model_id: str,
        folder: Path,
        max_bytes: int,
        min_free_bytes: int,
        unstated: Literal["assess", "skip"] = "assess",
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._model_id = model_id
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._unstated = unstated

    @property
    def max_bytes(self) -> int:
        """The largest file that is taken."""
        return self._max_bytes

    def take(self, data: bytes, *, announced: str | None = None, first: bool = False) -> Taken:
        """Put one instance into the queue; it is on the disk when this returns `QUEUED`.

        Args:
            data: the DICOM file.
            announced: SOP Instance UID that its sender gave.
            first: whether it goes before the others.
        """
        if len(data) > self._max_bytes:
            return Taken(verdict=Verdict.TOO_LARGE)
        instance = read_instance(data, max_bytes=self._max_bytes, unstated=self._unstated)
        if instance is None:
            return Taken(verdict=Verdict.NOT_READABLE)
        if announced is not None and announced != instance.sop_instance_uid:
            return Taken(verdict=Verdict.NOT_AS_SAID)
        key = instance_key(instance.sop_instance_uid, self._model_id)
        try:
            if self._queue.knows(key):
                return self._again(data, instance, key)
            if instance.skip is not None:
                self._queue.note_skipped(instance, instance.skip.value, key=key)
                return Taken(verdict=Verdict.SKIPPED, reason=instance.skip.value)
            if self._disk_full():
                return Taken(verdict=Verdict.NO_ROOM, reason="disk")
            job = self._jobs.submit(
                ASSESS_FIRST if first else ASSESS,
                {"sop_instance_uid": instance.sop_instance_uid, "study_uid": instance.study_uid},
                actor=ACTOR,
                files={IMAGE: data},
                request_key=key,
                patient_key=instance.patient_key,
            )
        except ConflictError:  # another association was quicker
            return self._again(data, instance, key)
        except (StoreError, OSError) as error:
            code = getattr(error, "code", "disk")
            _log.error("an instance could not be kept: %s", code)
            return Taken(verdict=Verdict.NO_ROOM, reason=code)
        if job is None:
            return Taken(verdict=Verdict.NO_ROOM, reason="queue")
        return Taken(verdict=Verdict.QUEUED)

    def _again(self, data: bytes, instance: Instance, key: str) -> Taken:
        """An instance whose UID is known.

        A UID names one image for ever (PS3.3 C.12.1.1.1, PS3.5 chapter 9): other pixels under it are an error of
        whoever made them, and which of the two a reader means cannot be known. The first is kept, since results refer
        to it. A header may change: patients are merged, studies reconciled (IHE PIR).
        """
        digest = self._queue.image_of(key)
        if digest is None or digest == hashlib.sha256(data).hexdigest():
            return Taken(verdict=Verdict.KNOWN)
        try:
            before = self._jobs.file(digest)
        except StoreError:
            return Taken(verdict=Verdict.KNOWN)
        if same_image(before, data, max_bytes=self._max_bytes):
            first = read_instance(before, max_bytes=self._max_bytes)
            if first is not None and first.patient_key == instance.patient_key:
                return Taken(verdict=Verdict.KNOWN)
            changed = Change.PATIENT
        else:
            changed = Change.IMAGE
        _log.error("an instance came again with a changed %s; the first is kept", changed.name.lower())
        self._queue.note_skipped(instance, changed.value, key=f"{key}:{changed.value}")
        return Taken(verdict=Verdict.CHANGED if changed is Change.IMAGE else Verdict.KNOWN, reason=changed.value)

    def _disk_full(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return shutil.disk_usage(self._folder).free < self._min_free_bytes
