"""The case on the screen: what the browser gets of it, its exports, its signature, and where it is sent."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cds.case import CaseResult
from cds.entrypoints.evidence_web import ADDRESS as EVIDENCE_PAGE
from cds.entrypoints.form.judging import agreement, feedback_view
from cds.entrypoints.service import Service
from cds.errors import InputError
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS, render
from cds.presenters import wording
from cds.presenters.viewer.payload import blind, picture, view_of
from cds.settings import Settings
from cds.smart_launch import Launched
from cds.store.cases import IMAGE, NamedFile, StoredCase
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.work.keeping import report_name
from fusion.context import FractureType
from imaging.results import FractureCall

if TYPE_CHECKING:
    from cds.pacs.destinations import Destination

VIEW_FILE = "viewer.json"
"""What the viewer draws, among the files of a case, so that a kept case opens as it was shown."""
SERVER_FILE = "server.json"
"""Names the FHIR server of a record that came by a launch from elsewhere than `Settings.fhir_server`."""
EXPORTS: tuple[tuple[ReportFormat, str], ...] = (
    (ReportFormat.HTML, "HTML"),
    (ReportFormat.PDF, "PDF"),
    (ReportFormat.FHIR, "FHIR"),
    (ReportFormat.DICOM, "DICOM"),
    (ReportFormat.JSON, "JSON"),
    (ReportFormat.PATIENT, "Patient page"),
)
NO_STORE = "This server keeps no cases, so nothing can be stored."
SIGN_FIRST = "Sign the report first."
NO_EHR = "No FHIR server is set (FRACTURE_CDS_FHIR_SERVER)."
LAUNCH_OVER = "The record came from another EHR, by a launch that has ended."
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """One case as one browser page shows it."""

    case_id: str
    title: str
    """The summary sentence."""
    created: str
    patient: str | None
    """Logical id of the patient."""
    call: str | None
    view: Json | None = field(repr=False)
    """For the viewer; None without a radiograph."""
    report: str = field(repr=False)
    """The HTML report."""
    result: CaseResult | None = field(default=None, repr=False)
    """None of a case that was opened from the history."""
    stored: bool
    signed_by: str | None = None
    signed: str | None = None
    blind: bool = False
    """The clinician reads first: nothing of the machine's goes to the browser."""
    read: FeedbackContent | None = None
    """The own read of this page."""
    server: str | None = None
    """FHIR server of the record, where it is another than the one that the settings name."""
    launched: Launched | None = field(default=None, repr=False)
    """The launch that the record came by; None of a case from the history."""


def opened_result(
    service: Service, result: CaseResult, *, read_first: bool, launched: Launched | None = None
) -> OpenCase:
    """A case that was just assessed; the viewer's data are kept with it, and where its record came from.

    Args:
        service: with its store.
        result: of the assessment.
        read_first: whether the clinician reads first.
        launched: the launch that the record came by; None for none.

    Raises:
        StoreError: they could not be kept.
    """
    view = view_of(result)
    if service.store is not None and view is not None:
        content = json.dumps(view, separators=(",", ":")).encode()
        service.store.cases.add_file(
            result.case_id, NamedFile(name=VIEW_FILE, media_type="application/json", content=content)
        )
    server = None if launched is None or launched.server == service.settings.fhir_server else launched.server
    if service.store is not None and server is not None:
        content = json.dumps({"fhir_server": server}).encode()
        service.store.cases.add_file(
            result.case_id, NamedFile(name=SERVER_FILE, media_type="application/json", content=content)
        )
    return OpenCase(
        case_id=result.case_id,
        title=result.assessment.summary.text,
        created=wording.moment(result.assessment.created),
        patient=None if result.patient is None else result.patient.patient_id,
        call=None if result.findings is None else result.findings.call.value,
        view=view,
        report=render(result, ReportFormat.HTML, evidence_page=EVIDENCE_PAGE).decode(),
        result=result,
        stored=service.store is not None,
        blind=read_first and view is not None,
        server=server,
        launched=None if server is None else launched,
    )


def opened_stored(service: Service, case_id: str, *, author: str) -> OpenCase:
    """A case from the history.

    Raises:
        StoreError: it is not there, or cannot be read.
    """
    store = service.opened()
    stored = store.cases.get(case_id)
    reads = [one for one in store.feedback.of_case(case_id) if one.kind is FeedbackKind.OWN_READ]
    mine = [one.content for one in reads if one.author == author]
    return OpenCase(
        case_id=case_id,
        title=stored.title,
        created=wording.moment(stored.created),
        patient=stored.patient_key,
        call=stored.call,
        view=_stored_view(service, stored),
        report=store.cases.file(case_id, report_name(ReportFormat.HTML, Language.EN))[0].decode(),
        stored=True,
        signed_by=stored.signed_by,
        signed=None if stored.signed is None else wording.moment(stored.signed),
        read=mine[-1] if mine else None,
        server=_stored_server(service, stored),
    )


def _stored_view(service: Service, stored: StoredCase) -> Json | None:
    """The viewer's data as kept; of a case that came another way, its pixels without marks."""
    names = {one.name for one in stored.files}
    cases = service.opened().cases
    if VIEW_FILE in names:
        view: Json = json.loads(cases.file(stored.id, VIEW_FILE)[0])
        return view
    if IMAGE not in names:
        return None
    pixels = picture(service.engines.read_image(cases.file(stored.id, IMAGE)[0]))
    alt = "Radiograph. The marks of this case are in its report."
    return {"image": pixels | {"alt": alt}, "spacing": None, "detections": [], "heat": []}


def _stored_server(service: Service, stored: StoredCase) -> str | None:
    if not any(one.name == SERVER_FILE for one in stored.files):
        return None
    return str(json.loads(service.opened().cases.file(stored.id, SERVER_FILE)[0])["fhir_server"])


def page_data(service: Service, case: OpenCase, *, author: str) -> str:
    """All that the browser gets, as JSON; of a case that is read first only its pixels."""
    if case.blind and case.view is not None:
        hidden = {
            "case": {"id": case.case_id},
            "blind": True,
            "view": blind(case.view),
            "feedback": [],
            "types": _types(),
        }
        return json.dumps(hidden | {"judging": _judging(service)})
    told = {
        "blind": False,
        "view": case.view,
        "report": case.report,
        "feedback": feedback(service, case, author=author),
        "types": _types(),
        "judging": _judging(service),
        "send": {"ehr": _ehr_reason(service, case), "pacs": _pacs_reason(service, case)},
        "clear": case.call == FractureCall.NOT_SEEN,
        "agreement": None if case.read is None else agreement(case.read, case.view, case.call),
    }
    return json.dumps(told | case_data(service, case))


def case_data(service: Service, case: OpenCase) -> Json:
    """The head of the page: what a signature changes."""
    return {
        "case": {
            "id": case.case_id,
            "title": case.title,
            "created": case.created,
            "patient": case.patient and f"patient {case.patient}",
            "stored": case.stored,
            "signed_by": case.signed_by,
            "signed": case.signed,
        },
        "exports": [
            {"format": chosen.value, "label": label, "reason": _export_reason(service, case, chosen)}
            for chosen, label in EXPORTS
        ],
        "sign": _sign_reason(service, case),
        "send": {"ehr": _ehr_reason(service, case), "pacs": _pacs_reason(service, case)},
    }


def feedback(service: Service, case: OpenCase, *, author: str) -> list[Json]:
    """What was said about the case and still stands; empty where nothing is kept."""
    if service.store is None:
        return []
    return feedback_view(service.store.feedback.of_case(case.case_id), author=author)


def exported(service: Service, case: OpenCase, chosen: ReportFormat, language: Language, *, client: str) -> Json:
    """A file for the browser to save.

    Raises:
        InputError: it is not to be had yet.
        Exception: what `Service.report` raises.
    """
    _refuse(_export_reason(service, case, chosen))
    if case.result is None:
        content, media_type = service.report(case.case_id, chosen, language, client=client)
        return _file(report_name(chosen, language), content, media_type)
    if chosen is ReportFormat.DICOM:
        from cds.presenters.dicom_report import render_objects

        return _file("dicom.zip", _zipped(render_objects(case.result)), "application/zip")
    kind = FILE_KINDS[chosen]
    return _file(report_name(chosen, language), render(case.result, chosen, language), kind.media_type)


def signed(service: Service, case: OpenCase, *, author: str) -> OpenCase:
    """The case with the clinician's signature.

    Raises:
        InputError: it cannot be signed.
        StoreError: the signature is not kept.
    """
    _refuse(_sign_reason(service, case))
    stored = service.opened().cases.sign(case.case_id, actor=author)
    moment = None if stored.signed is None else wording.moment(stored.signed)
    return replace(case, signed_by=stored.signed_by, signed=moment)


def sent_to_ehr(service: Service, case: OpenCase, *, client: str) -> str:
    """Send the FHIR bundle; what became of it, in one line.

    Raises:
        InputError: it cannot be sent.
        FhirError: the server does not take it.
    """
    from cds.sending import send_bundle, told

    _refuse(_ehr_reason(service, case))
    content = base64.b64decode(exported(service, case, ReportFormat.FHIR, Language.EN, client=client)["content"])
    settings = service.settings if case.launched is None else case.launched.settings(service.settings)
    return told(send_bundle(settings, content))


def pacs_of(settings: Settings) -> "Destination | None":
    """Where reports go that a clinician sends; None where no PACS is set.

    Raises:
        SettingsError: its address cannot be used.
    """
    if not _has_pacs(settings):
        return None
    # Only now: the DICOM network takes a while to load.
    from cds.pacs.destinations import CStoreDestination, StowDestination, parse_peer

    if settings.pacs_peer is not None:
        return CStoreDestination(peer=parse_peer(settings.pacs_peer, settings))
    return None if settings.dicomweb_url is None else StowDestination(url=settings.dicomweb_url, settings=settings)


def sent_to_pacs(service: Service, case: OpenCase, *, client: str) -> str:
    """Send the DICOM objects; what became of them, in one line.

    A case from the history sends its structured report alone: the marks and the overlay are not kept.

    Raises:
        InputError: they cannot be sent.
        PacsError: the PACS does not take them.
        FhirError: the DICOMweb server does not take them.
    """
    _refuse(_pacs_reason(service, case))
    destination = pacs_of(service.settings)
    if destination is None:
        raise InputError("No PACS is set.", remedy="Set FRACTURE_CDS_PACS_PEER.")
    if case.result is None:
        contents = [service.report(case.case_id, ReportFormat.DICOM, client=client)[0]]
    else:
        from cds.presenters.dicom_report import render_objects

        contents = list(render_objects(case.result).values())
    destination.send(contents, first=False)
    objects = "1 object" if len(contents) == 1 else f"{len(contents)} objects"
    return f"stored in the PACS: {objects}"


def _file(name: str, content: bytes, media_type: str) -> Json:
    return {"name": name, "media_type": media_type, "content": base64.b64encode(content).decode("ascii")}


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _types() -> list[Json]:
    return [{"value": one.value, "label": wording.capitalised(wording.words(one))} for one in FractureType]


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise InputError(reason, remedy="The button says what is missing.")


def _first(reasons: Sequence[tuple[bool, str]]) -> str | None:
    return next((words for holds, words in reasons if holds), None)


def _judging(service: Service) -> str | None:
    return NO_STORE if service.store is None else None


def _sign_reason(service: Service, case: OpenCase) -> str | None:
    return _first(((service.store is None, NO_STORE), (case.signed_by is not None, "The report is signed already.")))


def _export_reason(service: Service, case: OpenCase, chosen: ReportFormat) -> str | None:
    no_image = chosen is ReportFormat.DICOM and case.view is None
    unsigned = chosen is ReportFormat.PATIENT and service.store is not None and case.signed_by is None
    return _first(((no_image, "The case has no radiograph."), (unsigned, SIGN_FIRST)))


def _ehr_reason(service: Service, case: OpenCase) -> str | None:
    return _first(
        (
            (case.server is not None and not _launch_lasts(case), LAUNCH_OVER),
            (case.server is None and service.settings.fhir_server is None, NO_EHR),
            (case.patient is None, "The case has no patient record."),
            (service.store is not None and case.signed_by is None, SIGN_FIRST),
        )
    )


def _launch_lasts(case: OpenCase) -> bool:
    return case.launched is not None and time.time() < case.launched.ends


def _has_pacs(settings: Settings) -> bool:
    return settings.pacs_peer is not None or settings.dicomweb_url is not None


def _pacs_reason(service: Service, case: OpenCase) -> str | None:
    return _first(
        (
            (not _has_pacs(service.settings), "No PACS is set (FRACTURE_CDS_PACS_PEER or FRACTURE_CDS_DICOMWEB_URL)."),
            (case.view is None, "The case has no radiograph."),
            (service.store is not None and case.signed_by is None, SIGN_FIRST),
        )
    )
