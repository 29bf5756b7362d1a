"""Between the passes: Medications to the patients whose records refer to them, bucket by bucket.

A Medication belongs to nobody, and an export may hold one for each prescription, so no process may assume that all of
them fit into its memory.
"""

from dataclasses import dataclass
from pathlib import Path

from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.plan import Plan
from cds.batch.sources import MEDICATION_MARK
from cds.batch.spill import Record, Records, SpillWriter, read_bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSpec:
    """One bucket of Medications."""

    plan: Plan
    folder: str
    bucket: int

    @property
    def task(self) -> Task:
        """The task in the journal."""
        return Task(Stage.JOIN, self.bucket)


def join_bucket(spec: JoinSpec) -> Path:
    """Copy each Medication of a bucket to every patient who refers to it.

    Returns:
        The marker of the finished task.
    """
    folder, buckets = RunFolder(Path(spec.folder)), spec.plan.buckets
    medications: dict[bytes, list[Record]] = {}
    takers: dict[bytes, dict[bytes, None]] = {}
    for unit in range(len(spec.plan.units)):
        scanned = Task(Stage.SCAN, unit)
        segments = folder.result(scanned)["segments"]
        for key, told in read_bucket(folder.file(scanned, "spill"), segments, buckets + spec.bucket):
            for record in Records.of(unit, told).one_by_one():
                mark, rest = record.payload[:1], record.payload[1:]
                if mark == MEDICATION_MARK:
                    medications.setdefault(key, []).append(record._replace(payload=rest))
                else:
                    takers.setdefault(key, {})[rest] = None
    with SpillWriter(folder, spec.task, buckets) as spill:
        for key, patients in takers.items():
            for record in medications.get(key, ()):
                for patient in patients:
                    spill.add(patient, record.piece, record.line, record.payload)
    return folder.finish(spec.task, {"segments": spill.segments})
