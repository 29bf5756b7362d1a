"""The drift page in the web service, at ``/drift``, as JSON at ``/api/drift``, as a tab of the form, and as gauges.

For clinicians and administrators; it names no patient.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Final

import gradio as gr
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from cds.entrypoints.auth import require
from cds.entrypoints.problems import problem_response
from cds.entrypoints.service import Service
from cds.errors import InputError, explain
from cds.learning.drift.watching import DriftReport, State, watch
from cds.metrics import AskDrift
from cds.presenters.drift_page import render_drift_html, render_drift_json
from cds.security.roles import Role

ADDRESS: Final = "/drift"
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'"
GAUGES_EVERY_S: Final = 900.0
"""A scrape between two looks gets the figures of the last one: a look reads every case."""


def mount_drift(app: FastAPI, service: Service) -> None:
    """Add the page, its JSON and its gauges.

    Args:
        app: the service.
        service: what is looked at.
    """
    if service.store is not None:
        service.metrics.watch_drift(drift_gauges(service))

    only = [Depends(require(Role.CLINICIAN))]

    @app.get(ADDRESS, summary="Drift, as a page", response_class=HTMLResponse, dependencies=only)
    def drift_page() -> Response:
        try:
            page = render_drift_html(watch(service.opened()))
        except Exception as error:
            return problem_response(explain(error))
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/api/drift", summary="Drift, as JSON", response_class=JSONResponse, dependencies=only)
    def drift_json(since: Annotated[str | None, Query(max_length=40)] = None) -> Response:
        try:
            report = watch(service.opened(), recent_since=None if since is None else moment_of(since))
            return Response(render_drift_json(report), media_type="application/json")
        except Exception as error:
            return problem_response(explain(error))


def drift_tab() -> None:
    """The page in a tab of the form, loaded when the tab is opened."""
    with gr.Tab("Drift", elem_id="drift-tab"):
        gr.HTML(
            f'<iframe title="Drift" src="{ADDRESS.removeprefix("/")}" loading="lazy"'
            ' style="width: 100%; height: 86vh; border: 1px solid #d1d5db; background: white"></iframe>'
        )


def drift_gauges(service: Service, clock: Callable[[], float] = time.monotonic) -> AskDrift:
    """What the gauges ask: (evidence, alarm or None, whether it outlived its cases) by monitor.

    Args:
        service: what is looked at.
        clock: seconds.
    """
    lock = threading.Lock()
    last: dict[str, tuple[float, bool | None, bool]] = {}
    looked = [float("-inf")]

    def ask() -> Mapping[str, tuple[float, bool | None, bool]]:
        with lock:
            if clock() - looked[0] >= GAUGES_EVERY_S:
                found = _figures(watch(service.opened()))
                last.clear()
                last.update(found)
                looked[0] = clock()
            return dict(last)

    return ask


def _figures(report: DriftReport) -> dict[str, tuple[float, bool | None, bool]]:
    return {
        one.monitor.name: (one.evidence, None if one.state is State.TOO_FEW else one.state is State.ALARM, one.outlived)
        for one in report.monitors
    }


def moment_of(text: str) -> datetime:
    """A date or a time, in this machine's zone where it names none.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InputError("The date cannot be read.", remedy="Give ISO 8601, for instance 2026-03-04.") from None
