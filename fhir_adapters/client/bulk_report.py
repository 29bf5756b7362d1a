"""The report of a finished export: counts and warnings, nothing of a patient, and of the server its host only."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from fhir_adapters.client.addresses import host_of
from fhir_adapters.client.answers import issues_of
from fhir_adapters.client.bulk_manifest import OUTCOME, Manifest
from fhir_adapters.client.bulk_state import ExportedFile, ExportState
from fhir_adapters.client.warnings import ClientWarning
from fhir_adapters.shapes import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What the call that finished an export took; earlier calls are not in it."""

    seconds: float
    requests: int
    retries: int
    received_bytes: int
    """As transferred, compressed or not."""
    files_from_before: int
    """Files that an earlier call had fetched."""
    exports_begun_anew: int


def make_report(state: ExportState, manifest: Manifest, effort: Effort) -> dict[str, Any]:
    """The report as JSON values.

    Args:
        state: all files have arrived.
        manifest: of the server.
        effort: what it took.

    Raises:
        OSError: a file of issues cannot be read.
    """
    files = sorted(state.files.values(), key=lambda file: file.name)
    severities = _severities(state.folder / file.name for file in files if file.type == OUTCOME)
    counted: Counter[str] = Counter()
    for file in files:
        if file.type != OUTCOME:
            counted[file.type] += file.lines
    return {
        "server": host_of(httpx.URL(state.request.server)),
        "level": state.request.level.value,
        "types": list(state.request.types),
        "since": state.request.since,
        "transaction_time": manifest.transaction_time,
        "started_at": state.started_at,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(effort),
        "resources": dict(sorted(counted.items())),
        "bytes": sum(file.bytes for file in files),
        "files": [{name: value for name, value in asdict(file).items() if name != "key"} for file in files],
        "issues": severities,
        "passed_over": list(manifest.passed_over),
        "lists_of_deleted_resources": manifest.deleted_files,
        "warnings": list(_warnings(state, files, severities)),
    }


def _warnings(state: ExportState, files: list[ExportedFile], severities: dict[str, int]) -> Iterable[str]:
    if severities.get("error", 0) + severities.get("fatal", 0):
        yield ClientWarning.EXPORT_ERRORS.value
    elif severities:
        yield ClientWarning.EXPORT_ISSUES.value
    present = {file.type for file in files if file.lines}
    for name in state.request.types:
        if name in state.left_out:
            yield f"{ClientWarning.EXPORT_TYPE_UNKNOWN}:{name}"
        elif name not in present:
            yield f"{ClientWarning.EXPORT_TYPE_ABSENT}:{name}"
    for file in files:
        if file.promised is not None and file.promised != file.lines:
            yield f"{ClientWarning.EXPORT_COUNT}:{file.name}"
    if state.request.since is not None:
        yield ClientWarning.EXPORT_SINCE.value


def _severities(paths: Iterable[Path]) -> dict[str, int]:
    """Issues of OperationOutcomes by severity; a line that is none counts as an error."""
    counted: Counter[str] = Counter()
    for path in paths:
        with path.open("rb") as stream:
            for line in stream:
                if line.strip():
                    counted.update(issue.severity for issue in issues_of(_outcome(line)))
    return dict(sorted(counted.items()))


def _outcome(line: bytes) -> JsonObject:
    with suppress(orjson.JSONDecodeError):
        value = orjson.loads(line)
        if isinstance(value, dict) and value.get("issue"):
            return value
    return {"issue": [{"severity": "error"}]}
