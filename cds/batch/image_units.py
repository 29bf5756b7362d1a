"""The work list cut into units, each patient resolved to the file of the record.

A patient is named by the path of a Bundle, by the id that a file of --input is named after, or by an id inside one of
its Bundles; only the last needs every Bundle read, which is a stage of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cds.batch.image_plan import ImagePlan, bundle_files
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.plan import MOST_UNITS
from cds.batch.worklist import Entry, entries
from fhir_adapters.bundle import decode_bundle, group_entries
from fhir_adapters.errors import FhirError

CASES_A_UNIT = 8
"""Radiographs of one task, at least: what a kill loses of one worker."""
BUNDLES_A_TASK = 32
"""Bundles whose patients one task of the index looks up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """Some files of Bundles, whose patients are looked up."""

    plan: ImagePlan
    folder: str
    number: int
    files: tuple[str, ...]

    @property
    def task(self) -> Task:
        """The task in the journal."""
        return Task(Stage.INDEX, self.number)


def index_bundles(spec: IndexSpec) -> Path:
    """The ids of the patients in some Bundles; one that cannot be read is counted and holds nobody."""
    found: list[tuple[str, str]] = []
    unreadable = 0
    for file in spec.files:
        try:
            record = group_entries(decode_bundle(Path(file).read_bytes()))
        except (FhirError, OSError):
            unreadable += 1
            continue
        ids = {entry.resource.get("id") for entry in record.of_type("Patient")}
        found += [(one, file) for one in sorted(one for one in ids if isinstance(one, str))]
    return RunFolder(Path(spec.folder)).finish(spec.task, {"patients": found, "unreadable": unreadable})


def index_specs(plan: ImagePlan, folder: RunFolder) -> list[IndexSpec]:
    """The tasks of the index; none when every patient is found by the name of a file."""
    if plan.bundles is None or all(not _wants_index(entry, plan) for entry in entries(Path(plan.root))):
        return []
    files = [str(path) for path in bundle_files(Path(plan.bundles))]
    return [
        IndexSpec(plan=plan, folder=str(folder.path), number=number, files=tuple(files[start : start + BUNDLES_A_TASK]))
        for number, start in enumerate(range(0, len(files), BUNDLES_A_TASK))
    ]


def cut(plan: ImagePlan, folder: RunFolder, index: Sequence[Mapping[str, Any]]) -> int:
    """Write the units of the list into the run folder, patients resolved to files.

    Args:
        plan: The plan.
        folder: The run folder.
        index: Results of `index_bundles`.

    Returns:
        How many units there are; they are the same whenever the plan is.
    """
    root = Path(plan.root)
    wanted = {_logical_id(entry.patient) for entry in entries(root) if _wants_index(entry, plan)} if index else set()
    places: dict[str, list[str]] = {}
    for result in index:
        for patient, file in result["patients"]:
            if patient in wanted:
                places.setdefault(patient, []).append(file)
    size = max(CASES_A_UNIT, -(-sum(1 for _ in entries(root)) // MOST_UNITS))
    unit = -1
    for unit, held in enumerate(_chunks(entries(root), size)):
        lines = b"".join(_resolve(entry, plan, places).to_line() for entry in held)
        with folder.open_temporary(Task(Stage.CASES, unit), "list") as stream:
            stream.write(lines)
            folder.publish(stream, Task(Stage.CASES, unit), "list")
    return unit + 1


def _chunks(rows: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    held: list[Entry] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def _resolve(entry: Entry, plan: ImagePlan, places: Mapping[str, Sequence[str]]) -> Entry:
    if not entry.patient or entry.reject:
        return entry
    file = _by_name(entry.patient, plan)
    if file is not None:
        return replace(entry, record=str(file))
    if plan.bundles is None:
        looks_like_path = "/" in entry.patient or entry.patient.lower().endswith((".json", ".gz"))
        return replace(
            entry, record_reject="screen.patient.not_found" if looks_like_path else "screen.patient.no_input"
        )
    patient = _logical_id(entry.patient)
    found = places.get(patient, ())
    if len(found) != 1:
        return replace(entry, record_reject="screen.patient.ambiguous" if found else "screen.patient.not_found")
    return replace(entry, record=found[0], patient_id=patient)


def _wants_index(entry: Entry, plan: ImagePlan) -> bool:
    return bool(entry.patient) and not entry.reject and _by_name(entry.patient, plan) is None


def _by_name(patient: str, plan: ImagePlan) -> Path | None:
    """The file that the list names, or one of --input that is named after the id."""
    candidates = [Path(plan.root).parent / patient]
    if plan.bundles is not None:
        name = _logical_id(patient)
        candidates += [Path(plan.bundles) / f"{name}{suffix}" for suffix in ("", ".json", ".json.gz")]
    return next((path for path in candidates if path.is_file()), None)


def _logical_id(patient: str) -> str:
    return patient.removeprefix("Patient/")
