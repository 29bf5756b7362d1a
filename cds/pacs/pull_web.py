"""Radiographs from a DICOMweb server: QIDO-RS to find them, WADO-RS to fetch each."""

import asyncio
from collections.abc import Callable

from cds.pacs.destinations import dicomweb_client
from cds.pacs.pull import Pulled, PullRequest
from cds.pacs.tls import TlsFiles
from cds.settings import Settings
from fhir_adapters.client.dicomweb import fetch_instance, find_radiographs


def get_by_web(
    settings: Settings, url: str, wanted: PullRequest, take: Callable[[bytes], bool], *, tls: TlsFiles | None = None
) -> Pulled:
    """Fetch every projection radiograph that matches; blocks until all are there.

    Args:
        settings: credentials and limits.
        url: base address of the server, what ``/studies`` follows.
        wanted: which.
        take: keeps a DICOM file; False when it could not.
        tls: our certificate and whom to trust, where the usual is not enough.

    Raises:
        FhirError: the server does not give it.
    """
    return asyncio.run(_get(settings, url, wanted, take, tls))


async def _get(
    settings: Settings, url: str, wanted: PullRequest, take: Callable[[bytes], bool], tls: TlsFiles | None
) -> Pulled:
    taken = 0
    async with dicomweb_client(settings, url, tls=tls) as http:
        places = await find_radiographs(http, patient_id=wanted.patient_id, study=wanted.study, since=wanted.since)
        for place in places:
            content, _ = await fetch_instance(
                http, place.study, place.series, place.instance, max_bytes=settings.max_image_bytes
            )
            taken += take(content)
    return Pulled(series=len({one.series for one in places}), completed=taken, failed=len(places) - taken)
