"""Cards and what became of them go into the store; into a file only where there is none and one was named."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from cds.entrypoints.hooks import build_feedback_store, mount_hooks
from cds.errors import explain
from cds.hooks.errors import FeedbackStoreError
from cds.hooks.feedback import CardFeedback, FeedbackStore, IssuedCard, JsonLinesFeedbackStore, NoFeedbackStore
from cds.settings import Settings
from cds.store.feedback import ISSUED
from cds.store.opening import Store, open_store
from tests.support.fakes import FakeParts, RememberingAuditTrail

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=tmp_path, audit_log=None))
    yield opened
    opened.close()


def issued(card: str = CARD) -> IssuedCard:
    return IssuedCard(
        card=card, service="fracture-risk", hook="patient-view", hook_instance=str(uuid4()), kind="fracture-risk",
        indicator="warning", rules=("care_gap",), suggestions=((str(uuid4()), "Order DXA"),), issued=NOW,
    )  # fmt: skip


def told(card: str = CARD) -> CardFeedback:
    return CardFeedback(
        card=card, service="fracture-risk", client="ehr", outcome="overridden", accepted=(), reason_system="urn:x",
        reason_code="declined", comment="not now", outcome_at=NOW, received=NOW,
    )  # fmt: skip


def test_a_card_and_what_became_of_it_are_found_again(store: Store) -> None:
    kept: FeedbackStore = store.hook_feedback
    kept.issued([issued(), issued(str(uuid4()))])
    kept.keep([told()])
    first, second = store.hook_feedback.of_card(CARD)
    assert first["outcome"] == ISSUED and first["rules"] == ["care_gap"] and first["issued"] == NOW.isoformat()
    assert (second["outcome"], second["comment"], second["client"]) == ("overridden", "not now", "ehr")
    kept.issued([])
    assert store.hook_feedback.of_card("unknown") == ()


def test_a_report_is_kept_whole_or_not_at_all(store: Store) -> None:
    with store.database.transaction() as session:
        session.execute(text("CREATE TRIGGER full BEFORE INSERT ON hook_feedback WHEN NEW.card = 'bad'"
                             " BEGIN SELECT RAISE(ABORT, 'disk full'); END"))  # fmt: skip
    with pytest.raises(FeedbackStoreError) as failed:
        store.hook_feedback.keep([told(), told("bad")])
    assert explain(failed.value).http_status == 503 and "disk full" not in str(failed.value)
    assert store.hook_feedback.of_card(CARD) == ()


def test_the_service_writes_into_the_store(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, audit_log=None, hooks_auth="none")
    app = FastAPI()
    chosen = build_feedback_store(settings, store)
    assert chosen is store.hook_feedback
    mount_hooks(app, settings=settings, engines=FakeParts().engines(), audit=RememberingAuditTrail(), feedback=chosen)
    client = TestClient(app, base_url="http://127.0.0.1")
    entry = {"card": CARD, "outcome": "accepted", "outcomeTimestamp": "2026-12-11T00:00:00Z",
             "acceptedSuggestions": [{"id": str(uuid4())}]}  # fmt: skip
    answer = client.post("/cds-services/fracture-risk/feedback", json={"feedback": [entry]})
    assert answer.status_code == 200, answer.text
    (found,) = store.hook_feedback.of_card(CARD)
    assert found["outcome"] == "accepted" and len(found["accepted"]) == 1
    assert not settings.hooks_feedback_path.exists()


def test_without_a_store_a_named_file_is_used_and_otherwise_nothing(tmp_path: Path) -> None:
    off = Settings(data_dir=tmp_path, store="off")
    assert isinstance(build_feedback_store(off), NoFeedbackStore)
    named = Settings(data_dir=tmp_path, store="off", hooks_feedback_log=tmp_path / "cards.jsonl")
    assert isinstance(build_feedback_store(named), JsonLinesFeedbackStore)


def test_retention_reaches_what_was_said_about_cards(store: Store) -> None:
    store.hook_feedback.keep([told()])
    assert store.privacy.apply_retention(days=30, actor="cli:lead") is None
    proof = store.privacy.apply_retention(days=30, actor="cli:lead", now=datetime.now(UTC) + timedelta(days=31))
    assert proof is not None and proof.counts["hook_feedback"] == 1
    assert store.hook_feedback.of_card(CARD) == ()
