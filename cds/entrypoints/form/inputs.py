"""The components of the tab "Case": files, patient, study, bedside findings, and how the form was filled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import gradio as gr

from cds.audit import AuditKind, AuditTrail
from cds.bedside import BEDSIDE_FIELDS, BedsideField, FieldKind
from cds.entrypoints.form.running import FETCHING, Tell, problem_panel
from cds.entrypoints.form.sources import Found, find_patients, find_studies
from cds.entrypoints.form.trail import noted
from cds.entrypoints.form.uploads import read_upload
from cds.errors import InputKind, explain
from cds.fhir_source import DicomWebChoice, SourceRequest, fetch_case
from cds.settings import Settings
from cds.smart_launch import Launched
from cds.work.requests import RawCase

NOT_STATED = ("Not stated", "")
"""Caption and value of the third answer."""
NONE_CHOSEN = ("None chosen", "")
LAUNCHED = "launch:"
"""Before the number of a launch, where a patient is chosen whom an EHR opened the form for."""
Bedside = gr.Radio | gr.Dropdown | gr.Textbox


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseInputs:
    """The components; `all` is the order in which `filled` takes their values."""

    image: gr.File
    record: gr.File
    pasted: gr.Textbox
    patient_id: gr.Textbox
    patient: gr.Radio
    patient_search: gr.Accordion
    newest_image: gr.Checkbox
    study: gr.Radio
    heat_maps: gr.Checkbox
    bedside: tuple[Bedside, ...]

    @property
    def all(self) -> list[Any]:
        """Every component that a result depends on."""
        own = (self.image, self.record, self.pasted, self.patient_id, self.patient, self.newest_image, self.study)
        return [*own, self.heat_maps, *self.bedside]


def case_inputs(settings: Settings, trail: AuditTrail) -> CaseInputs:
    """Make the components, in the two columns of the tab.

    Args:
        settings: limits and servers.
        trail: where searches are recorded.
    """
    with gr.Row():
        with gr.Column(scale=1, min_width=330):
            gr.Markdown("### X-ray")
            image = gr.File(label="X-ray: DICOM, PNG or JPEG", height=110, elem_id="image", elem_classes="upload")
            study = _study_search(settings, trail)
            gr.Markdown("### Patient")
            record = gr.File(
                label="Patient record: FHIR R4 Bundle", height=110, elem_id="record", elem_classes="upload"
            )
            patient, patient_search, newest_image = _patient_search(settings, trail)
            with gr.Accordion("Paste the record", open=False):
                pasted = gr.Textbox(label="FHIR R4 Bundle as JSON", lines=5, max_lines=12, elem_id="pasted")
                patient_id = gr.Textbox(label="Patient id, when the bundle holds several")
        with gr.Column(scale=2, min_width=330):
            gr.Markdown("### At the bedside\nWhat nobody answers stays \u201cnot stated\u201d, never \u201cno\u201d.")
            bedside = _bedside_inputs()
            heat_maps = gr.Checkbox(
                value=False, label="Heat maps (takes some seconds longer)", elem_id="heat-maps", container=False
            )
    return CaseInputs(
        image=image,
        record=record,
        pasted=pasted,
        patient_id=patient_id,
        patient=patient,
        patient_search=patient_search,
        newest_image=newest_image,
        study=study,
        heat_maps=heat_maps,
        bedside=bedside,
    )


def raw_case(
    settings: Settings, values: Sequence[Any], tell: Tell, launched: Callable[[str], Launched] | None = None
) -> RawCase:
    """What was filled in, fetched where it lies on a server.

    Args:
        settings: limits and servers.
        values: of the components, in the order of `CaseInputs.all`.
        tell: told before servers are asked.
        launched: gives the launch that a choice stands for; None where no EHR launches the form.

    Raises:
        InputError: an upload has expired, or is too large.
        LaunchRefusedError: the EHR's permission to read the patient has ended.
        FhirError: a server does not give it.
    """
    image_path, record_path, pasted, patient_id, patient, newest, study, heat_maps, *answers = values
    image = read_upload(image_path, InputKind.RADIOGRAPH, settings.max_image_bytes)
    bundle = read_upload(record_path, InputKind.RECORD, settings.max_record_bytes)
    bundle = bundle or (pasted or "").strip().encode() or None
    chosen, warnings = (patient_id or "").strip(), tuple[str, ...]()
    wanted_record = patient if patient and bundle is None else None
    wanted_image = bool(newest and wanted_record) and image is None and not study
    source = settings
    if wanted_record and wanted_record.startswith(LAUNCHED) and launched is not None:
        launch = launched(wanted_record)
        source, wanted_record = launch.settings(settings), launch.patient_id
    if wanted_record or (study and image is None):
        tell(FETCHING)
        request = SourceRequest(
            patient_id=wanted_record,
            image_from_server=wanted_image,
            dicomweb=DicomWebChoice(study=study) if study and image is None else None,
            as_of=datetime.now().astimezone(),
        )
        fetched = fetch_case(source, request)
        image, bundle, warnings = image or fetched.image, bundle or fetched.bundle, fetched.warnings
        chosen = fetched.patient_id or chosen
    return RawCase(
        image=image,
        bundle=bundle,
        patient_id=chosen,
        frame=None,
        as_of=None,
        bedside={item.name: answer for item, answer in zip(BEDSIDE_FIELDS, answers, strict=True)},
        explain=bool(heat_maps),
        source_warnings=warnings,
    )


def _patient_search(settings: Settings, trail: AuditTrail) -> tuple[gr.Radio, gr.Accordion, gr.Checkbox]:
    ready = settings.fhir_server is not None
    label = "Find the patient in the EHR" if ready else "Patient from the EHR: no FHIR server is set"
    with gr.Accordion(label, open=False, elem_id="patient-search") as search:
        name = gr.Textbox(label="Name", max_lines=1, interactive=ready, elem_id="patient-name")
        with gr.Row():
            identifier = gr.Textbox(label="Identifier", max_lines=1, interactive=ready, min_width=120)
            born = gr.Textbox(
                label="Date of birth", max_lines=1, interactive=ready, placeholder="1953-06-01", min_width=120
            )
        button = gr.Button("Search patients", interactive=ready, elem_id="patient-find")
        rows = gr.Radio([NONE_CHOSEN], value="", label="Patients found", elem_id="patients", elem_classes="found")
        newest = gr.Checkbox(
            value=False,
            label="With the newest limb X-ray of this patient",
            interactive=ready or settings.smart_client_id is not None,
            container=False,
        )
        note = gr.HTML("", elem_id="patient-note")
    _search(
        (button.click, name.submit, identifier.submit, born.submit),
        (name, identifier, born),
        (rows, note),
        (trail, "patients", ("name", "identifier", "birthdate")),
        lambda name, identifier, born: find_patients(settings, name=name, identifier=identifier, birth_date=born),
    )
    return rows, search, newest


def _study_search(settings: Settings, trail: AuditTrail) -> gr.Radio:
    ready = settings.dicomweb_url is not None
    label = "Find the study in the PACS" if ready else "Study from the PACS: no server is set"
    with gr.Accordion(label, open=False, elem_id="study-search"):
        patient_id = gr.Textbox(label="Patient id", max_lines=1, interactive=ready, elem_id="study-patient")
        with gr.Row():
            name = gr.Textbox(label="Name", max_lines=1, interactive=ready, min_width=120)
            day = gr.Textbox(
                label="Day of the study", max_lines=1, interactive=ready, placeholder="2026-03-04", min_width=120
            )
        button = gr.Button("Search studies", interactive=ready, elem_id="study-find")
        rows = gr.Radio([NONE_CHOSEN], value="", label="Studies found", elem_id="studies", elem_classes="found")
        note = gr.HTML("", elem_id="study-note")
    _search(
        (button.click, patient_id.submit, name.submit, day.submit),
        (patient_id, name, day),
        (rows, note),
        (trail, "studies", ("patient_id", "name", "day")),
        lambda patient_id, name, day: find_studies(settings, patient_id=patient_id, name=name, study_date=day),
    )
    return rows


def _search(
    triggers: Sequence[Any],
    asked: Sequence[gr.Textbox],
    shown: tuple[gr.Radio, gr.HTML],
    audited: tuple[AuditTrail, str, tuple[str, ...]],
    find: Callable[..., Found],
) -> None:
    """Bind a search: rows to choose from, or what went wrong."""
    trail, name, fields = audited

    def search(request: gr.Request, *words: str | None) -> tuple[Any, str]:
        given = [word or "" for word in words]
        try:
            with noted(trail, request, AuditKind.QUERY, query=(name, dict(zip(fields, given, strict=True)))):
                found = find(*given)
        except Exception as error:  # told to the reader
            return gr.Radio(choices=[NONE_CHOSEN], value=""), problem_panel(explain(error))
        rows = [NONE_CHOSEN, *((one.label, one.value) for one in found.rows)]
        more = f"The first {len(found.rows)} are shown: narrow the search." if found.more else ""
        note = more or ("" if found.rows else "Nothing was found.")
        return gr.Radio(choices=rows, value=""), f'<p role="status">{note}</p>'

    gr.on(
        list(triggers), search, inputs=list(asked), outputs=list(shown), api_visibility="private", concurrency_limit=4
    )


def _bedside_inputs() -> tuple[Bedside, ...]:
    """One component per field, in the order of `BEDSIDE_FIELDS`."""
    with gr.Row(elem_id="bedside"):
        return tuple(_bedside_input(item) for item in BEDSIDE_FIELDS)


def _bedside_input(item: BedsideField) -> Bedside:
    label, name = item.label, f"bedside-{item.name}"
    if item.kind is FieldKind.FLAG:
        answers = [("Yes", "yes"), ("No", "no"), NOT_STATED]
        return gr.Radio(answers, value="", label=label, elem_id=name, elem_classes="bedside", min_width=270)
    if item.choices is not None:
        options = [NOT_STATED, *((member.value.replace("_", " "), member.value) for member in item.choices)]
        return gr.Dropdown(options, value="", label=label, elem_id=name, elem_classes="bedside", min_width=270)
    return gr.Textbox(label=label, max_lines=1, elem_id=name, elem_classes="bedside", min_width=270)
