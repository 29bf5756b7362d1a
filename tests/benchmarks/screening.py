"""Screening speed and memory, beside orjson merely parsing the same bytes and beside fhir.resources models.

    python -m tests.benchmarks.screening [--patients 20000] [--json out.json]

Multiplies the Synthea bundles of the shared data into a FHIR Bulk NDJSON export with new ids, in a temporary folder,
and screens it with one worker, so that every figure is per core. Two inputs are measured:

* ``types_read``, the headline: only the types that are read, as an export with ``_type`` gives them.
* ``all_types``: every type of the bundles; files of the others are passed over unopened but for their first line, while
  orjson parses every byte. What this adds is the skipping of whole files, no speed of reading.

The bytes are those of all files of the input, and orjson parses the same ones line by line, before and after the
screening, so that a machine that changes its pace distorts the ratio less. fhir.resources validates a sample of the
lines of the types that are read, its time extrapolated per byte. All speeds are by processor time, without the start of
Python and the load of the model (the tables of the explanations, made once in a process, do count); the wall clock
stands beside. Peak memory is that of the screening process alone, at one tenth of the patients and at all of them;
``--bucket-mib`` makes the buckets small enough that a small population fills several of them.
"""

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson

from cds.batch.plan import BUCKET_BYTES
from tests.support.shared import shared_dir

RELEVANT = ("Patient", "Observation", "Condition", "MedicationRequest", "DiagnosticReport")
SAMPLE_LINES = 1500
AS_OF = "2026-01-01T00:00:00+00:00"
_SPACE = UUID("8a4d1c7e-2f0b-4d75-9a50-3c0f5c1f9f10")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHILD = """
import json, os, resource, sys, time
import cds.batch.plan
import cds.entrypoints.screen
from cds.batch.partition import risk_engine
cds.batch.plan.BUCKET_BYTES = int(os.environ["BUCKET_BYTES"])
from cds.entrypoints.cli import app
risk_engine(None, None)
start = time.process_time()
try:
    app(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
cpu = time.process_time() - start
print(json.dumps({"cpu_seconds": cpu, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    """Make the export, measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=1, help="the median of so many screenings is reported")
    parser.add_argument("--bucket-mib", type=float, default=BUCKET_BYTES / 2**20, help="size of a bucket of patients")
    parser.add_argument("--types-read-only", action="store_true", help="leave out the larger input, all_types")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where to put the temporary export")
    arguments = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        sys.exit("The shared data folder is not on this machine (FRACTURE_CDS_SHARED).")
    records = _records(shared / "data" / "fhir" / "synthea_r4")
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        root = Path(name)
        os.environ["BUCKET_BYTES"] = str(int(arguments.bucket_mib * 2**20))
        tenth = max(1, arguments.patients // 10)
        small = _export(records, root / "small", tenth, RELEVANT)
        large = _export(records, root / "large", arguments.patients, RELEVANT)
        figures = {
            "types_read": _measure(root, large, arguments.patients, arguments.repeats)
            | _memory(root, small, large, arguments.repeats)
        }
        figures["types_read"] |= _beside_models(large, figures["types_read"])
        if not arguments.types_read_only:
            others = sorted({name for lines in records for name in lines} - set(RELEVANT))
            _export(records, large, arguments.patients, others)
            figures["all_types"] = _measure(root, large, arguments.patients, arguments.repeats)
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _named(names: dict[str, str], hit: re.Match[str]) -> str:
    """The reference a bulk export writes in the place of a urn."""
    return f'"{names.get(hit[1], hit[1])}"'


def _records(folder: Path) -> list[dict[str, list[bytes]]]:
    """Each patient's lines by type, references as a bulk export writes them."""
    found = []
    for path in sorted(folder.glob("*.json.gz")):
        entries = orjson.loads(gzip.decompress(path.read_bytes()))["entry"]
        names = {
            entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries
        }
        lines: dict[str, list[bytes]] = {}
        for entry in entries:
            text = orjson.dumps(entry["resource"]).decode()
            text = re.sub(r'"(urn:uuid:[0-9a-f-]+)"', partial(_named, names), text)
            lines.setdefault(entry["resource"]["resourceType"], []).append(text.encode())
        found.append(lines)
    return found


def _export(records: list[dict[str, list[bytes]]], folder: Path, patients: int, types: Iterable[str]) -> Path:
    """An export of some types of so many patients; all ids of a copy are new."""
    folder.mkdir(parents=True, exist_ok=True)
    streams = {name: (folder / f"{name}.ndjson").open("wb") for name in types}
    for number in range(patients):
        copy, place = divmod(number, len(records))
        new: dict[bytes, bytes] = {}

        def renamed(hit: re.Match[bytes], copy: int = copy, new: dict[bytes, bytes] = new) -> bytes:
            old = hit[0]
            if old not in new:
                new[old] = str(uuid5(_SPACE, f"{copy}:{old.decode()}")).encode()
            return new[old]

        for name, stream in streams.items():
            stream.writelines(_UUID.sub(renamed, line) + b"\n" for line in records[place].get(name, ()))
    for stream in streams.values():
        stream.close()
    return folder


def _measure(root: Path, source: Path, patients: int, repeats: int) -> dict[str, Any]:
    """Speed of the screening and of orjson on one input."""
    size = sum(path.stat().st_size for path in source.iterdir())
    parses, runs = [_timed(partial(_parse_all, source))], []
    for number in range(repeats):
        runs.append(_screen(source, root / f"list-{number}.parquet"))
        parses.append(_timed(partial(_parse_all, source)))
    seconds = statistics.median(run["cpu_seconds"] for run in runs)
    parse_seconds = statistics.mean(parses)
    told = runs[0]["report"]
    return {
        "patients": patients,
        "megabytes": round(size / 1e6, 1),
        "screen_cpu_seconds": round(seconds, 2),
        "screen_wall_seconds": round(statistics.median(run["wall_seconds"] for run in runs), 2),
        "screen_patients_per_second_per_core": round(patients / seconds, 1),
        "screen_mb_per_second_per_core": round(size / 1e6 / seconds, 1),
        "phases_wall_seconds": told["seconds"],
        "partitions": told["partitions"],
        "orjson_parse_mb_per_second": round(size / 1e6 / parse_seconds, 1),
        "share_of_orjson_speed": round(parse_seconds / seconds, 3),
        "rows": told["patients"]["rows"],
    }


def _memory(root: Path, small: Path, large: Path, repeats: int) -> dict[str, Any]:
    """Peak memory at one tenth and at all of the patients."""
    return {
        "peak_mib_one_tenth": round(_screen(small, root / "small.parquet")["peak_mib"], 1),
        "peak_mib_all": round(max(_screen(large, root / "large.parquet")["peak_mib"] for _ in range(repeats)), 1),
        "megabytes_one_tenth": round(sum(path.stat().st_size for path in small.iterdir()) / 1e6, 1),
    }


def _beside_models(source: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """The same speed beside fhir.resources models."""
    per_byte, sampled = _models_per_byte(source)
    return {
        "fhir_resources_mb_per_second": round(1 / per_byte / 1e6, 3),
        "fhir_resources_sampled_lines": sampled,
        "times_fhir_resources": round(measured["screen_mb_per_second_per_core"] * 1e6 * per_byte, 1),
    }


def _screen(source: Path, output: Path) -> dict[str, Any]:
    """One screening in a process of its own."""
    command = ["screen", "--input", str(source), "--output", str(output), "--workers", "1", "--as-of", AS_OF, "--quiet"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *command], capture_output=True, text=True, check=False, env=os.environ | threads
    )
    if done.returncode:
        sys.exit(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    report = json.loads(output.with_name(f"{output.stem}.report.json").read_text())
    return figures | {"report": report, "wall_seconds": sum(report["seconds"].values())}


def _timed(function: Callable[[], object]) -> float:
    """Processor time in seconds."""
    start = time.process_time()
    function()
    return time.process_time() - start


def _parse_all(folder: Path) -> None:
    """Parse every line and let go of it: the least that any reader of whole records does."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            for line in stream:
                orjson.loads(line)


def _validate(model: Any, lines: list[bytes]) -> None:
    """Make a model of each line."""
    for line in lines:
        model.model_validate_json(line)


def _models_per_byte(folder: Path) -> tuple[float, int]:
    """Seconds per byte of fhir.resources on a sample with the shares of the export, and its number of lines."""
    from fhir.resources.R4B import get_fhir_model_class

    sizes = {name: (folder / f"{name}.ndjson").stat().st_size for name in RELEVANT}
    total, per_byte, sampled = sum(sizes.values()), 0.0, 0
    for name, size in sizes.items():
        model = get_fhir_model_class(name)
        with (folder / f"{name}.ndjson").open("rb") as stream:
            lines = [line for line, _ in zip(stream, range(SAMPLE_LINES), strict=False)]
        model.model_validate_json(lines[0])  # the first use builds the model
        seconds = _timed(partial(_validate, model, lines))
        per_byte += seconds / sum(map(len, lines)) * size / total
        sampled += len(lines)
    return per_byte, sampled


if __name__ == "__main__":
    main()
