"""The one page of the proofs: a failure is shown and stops nothing; the page needs no other file."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks.learning import Prove, document, main, render, run, write
from tests.benchmarks.learning_report import Section, Table

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def load(name: str) -> Prove:
    def works(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
        picture = out / "a-curve.png"
        picture.write_bytes(PIXEL)
        table = Table(columns=("what",), rows=(("<b>1 & 2</b>",),))
        return [Section(heading=name, paragraphs=(budget,), tables=(table,), figures=(picture,), data={"n": 3})]

    def fails(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
        raise ValueError("no data <here>")

    return fails if name == "federated" else works


def test_a_failing_proof_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    report = run(("federated", "drift"), tmp_path, tmp_path / "out", budget="small", load=load)
    write(report, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Failed." in page
    assert "no data &lt;here&gt;" in page
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert "http://" not in page
    assert str(tmp_path) not in page
    stored = json.loads((tmp_path / "out" / "learning.json").read_text())
    assert [one["failure"] is None for one in stored["proofs"]] == [False, True]
    assert stored["proofs"][1]["sections"][0]["data"] == {"n": 3}
    assert document(report)["budget"] == "small"
    assert render(report) == page


def test_unknown_proofs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--out", str(tmp_path), "--only", "alchemy"])
