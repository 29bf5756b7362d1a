"""The web form: files and bedside findings in, the report beside them.

The report is shown in a sandboxed frame and offered as downloads that the page carries itself, so that no result is
written to the server's disk. Uploads are: the toolkit stores them, here in a folder that only this process's user can
read, and deletes them an hour later and at the end.
"""

import base64
import html
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from cds.bedside import BEDSIDE_FIELDS, BedsideField, FieldKind
from cds.entrypoints.console import read_input
from cds.entrypoints.service import RawCase, Service
from cds.errors import InputError, InputKind, Problem, explain
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS, render_available
from cds.presenters.wording import NOTICE

# Before the toolkit is imported: it reads these once.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
_UPLOADS = tempfile.TemporaryDirectory(prefix="fracture-cds-uploads-")
os.environ["GRADIO_TEMP_DIR"] = _UPLOADS.name

import gradio as gr  # noqa: E402

from cds.entrypoints.evidence_web import evidence_tab  # noqa: E402 - it loads the toolkit too

UPLOAD_LIFETIME_S = 3600
CLEANING_INTERVAL_S = 300
NOT_STATED = ("Not stated", "")
"""Caption and value of the third answer."""
CSS = """
.gradio-container { max-width: 1600px !important; }
#notice { border-left: 4px solid #b45309; padding: 2px 12px; }
#outcome iframe { width: 100%; height: 86vh; border: 1px solid #d1d5db; background: white; }
#outcome .downloads a { display: inline-block; margin: 0 14px 10px 0; }
#outcome .problem { border: 1px solid #b91c1c; border-left-width: 6px; padding: 10px 14px; }
#outcome .waiting { border: 1px dashed #9ca3af; padding: 30px 20px; }
.upload .wrap { font-size: 0.9rem; min-height: 0; padding-top: 18px; }
.upload .icon-wrap { display: none; }
.bedside { padding-top: 4px !important; padding-bottom: 4px !important; }
fieldset.bedside { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 2px 8px; }
fieldset.bedside .wrap { flex-wrap: nowrap; gap: 4px; }
fieldset.bedside > span { margin-bottom: 0; }
fieldset.bedside label { padding: 3px 7px; font-size: 0.85rem; }
fieldset.bedside label > span { margin-left: 4px; }
#assess { position: sticky; bottom: 10px; z-index: 5; }
"""
"""Layout only; colours of text are left to the theme."""

WAITING = '<div class="waiting">Give an X-ray, a patient record, or both, then press Assess.</div>'


def discard_uploads() -> None:
    """Delete every upload; also when a signal is about to end the process, which runs no exit handlers."""
    for entry in Path(_UPLOADS.name).iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def mount_form(app: FastAPI, service: Service) -> None:
    """Put the form at ``/`` of the service; behind a login when an access token is set."""
    token = service.settings.access_token
    limit = max(service.settings.max_image_bytes, service.settings.max_record_bytes)
    gr.mount_gradio_app(
        app,
        build_form(service),
        path="/",
        server_name=service.settings.host,
        server_port=service.settings.port,
        auth=None if token is None else _password_check(token.get_secret_value()),
        auth_message="Any name, and the access token as password.",
        max_file_size=limit,
        footer_links=[],
        run_history=False,  # it would store every case in the browser
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        css=CSS,
        theme=gr.themes.Base(
            primary_hue="blue",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
    )


def build_form(service: Service) -> gr.Blocks:
    """The page and its one action."""
    form = gr.Blocks(
        title="fracture-cds", analytics_enabled=False, delete_cache=(CLEANING_INTERVAL_S, UPLOAD_LIFETIME_S)
    )
    with form:
        gr.Markdown(f"# Limb fracture decision support\n{NOTICE}", elem_id="notice")
        with gr.Tab("Case", elem_id="case-tab"), gr.Row():
            with gr.Column(scale=3, min_width=430):
                image = gr.File(label="X-ray: DICOM, PNG or JPEG", height=120, elem_id="image", elem_classes="upload")
                record = gr.File(
                    label="Patient record: FHIR R4 Bundle", height=120, elem_id="record", elem_classes="upload"
                )
                with gr.Accordion("Paste the record, or choose the patient", open=False):
                    pasted = gr.Textbox(label="FHIR R4 Bundle as JSON", lines=5, max_lines=12, elem_id="pasted")
                    patient_id = gr.Textbox(label="Patient id, when the bundle holds several")
                bedside = _bedside_inputs()
                heat_maps = gr.Checkbox(
                    value=False, label="Heat maps in the report (takes some seconds longer)", elem_id="heat-maps"
                )
                button = gr.Button("Assess", variant="primary", elem_id="assess")
            with gr.Column(scale=7, min_width=480):
                outcome = gr.HTML(WAITING, elem_id="outcome")

        def assess(
            request: gr.Request,
            image: str | None,
            record: str | None,
            pasted: str | None,
            patient_id: str | None,
            heat_maps: bool,
            *answers: str | None,
        ) -> str:
            client = request.username or (request.client.host if request.client else "unknown")
            filled = _Filled(
                image=image,
                record=record,
                pasted=pasted or "",
                patient_id=patient_id or "",
                answers=answers,
                heat_maps=heat_maps,
            )
            return _assess(service, filled, client=client)

        inputs = [image, record, pasted, patient_id, heat_maps, *bedside]
        # A report must never stand beside inputs that it was not made from. In the browser: no round trip.
        gr.on(
            [part.change for part in inputs],
            fn=None,
            js=f"() => {json.dumps(WAITING)}",
            outputs=outcome,
            api_visibility="private",
        )
        button.click(
            assess,
            inputs=inputs,
            outputs=outcome,
            api_visibility="private",
            concurrency_limit=2,
        )
        evidence_tab()
    return form


def _bedside_inputs() -> list[gr.Radio | gr.Dropdown | gr.Textbox]:
    """One component per field, in the order of `BEDSIDE_FIELDS`."""
    components: list[gr.Radio | gr.Dropdown | gr.Textbox] = []
    with gr.Accordion("At the bedside", open=True):
        for item in BEDSIDE_FIELDS:
            components.append(_bedside_input(item))
    return components


def _bedside_input(item: BedsideField) -> gr.Radio | gr.Dropdown | gr.Textbox:
    label, name = item.label, f"bedside-{item.name}"
    if item.kind is FieldKind.FLAG:
        return gr.Radio(
            [("Yes", "yes"), ("No", "no"), NOT_STATED], value="", label=label, elem_id=name, elem_classes="bedside"
        )
    if item.choices is not None:
        options = [NOT_STATED, *((member.value.replace("_", " "), member.value) for member in item.choices)]
        return gr.Dropdown(options, value="", label=label, elem_id=name, elem_classes="bedside")
    return gr.Textbox(label=label, max_lines=1, elem_id=name, elem_classes="bedside")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """The form as it was sent."""

    image: str | None
    """Path of the upload."""
    record: str | None
    pasted: str
    patient_id: str
    answers: tuple[str | None, ...]
    """In the order of `BEDSIDE_FIELDS`."""
    heat_maps: bool


def _assess(service: Service, filled: _Filled, *, client: str) -> str:
    """The report, or the explained problem, as HTML. Nothing is raised: the toolkit would print it with its message."""
    try:
        raw = RawCase(
            image=_upload(filled.image, InputKind.RADIOGRAPH, service.settings.max_image_bytes),
            bundle=_upload(filled.record, InputKind.RECORD, service.settings.max_record_bytes)
            or filled.pasted.strip().encode()
            or None,
            patient_id=filled.patient_id.strip(),
            frame=None,
            as_of=None,
            bedside={item.name: answer for item, answer in zip(BEDSIDE_FIELDS, filled.answers, strict=True)},
            explain=filled.heat_maps,
        )
        result = service.assess(raw, client=client)
        files = render_available(result)
    except Exception as error:
        return _problem_panel(explain(error))
    return _report_panel(files)


def _upload(path: str | None, kind: InputKind, limit_bytes: int) -> bytes | None:
    try:
        return read_input(None if path is None else Path(path), kind, limit_bytes=limit_bytes)
    except InputError:
        raise InputError(
            f"The uploaded {kind.value} is no longer on this server.",
            remedy="Uploads are deleted after an hour: choose the file again.",
        ) from None


def _report_panel(files: dict[ReportFormat, bytes]) -> str:
    links = "".join(
        f'<a download="{FILE_KINDS[chosen].file_name}" href="data:application/octet-stream;base64,'
        f'{base64.b64encode(content).decode()}">{FILE_KINDS[chosen].file_name}</a>'
        for chosen, content in files.items()
    )
    report = html.escape(files[ReportFormat.HTML].decode(), quote=True)
    return (
        f'<div class="downloads">Download: {links}</div>'
        f'<iframe title="Report" sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="{report}"></iframe>'
    )


def _problem_panel(problem: Problem) -> str:
    what, why, remedy, code = (html.escape(text) for text in (problem.what, problem.why, problem.remedy, problem.code))
    return (
        f'<div class="problem" role="alert"><strong>{what}</strong><p>{why}</p><p>{remedy}</p>'
        f"<small>{code}</small></div>"
    )


def _password_check(token: str) -> Callable[[str, str], bool]:
    def check(name: str, password: str) -> bool:
        return secrets.compare_digest(password.encode(), token.encode())

    return check
