"""From the settings to a population's records on a server, as a folder of NDJSON that the screening reads.

What servers allow differs, so an export without a group is asked for at the level of the system, then of all patients;
and a registered client asks for the scopes of the types that are read, then, where the server knows no such narrow
scope for an export, for read access to all types.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cds.errors import ScreeningInputError
from cds.fhir_source import build_fhir_client
from cds.settings import Settings
from fhir_adapters.client.bulk import (
    ExportLevel,
    ExportLimits,
    ExportProgress,
    ExportResult,
    begun_level,
    export,
)
from fhir_adapters.client.bulk_medications import AddedMedications, add_medications
from fhir_adapters.client.warnings import ClientWarning
from fhir_adapters.errors import FhirError, ForbiddenError, NotOnServerError, ServerRefusalError, TokenRefusedError
from fhir_adapters.reader import READ_TYPES

_TYPES = tuple(sorted(READ_TYPES))
_EVERY_TYPE = ("*",)
_REMEDY = "Check the address; many servers export groups only: name one with --group."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportChoice:
    """Whose records are exported."""

    group_id: str | None = None
    """Logical id of a Group; None: everybody."""
    since: datetime | None = None
    """Only entries changed since then, timezone-aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPopulation:
    """A folder that can be screened."""

    result: ExportResult
    medications: AddedMedications | None
    """Searched for beside the export; None where the export itself holds them."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of `fhir_adapters.client.warnings`."""
        added = self.medications
        if added is None:
            return self.result.warnings
        absent = f"{ClientWarning.EXPORT_TYPE_ABSENT}:Medication"
        # Of patients and groups no Medication is exported; whether one is missing is known better now.
        kept = tuple(code for code in self.result.warnings if code != absent)
        return (*kept, f"{ClientWarning.MEDICATION_MISSING}:{added.missing}") if added.missing else kept

    def report(self) -> dict[str, object]:
        """Counts, nothing of a patient."""
        added = self.medications
        told: dict[str, object] = {**self.result.report, "warnings": list(self.warnings)}
        if added is not None:
            told["medications_added"], told["medications_missing"] = added.added, added.missing
        return told


def export_population(
    settings: Settings,
    choice: ExportChoice,
    folder: Path,
    *,
    progress: Callable[[ExportProgress], None] = lambda told: None,
) -> ExportedPopulation:
    """Export what the reader reads into a folder, or go on with the export that lies there; blocks until it is done.

    Args:
        settings: where the server is, how to prove who asks, limits.
        choice: whose records.
        folder: empty, new, or that of an earlier call.
        progress: told how far it is.

    Raises:
        InputError: no server is named.
        SettingsError: the credentials are incomplete.
        ScreeningInputError: nobody is in the export.
        FhirError: the server does not give it.
        OSError: the folder cannot be written.
    """
    return asyncio.run(_export_population(settings, choice, folder, progress))


async def _export_population(
    settings: Settings, choice: ExportChoice, folder: Path, progress: Callable[[ExportProgress], None]
) -> ExportedPopulation:
    result, level = await _export(settings, choice, folder, progress)
    if not result.counts.get("Patient"):
        raise ScreeningInputError(
            "The export holds no patients.",
            remedy="Check the group, and that this program may read Patient; then start anew with --fresh.",
        )
    added = None
    if level is not ExportLevel.SYSTEM:
        async with build_fhir_client(settings, types=_TYPES) as client:
            added = await add_medications(client, folder)
    return ExportedPopulation(result=result, medications=added)


async def _export(
    settings: Settings, choice: ExportChoice, folder: Path, progress: Callable[[ExportProgress], None]
) -> tuple[ExportResult, ExportLevel]:
    """The export at the first level and with the first scopes that the server allows."""
    begun = begun_level(folder)
    levels = [ExportLevel.SYSTEM, ExportLevel.PATIENT]
    if choice.group_id is not None:
        levels = [ExportLevel.GROUP]
    elif begun in levels:
        levels = [begun]
    earns = settings.fhir_client_id is not None and settings.fhir_scope is None
    refusals: list[FhirError] = []
    for level in levels:
        for scope_types in (_TYPES, _EVERY_TYPE) if earns else (_TYPES,):
            try:
                async with build_fhir_client(settings, types=scope_types) as client:
                    result = await export(
                        client,
                        folder=folder,
                        types=_TYPES,
                        since=choice.since,
                        level=level,
                        group_id=choice.group_id,
                        limits=_limits(settings),
                        progress=progress,
                    )
                return result, level
            except TokenRefusedError as error:
                if scope_types is _TYPES:
                    raise
                refusals.append(error)
            except ForbiddenError as error:
                refusals.append(error)
            except (NotOnServerError, ServerRefusalError) as error:
                if begun_level(folder) is not None:
                    raise
                refusals.append(error)
                break
        if begun_level(folder) is not None:
            break
    first = refusals[0]
    if isinstance(first, NotOnServerError | ServerRefusalError):
        first.remedy = _REMEDY
    raise first


def _limits(settings: Settings) -> ExportLimits:
    most = settings.fhir_export_max_gib
    return ExportLimits(
        deadline_s=settings.fhir_export_hours * 3600, max_bytes=None if most is None else int(most * 2**30)
    )
