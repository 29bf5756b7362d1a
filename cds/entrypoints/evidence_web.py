"""The evidence page in the web service, at ``/evidence``, and as a tab of the form.

It holds no patient data, so that it needs no access token: whoever doubts a report can read what it rests on.
"""

from typing import Annotated

import gradio as gr
from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from cds.entrypoints.problems import problem_response
from cds.errors import explain
from cds.presenters.evidence_page import render_evidence_html, render_evidence_json
from cds.presenters.evidence_view import EvidenceView

ADDRESS = "/evidence"
MAX_WORDS = 200
"""Longest filter, in characters."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
"""Content Security Policy of the page: no script, no connection; its search asks this address only."""


def mount_evidence(app: FastAPI) -> None:
    """Add the page and its JSON."""

    @app.get(ADDRESS, summary="Rules and evidence, as a page", response_class=HTMLResponse)
    def evidence_page(q: Annotated[str, Query(max_length=MAX_WORDS)] = "") -> Response:
        try:
            page = render_evidence_html(EvidenceView.load(q), search=True)
        except Exception as error:
            return problem_response(explain(error))
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/api/evidence", summary="Rules and evidence, as JSON", response_class=JSONResponse)
    def evidence_json(q: Annotated[str, Query(max_length=MAX_WORDS)] = "") -> Response:
        try:
            return Response(render_evidence_json(EvidenceView.load(q)), media_type="application/json")
        except Exception as error:
            return problem_response(explain(error))


def evidence_tab() -> None:
    """The page in a tab of the form; it carries its own search, and is loaded when the tab is opened."""
    with gr.Tab("Evidence and rules", elem_id="evidence-tab"):
        gr.HTML(
            f'<iframe title="Evidence and rules" src="{ADDRESS.removeprefix("/")}" loading="lazy"'
            ' style="width: 100%; height: 86vh; border: 1px solid #d1d5db; background: white"></iframe>'
        )
