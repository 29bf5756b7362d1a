"""The page: a case in, its result with the viewer, the history, the evidence."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
from fastapi import FastAPI

from cds.audit import AuditKind
from cds.entrypoints.auth import principal_name
from cds.entrypoints.drift_web import drift_tab
from cds.entrypoints.evidence_web import evidence_tab
from cds.entrypoints.form import opened
from cds.entrypoints.form.history import ANY, history_data
from cds.entrypoints.form.inputs import CaseInputs, case_inputs, raw_case
from cds.entrypoints.form.judging import keep_judgement, keep_outcome, own_read
from cds.entrypoints.form.launched import bind_launch, launched_patient
from cds.entrypoints.form.opened import OpenCase
from cds.entrypoints.form.people import ROLE, client_of
from cds.entrypoints.form.running import Tell, problem_panel, progress_panel, run
from cds.entrypoints.form.trail import noted
from cds.entrypoints.form.uploads import CLEANING_INTERVAL_S, UPLOAD_LIFETIME_S
from cds.entrypoints.service import Service
from cds.errors import InputError, explain
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.presenters import wording
from cds.presenters.viewer.assets import script, style
from cds.smart_launch import Launched
from cds.store.feedback import FeedbackKind
from cds.work.requests import RawCase

CASE, RESULT, HISTORY = "case", "result", "history"
CSS = """
.gradio-container { max-width: 1760px !important; }
#notice { border-left: 4px solid #b45309; padding: 2px 12px; }
#notice .prose { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: baseline; }
#notice h1, #notice p { font-size: 1.15rem; margin: 0; }
#notice p { font-size: 0.95rem; font-weight: 600; }
.running, .problem { padding: 10px 14px; border: 1px solid var(--border-color-primary); }
.running li.now { font-weight: 600; }
.problem { border-color: #b91c1c; border-left-width: 6px; }
.launched { border-left: 6px solid #1d4ed8; padding: 8px 14px; }
#launched:not(:has(p)) { display: none; }
.upload .wrap { font-size: 0.9rem; min-height: 0; padding-top: 14px; }
.upload .icon-wrap { display: none; }
.found .wrap { flex-direction: column; align-items: stretch; }
.bedside { padding-top: 4px !important; padding-bottom: 4px !important; }
#bedside { gap: 6px; }
fieldset.bedside .wrap { flex-wrap: wrap; gap: 4px; }
fieldset.bedside label { padding: 3px 9px; font-size: 0.9rem; }
fieldset.bedside label > span { margin-left: 4px; }
#assess { position: sticky; bottom: 10px; z-index: 5; }
@media (pointer: coarse) { fieldset.bedside label { min-height: 2.6rem; } }
""" + style()
_RESULT_SCRIPT = (
    script("viewer", "workspace")
    + """
const work = makeWorkspace(element.querySelector('.cds-root'), (what) => trigger('act', what));
let last = props.value;
work.show(last);
// The toolkit also tells of updates that change nothing: drawing anew would lose the open part and a drawn box.
watch('value', () => { if (props.value !== last) { last = props.value; work.show(last); } });
window.addEventListener('cds-answer', (event) => work.answer(event.detail));
"""
)
_ANSWER_SCRIPT = """
watch('value', () => window.dispatchEvent(new CustomEvent('cds-answer', { detail: props.value })));
"""
_HISTORY_SCRIPT = (
    script("viewer", "history")
    + """
const list = makeHistory(element.querySelector('.cds-root'), (what) => trigger('act', what));
list.show(props.value);
watch('value', () => list.show(props.value));
"""
)
_CASE_ID = re.compile(r"[0-9a-fA-F-]{1,64}")
_ROOT = '<div class="cds-root"></div>'
Json = dict[str, Any]


def mount_form(app: FastAPI, service: Service) -> None:
    """Put the form at ``/`` of the service, behind its gate."""
    limit = max(service.settings.max_image_bytes, service.settings.max_record_bytes)
    gr.mount_gradio_app(
        app,
        build_form(service),
        path="/",
        server_name=service.settings.host,
        server_port=service.settings.port,
        auth_dependency=principal_name,  # the gate in front has let nobody in that it does not know
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
        ).set(  # quiet text must still be read
            body_text_color_subdued="#4b5563",
            body_text_color_subdued_dark="#d1d5db",
            block_info_text_color="#4b5563",
            block_info_text_color_dark="#d1d5db",
            button_primary_background_fill="#1d4ed8",
            button_primary_background_fill_dark="#1d4ed8",
        ),
    )


def build_form(service: Service) -> gr.Blocks:
    """The page and what it does."""
    form = gr.Blocks(
        title="fracture-cds",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(CLEANING_INTERVAL_S, UPLOAD_LIFETIME_S),
    )
    with form:
        gr.Markdown(f"# Limb fracture decision support\n{wording.NOTICE}", elem_id="notice")
        state = gr.State(None, time_to_live=UPLOAD_LIFETIME_S)
        with gr.Tabs(selected=CASE) as tabs:
            with gr.Tab("Case", id=CASE, elem_id="case-tab"):
                welcome = gr.HTML("", elem_id="launched")
                inputs = case_inputs(service.settings, service.audit)
                read_first = gr.Checkbox(
                    value=service.settings.own_read_first,
                    label="I read first: my own read is recorded before the machine's is shown",
                    elem_id="read-first",
                    container=False,
                )
                button = gr.Button("Assess", variant="primary", elem_id="assess")
                status = gr.HTML("", elem_id="status")
            with gr.Tab("Result", id=RESULT, elem_id="result-tab", render_children=True):
                work = gr.HTML(
                    None, html_template=_ROOT, js_on_load=_RESULT_SCRIPT, apply_default_css=False, elem_id="outcome"
                )
                answer = gr.HTML("", html_template="<span></span>", js_on_load=_ANSWER_SCRIPT, elem_id="answer")
            with gr.Tab("History", id=HISTORY, elem_id="history-tab") as history_tab:
                asked, kept = _history(service)
            if service.store is not None:
                drift_tab()
            evidence_tab()
        _bind_assess(service, inputs, read_first, button, (state, work, tabs, status))
        bind_launch(service, form, inputs, welcome)
        _bind_acts(service, state, work, answer)
        _bind_history(service, history_tab, asked, kept, (state, work, tabs))
    return form


def _own_html(load: str, name: str) -> gr.HTML:
    """A place that a script of ours fills; its value is JSON."""
    return gr.HTML(None, html_template=_ROOT, js_on_load=load, apply_default_css=False, elem_id=name)


def _bind_assess(
    service: Service, inputs: CaseInputs, read_first: gr.Checkbox, button: gr.Button, shown: tuple[Any, ...]
) -> None:
    def assess(request: gr.Request, read_first: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
        client = client_of(request)
        used: list[Launched] = []

        def launched(value: str) -> Launched:
            used.append(launched_patient(service, request, value))
            return used[-1]

        def prepare(tell: Tell) -> RawCase:
            return raw_case(service.settings, values, tell, launched)

        for steps, outcome in run(service, prepare, client=client):
            if outcome is None:
                yield gr.skip(), gr.skip(), gr.skip(), progress_panel(steps)
                continue
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                launch = used[-1] if used else None
                case = opened.opened_result(service, outcome, read_first=read_first, launched=launch)
                page = opened.page_data(service, case, author=client)
            except Exception as error:  # told to the reader; the toolkit would print it with its message
                yield None, None, gr.skip(), problem_panel(explain(error))
            else:
                yield case, page, gr.Tabs(selected=RESULT), '<p role="status">Done: see the tab \u201cResult\u201d.</p>'

    _, work, _, status = shown
    # A result must never stand beside inputs that it was not made from. In the browser: no round trip.
    gr.on(
        [part.change for part in inputs.all],
        fn=None,
        js="() => [null, '']",
        outputs=[work, status],
        api_visibility="private",
    )
    button.click(
        assess,
        inputs=[read_first, *inputs.all],
        outputs=list(shown),
        api_visibility="private",
        concurrency_limit=2,
        show_progress="hidden",
    )


def _bind_acts(service: Service, state: gr.State, work: gr.HTML, answer: gr.HTML) -> None:
    def act(request: gr.Request, case: OpenCase | None, event: gr.EventData) -> tuple[Any, Any, str]:
        said: Mapping[str, Any] = event._data if isinstance(event._data, Mapping) else {}
        after, page, told = case, None, Json()
        try:
            if case is None or said.get("case_id") != case.case_id:
                raise InputError("The case is no longer open.", remedy="Assess it again, or open it from the history.")
            kind, target = _audited(case, said)
            with noted(service.audit, request, kind, target=target, patient=case.patient):
                after, page, told = _acted(service, case, said, client_of(request))
        except Exception as error:  # told to the reader
            problem = explain(error)
            told = {"said": f"{problem.why} {problem.remedy}", "bad": True}
        told |= {"case_id": None if case is None else case.case_id, "nonce": secrets.token_hex(4)}
        return after, gr.skip() if page is None else page, json.dumps(told)

    work.act(
        act,
        inputs=[state],
        outputs=[state, work, answer],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=4,
    )


def _audited(case: OpenCase, said: Mapping[str, Any]) -> tuple[AuditKind, str]:
    """What an act is for the audit: kind and target."""
    place = f"case/{case.case_id}"
    match said.get("action"):
        case "export":
            # Only a name that is one of ours: what a browser sends may be anything.
            chosen = said.get("format")
            return AuditKind.EXPORT, f"{place}/reports/{chosen if chosen in set(ReportFormat) else 'unknown'}"
        case "send_ehr":
            return AuditKind.EXPORT, f"{place}/ehr"
        case "send_pacs":
            return AuditKind.EXPORT, f"{place}/pacs"
        case "sign":
            return AuditKind.UPDATE, f"{place}/sign"
        case _:
            return AuditKind.UPDATE, f"{place}/feedback"


def _acted(service: Service, case: OpenCase, said: Mapping[str, Any], client: str) -> tuple[OpenCase, str | None, Json]:
    """Do what was asked: the case afterwards, the page where it is to be drawn anew, and the answer."""
    what = said.get("action")
    if case.blind:
        if what != "own_read":
            raise InputError("Your own read comes first.", remedy="Record it; then the result is shown.")
        read = own_read(said)
        if service.store is not None:
            service.store.feedback.add(case.case_id, FeedbackKind.OWN_READ, author=client, role=ROLE, content=read)
        shown = replace(case, blind=False, read=read)
        return shown, opened.page_data(service, shown, author=client), {"said": "Your read is recorded."}
    match what:
        case "judge":
            keep_judgement(service.opened(), case.case_id, said, author=client, role=ROLE)
            return case, None, {"feedback": opened.feedback(service, case, author=client), "said": "Stored."}
        case "outcome":
            keep_outcome(service.opened(), case.case_id, said, author=client, role=ROLE)
            return case, None, {"feedback": opened.feedback(service, case, author=client), "said": "Stored."}
        case "sign":
            signed = opened.signed(service, case, author=client)
            return signed, None, opened.case_data(service, signed) | {"said": "Signed."}
        case "export":
            chosen, language = _wanted(said)
            file = opened.exported(service, case, chosen, language, client=client)
            return case, None, {"file": file, "said": f"{file['name']} was handed to your browser."}
        case "send_ehr":
            told = opened.sent_to_ehr(service, case, client=client)
            return case, None, {"said": wording.capitalised(told)}
        case "send_pacs":
            told = opened.sent_to_pacs(service, case, client=client)
            return case, None, {"said": wording.capitalised(told)}
        case _:
            raise InputError("The page asked for something unknown.", remedy="Load the page again.")


def _wanted(said: Mapping[str, Any]) -> tuple[ReportFormat, Language]:
    try:
        return ReportFormat(str(said.get("format"))), Language(str(said.get("language", "en")))
    except ValueError:
        raise InputError("The page asked for a format that there is not.", remedy="Load the page again.") from None


def _history(service: Service) -> tuple[list[Any], gr.HTML]:
    with gr.Row():
        text = gr.Textbox(
            label="Search",
            info="A word of the result, or the beginning of a case, patient or study id.",
            max_lines=1,
            elem_id="history-text",
            scale=3,
        )
        urgencies = [("Any urgency", ANY), *((words, one.value) for one, words in wording.URGENCIES.items())]
        urgency = gr.Dropdown(urgencies, value=ANY, label="Urgency", elem_id="history-urgency")
        signed = gr.Dropdown(
            [("Signed or not", ANY), ("Signed", "signed"), ("Not signed", "unsigned")],
            value=ANY,
            label="Signature",
            elem_id="history-signed",
        )
    kept = _own_html(_HISTORY_SCRIPT, "history")
    return [text, urgency, signed], kept


def _opened(service: Service, request: gr.Request, case_id: object, author: str) -> tuple[OpenCase, str]:
    """A kept case and what the browser gets of it; that somebody looked is recorded first."""
    wanted = case_id if isinstance(case_id, str) and _CASE_ID.fullmatch(case_id) else "unknown"
    try:
        case = opened.opened_stored(service, wanted, author=author)
    except Exception:
        with noted(service.audit, request, AuditKind.READ, target=f"case/{wanted}"):
            raise
    with noted(service.audit, request, AuditKind.READ, target=f"case/{wanted}", patient=case.patient):
        return case, opened.page_data(service, case, author=author)


def _bind_history(service: Service, tab: gr.Tab, asked: list[Any], kept: gr.HTML, shown: tuple[Any, ...]) -> None:
    def listed(request: gr.Request, text: str, urgency: str, signed: str, cursor: str | None = None) -> str:
        asked = {"text": text or "", "urgency": urgency, "signed": signed}
        try:
            with noted(service.audit, request, AuditKind.QUERY, query=("history", asked)):
                return history_data(service, text=text or "", urgency=urgency, signed=signed, cursor=cursor)
        except Exception as error:  # told to the reader
            problem = explain(error)
            return json.dumps({"rows": [], "note": f"{problem.why} {problem.remedy}", "cursor": None})

    def act(
        request: gr.Request, before: OpenCase | None, text: str, urgency: str, signed: str, event: gr.EventData
    ) -> tuple[Any, Any, Any, Any]:
        said: Mapping[str, Any] = event._data if isinstance(event._data, Mapping) else {}
        if said.get("action") == "more":
            return gr.skip(), gr.skip(), gr.skip(), listed(request, text, urgency, signed, str(said.get("cursor")))
        client = client_of(request)
        try:
            if before is not None and before.blind and before.case_id == said.get("case_id"):
                raise InputError(
                    "Your own read of this case comes first.", remedy="Record it on the tab \u201cResult\u201d."
                )
            case, page = _opened(service, request, said.get("case_id"), client)
        except Exception as error:  # told to the reader
            problem = explain(error)
            note = json.dumps({"rows": [], "note": f"{problem.why} {problem.remedy}", "cursor": None})
            return gr.skip(), gr.skip(), gr.skip(), note
        return case, page, gr.Tabs(selected=RESULT), gr.skip()

    text, urgency, signed = asked
    gr.on(
        [tab.select, text.submit, text.change, urgency.change, signed.change],
        listed,
        inputs=asked,
        outputs=kept,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    kept.act(act, inputs=[shown[0], *asked], outputs=[*shown, kept], api_visibility="private", show_progress="hidden")
