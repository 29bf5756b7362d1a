"""A report to the FHIR server that the patient's record is on."""

import asyncio
from pathlib import Path

from cds.errors import InputError
from cds.fhir_source import build_fhir_client
from cds.settings import Settings
from fhir_adapters.client.send import Outgoing, Sent, outgoing, send
from fhir_adapters.errors import FhirError


def send_bundle(settings: Settings, raw: bytes, *, patient_id: str | None = None) -> Sent:
    """Send ``bundle.json``; blocks until the server has stored all of it, or nothing.

    Args:
        settings: the server and the credentials.
        raw: the Bundle.
        patient_id: logical id that the Bundle must be about; None sends it for whomever it names.

    Raises:
        InputError: no server is named, or the Bundle is about somebody else.
        NotSendableError: the Bundle may not be sent.
        SettingsError: the credentials are incomplete.
        FhirError: the server does not take it.
    """
    bundle = outgoing(raw)
    if patient_id is not None and patient_id.removeprefix("Patient/") != bundle.patient_id:
        raise InputError(
            "The bundle is about another patient than the one that was named.",
            remedy="Check --patient-id, or leave it out to send the bundle for the patient that it names.",
        )
    return asyncio.run(_send(settings, bundle))


async def _send(settings: Settings, bundle: Outgoing) -> Sent:
    async with build_fhir_client(settings, types=("Patient",), created=bundle.types) as client:
        return await send(client, bundle)


def send_kept(settings: Settings, path: Path) -> Sent:
    """Send a bundle that was just written; what goes wrong says that it is kept, and how to send it later.

    Args:
        settings: as in `send_bundle`.
        path: the file.

    Raises:
        InputError: as in `send_bundle`.
        SettingsError: as in `send_bundle`.
        FhirError: as in `send_bundle`.
    """
    try:
        return send_bundle(settings, path.read_bytes())
    except FhirError as error:
        error.remedy = f"{error.remedy} The report is kept; send it later with: cds fhir send {path}"
        raise


def told(sent: Sent) -> str:
    """What became of the bundle, in one line without patient data."""
    before = f", {sent.found} already there" if sent.found else ""
    return f"stored on the FHIR server: {sent.created} resources created{before}"
