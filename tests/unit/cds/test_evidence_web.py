"""The evidence page as the web service serves it."""

import gradio as gr
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cds.entrypoints.evidence_web import MAX_WORDS, POLICY, evidence_tab, mount_evidence


def client() -> TestClient:
    app = FastAPI()
    mount_evidence(app)
    return TestClient(app)


def test_the_page_is_served_with_a_search_and_a_policy_that_loads_nothing() -> None:
    answer = client().get("/evidence")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == POLICY
    assert 'name="q"' in answer.text and 'id="rule-severity.grade"' in answer.text


def test_the_search_filters_page_and_json() -> None:
    page = client().get("/evidence", params={"q": "sarcoidosis"}).text
    assert 'id="rule-safety.sarcoidosis"' in page and 'id="rule-severity.grade"' not in page
    document = client().get("/api/evidence", params={"q": "sarcoidosis"}).json()
    assert "safety.sarcoidosis" in {one["id"] for one in document["rules"]}


def test_a_search_without_end_is_refused() -> None:
    assert client().get("/evidence", params={"q": "x" * (MAX_WORDS + 1)}).status_code == 422


def test_the_form_has_a_tab_with_the_page() -> None:
    with gr.Blocks() as form:
        evidence_tab()
    parts = [one for one in form.blocks.values() if isinstance(one, gr.HTML)]
    assert len(parts) == 1 and 'src="evidence"' in str(parts[0].value)
