"""The audit trail: one line of JSON per assessment, private, appended, loud when it cannot be kept."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds.audit import AUDIT_SCHEMA, AuditRecord, JsonLinesAuditTrail, sha256_hex
from cds.errors import AuditError


def entry(case_id: str = "a") -> AuditRecord:
    return AuditRecord(
        case_id=case_id,
        started=datetime(2026, 3, 4, tzinfo=UTC),
        duration_ms=5,
        actor="cli:somebody",
        outcome="ok",
        engine_version="0.1.0",
        model_versions=("m@1",),
        image_sha256=None,
        record_sha256=sha256_hex(b"record"),
    )


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    for case_id in ("a", "b"):
        JsonLinesAuditTrail(path).record(entry(case_id))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["case_id"] for line in lines] == ["a", "b"]
    assert lines[0]["schema"] == AUDIT_SCHEMA
    assert lines[0]["started"] == "2026-03-04T00:00:00+00:00"


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    JsonLinesAuditTrail(path).record(entry())
    assert path.stat().st_mode & 0o077 == 0


def test_a_trail_that_cannot_be_written_is_loud(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError) as caught:
        JsonLinesAuditTrail(tmp_path / "file" / "audit.jsonl").record(entry())
    assert "FRACTURE_CDS_AUDIT_LOG" in caught.value.remedy
