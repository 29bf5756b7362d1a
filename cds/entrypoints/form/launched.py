"""The patient whom an EHR opened the form for (SMART App Launch): told at the top, chosen already."""

import asyncio
import html
from typing import Any

import gradio as gr

from cds.audit import AuditKind
from cds.entrypoints.auth import principal_of
from cds.entrypoints.form.inputs import LAUNCHED, NONE_CHOSEN, CaseInputs
from cds.entrypoints.form.running import problem_panel
from cds.entrypoints.form.sources import Choice, read_patient
from cds.entrypoints.form.trail import noted
from cds.entrypoints.launch import COOKIE
from cds.entrypoints.service import Service
from cds.errors import LaunchRefusedError, explain
from cds.smart_launch import Launched

MAX_ID = 64


def launched_patient(service: Service, request: Any, value: str) -> Launched:
    """The launch that a choice of the form stands for, if this person and this browser made it.

    Args:
        service: knows the launches.
        request: ``gr.Request``.
        value: of the choice.

    Raises:
        LaunchRefusedError: there is no such launch, or its token has ended.
    """
    if service.launches is None:
        raise LaunchRefusedError("There is no such launch.", remedy="Open the form again from the EHR.")
    cookies = request.cookies or {}
    launch_id, browser = value.removeprefix(LAUNCHED)[:MAX_ID], str(cookies.get(COOKIE, ""))
    return service.launches.find(launch_id, actor=principal_of(request).actor, browser=browser)


def bind_launch(service: Service, form: gr.Blocks, inputs: CaseInputs, welcome: gr.HTML) -> None:
    """When the page opens with the number of a launch: say whose chart it is, and choose that patient.

    Args:
        service: knows the launches.
        form: the page.
        inputs: of the tab "Case".
        welcome: where it is said.
    """

    def opened(request: gr.Request) -> tuple[Any, Any, str]:
        launch_id = str(request.query_params.get("launch", ""))[:MAX_ID]
        if not launch_id:
            return gr.skip(), gr.skip(), ""
        value = LAUNCHED + launch_id
        try:
            found = launched_patient(service, request, value)
            with noted(service.audit, request, AuditKind.READ, target="ehr-patient", patient=found.patient_id):
                choice = asyncio.run(read_patient(found.settings(service.settings), found.patient_id))
        except Exception as error:  # told to the reader
            return gr.skip(), gr.skip(), problem_panel(explain(error))
        rows = [NONE_CHOSEN, (f"From the EHR: {choice.label}", value)]
        return gr.Radio(choices=rows, value=value), gr.Accordion(open=True), _welcome(choice)

    form.load(
        opened,
        outputs=[inputs.patient, inputs.patient_search, welcome],
        api_visibility="private",
        show_progress="hidden",
    )


def _welcome(choice: Choice) -> str:
    return (
        f'<p class="launched" role="status"><strong>Opened from the EHR for {html.escape(choice.label)}.</strong>'
        " The record is read from there when you press Assess, unless another one is given.</p>"
    )
