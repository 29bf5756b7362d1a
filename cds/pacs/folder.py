"""What becomes of fetched files: into a folder, or into the listener's queue."""

from collections.abc import Callable
from pathlib import Path

from cds.artifacts import write_artifacts
from cds.pacs.intake import Verdict
from cds.pacs.selection import read_instance
from cds.pacs.service import open_intake
from cds.settings import Settings
from cds.store.opening import open_store

Taker = Callable[[bytes], bool]
"""Keeps a DICOM file; False when it could not."""


def file_taker(folder: Path, *, max_bytes: int) -> Taker:
    """Writes files named by their SOP Instance UID, which holds digits and dots only.

    Args:
        folder: made where it is missing.
        max_bytes: a larger file is not kept.
    """

    def take(content: bytes) -> bool:
        instance = read_instance(content, max_bytes=max_bytes) if len(content) <= max_bytes else None
        if instance is None or not set(instance.sop_instance_uid) <= set("0123456789."):
            return False
        write_artifacts(folder, {f"{instance.sop_instance_uid}.dcm": content}, inputs=())
        return True

    return take


def queue_taker(settings: Settings, *, first: bool) -> Taker:
    """Puts files into the queue that ``cds pacs listen`` works on.

    Args:
        settings: where the queue is, and its limits.
        first: whether they go before others.
    """
    from cds.learning.models import with_current_models
    from imaging.manifest import read_manifest

    model_id = read_manifest(with_current_models(settings).detector_dir).model_id
    intake = open_intake(settings, open_store(settings), model_id=model_id)

    def take(content: bytes) -> bool:
        return intake.take(content, first=first).verdict in (Verdict.QUEUED, Verdict.KNOWN, Verdict.SKIPPED)

    return take
