"""Hostile variants of DICOM files, pictures, FHIR bundles and CDS Hooks calls, for as long as one likes.

    python -m tests.benchmarks.fuzz [--cpu-seconds 120] [--seed 0] [--only DICOM]

Prints for each entrance how many variants were read, refused in our own words, or did anything else (a finding; its
bytes go to --findings, as do those of the slowest variant); the exit code is the number of findings.
"""

import argparse
import hashlib
import logging
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.support.entrances import ENTRANCES, Entrance, variant


def main() -> None:
    """Try, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-seconds", type=float, default=120, help="for each entrance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one entrance")
    parser.add_argument("--findings", type=Path, help="folder for the bytes of each finding and of the slowest variant")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    findings = 0
    for entrance in ENTRANCES:
        if given.only in (None, entrance.name):
            findings += _fuzz(entrance, given.cpu_seconds, given.seed, given.findings)
    sys.exit(min(findings, 125))


def _fuzz(entrance: Entrance, cpu_s: float, seed: int, folder: Path | None) -> int:
    counts: Counter[str] = Counter()
    places: Counter[str] = Counter()
    seeds = entrance.seeds()
    for seed_bytes in seeds:  # what is built or loaded once belongs to no variant
        entrance.enter(seed_bytes)
    slowest, began = (0.0, b""), time.process_time()
    number = 0
    while time.process_time() - began < cpu_s:
        chance = random.Random(f"{seed}:{entrance.name}:{number}")
        data = variant(chance.choice(seeds), chance, is_json=entrance.is_json)
        started = time.process_time()
        try:
            counts[entrance.enter(data)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            counts["findings"] += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            places[f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}: {error}"[:200]] += 1
            _keep(data, folder, f"{entrance.name}-{hashlib.sha256(data).hexdigest()[:12]}")
        if (took := time.process_time() - started) > slowest[0]:
            # Once more: what was loaded or swept up just then is not the input's own.
            slowest = max(slowest, (min(took, _again(entrance, data)), data))
        number += 1
    _keep(slowest[1], folder, f"{entrance.name}-slowest")
    print(
        f"{entrance.name}: {number} variants in {time.process_time() - began:.0f} s of CPU: {counts['accepted']} read,"
        f" {counts['refused']} refused, {counts['findings']} findings; slowest {slowest[0]:.2f} s",
        flush=True,
    )
    for place, count in places.most_common(20):
        print(f"  {count} x {place}", flush=True)
    return counts["findings"]


def _again(entrance: Entrance, data: bytes) -> float:
    started = time.process_time()
    with suppress(Exception):
        entrance.enter(data)
    return time.process_time() - started


def _keep(data: bytes, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
