"""The proof on real data, made tiny and on made-up people."""

import json
from pathlib import Path

import pandas as pd

from tests.benchmarks.learning_federated import prove
from tests.support.federation import survey_table


def test_a_tiny_proof(tmp_path: Path) -> None:
    parts = []
    for index, cycle in enumerate(("2005-2006", "2007-2008", "2009-2010")):
        part = survey_table(220, index)
        part["cycle"] = cycle
        part["SDMVSTRA"], part["SDMVPSU"] = part.index % 5, part.index % 2 + 1
        parts.append(part)
    (tmp_path / "data" / "tabular").mkdir(parents=True)
    pd.concat(parts).to_csv(tmp_path / "data" / "tabular" / "nhanes_osteo.csv.gz", index=False)
    sections = prove(tmp_path / "data", tmp_path / "out", budget="tiny")
    assert len(sections) == 3
    assert all(figure.is_file() for section in sections for figure in section.figures)
    content = json.loads((tmp_path / "out" / "federated.json").read_text())
    auc = content["Risk model learnt by several hospitals"]["auc"]
    assert set(auc) == {
        "NHANES 2005-2006",
        "NHANES 2007-2008",
        "NHANES 2009-2010",
        "all data in one place",
        "federated",
    }
    assert auc["federated"]["value"] > 0.7
    attack = content["One malicious hospital"]["auc"]
    assert attack["attack, mean"]["value"] < attack["attack, median"]["value"]
    runs = content["Differential privacy: what a person's protection costs"]["runs"]
    assert [run["epsilon"] is None for run in runs] == [True, False]
