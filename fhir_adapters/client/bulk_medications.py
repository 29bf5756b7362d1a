"""Medications that an export of patients or of a group leaves out, since a Medication belongs to nobody.

A prescription may name its drug by reference only; without the Medication the drug is unknown, and a glucocorticoid
would be missed. So those that are referred to and did not come are searched for by their ids.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from fhir_adapters.client.bulk_state import write_whole
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.errors import ForbiddenError, NotOnServerError, ServerOutcomeError, ServerRefusalError
from fhir_adapters.shapes import as_object, as_text

ADDED = "Medication.added.ndjson"
"""Beside the files of the export."""
MAX_MEDICATIONS = 200_000
_PER_REQUEST = 50
"""As many ids as fit into an address that passes everywhere."""
_MARK = b'"medicationReference"'
_REFERENCE = re.compile(r"(?:^|/)Medication/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_REFUSALS = (ForbiddenError, NotOnServerError, ServerRefusalError, ServerOutcomeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedMedications:
    """What a search for missing Medications gave."""

    added: int
    missing: int
    """Those that the server does not give."""


async def add_medications(client: FhirClient, folder: Path) -> AddedMedications:
    """Search for the Medications that files of an export refer to and that are in none of them; write them beside.

    Args:
        client: of the server, open.
        folder: of a finished export.

    Raises:
        FhirServerError: the server does not answer, or not in FHIR; a refusal counts as missing.
        ClientAuthError: no token to be had.
        OSError: the folder cannot be read or written.
    """
    if (folder / ADDED).exists():
        with (folder / ADDED).open("rb") as stream:
            return AddedMedications(added=sum(1 for _ in stream), missing=0)
    wanted = sorted(_referred(folder) - _held(folder))
    if not wanted:
        return AddedMedications(added=0, missing=0)
    groups = [
        wanted[start : start + _PER_REQUEST] for start in range(0, min(len(wanted), MAX_MEDICATIONS), _PER_REQUEST)
    ]
    found: dict[str, bytes] = {}
    waiting = iter(groups)

    async def worker() -> None:
        for group in waiting:
            found.update(await _search(client, frozenset(group)))

    tasks = [asyncio.ensure_future(worker()) for _ in range(3)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    write_whole(folder / ADDED, b"".join(found[key] + b"\n" for key in sorted(found)))
    return AddedMedications(added=len(found), missing=len(wanted) - len(found))


async def _search(client: FhirClient, ids: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        async for page in client.search("Medication", [("_id", ",".join(sorted(ids)))], page_size=_PER_REQUEST):
            for hit in page.hits:
                name = as_text(hit.resource.get("id"))
                if hit.resource.get("resourceType") == "Medication" and name in ids:
                    found[name] = orjson.dumps(hit.resource)
    except _REFUSALS:
        return found
    return found


def _referred(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in sorted(folder.glob("Medication[A-Z]*.ndjson")):
        for line in _lines(path):
            if _MARK in line:
                reference = as_text(as_object(as_object(_parsed(line)).get("medicationReference")).get("reference"))
                match = _REFERENCE.search(reference or "")
                if match is not None:
                    found.add(match.group(1))
    return found


def _held(folder: Path) -> set[str]:
    held = (
        as_text(as_object(_parsed(line)).get("id"))
        for path in folder.glob("Medication.*.ndjson")
        for line in _lines(path)
    )
    return {name for name in held if name is not None}


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def _parsed(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
