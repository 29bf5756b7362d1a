"""Retrain, promote, answer under the new name, roll back: for every kind beside the detector, small and real.

The engines are those that a service holds for its whole life; the commands run beside them.
"""

import json
import math
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cds.bootstrap import build_engines
from cds.entrypoints.cli import app
from cds.errors import ExitCode
from cds.learning.model_kinds import ModelKind, identify
from cds.learning.retraining.risk import retrain_risk
from cds.pipeline import Engines
from cds.settings import Settings
from fusion.context import ClinicalContext
from fusion.sites import FractureSite
from tabular.healing.outcomes import REQUIRED
from tabular.model import DEFAULT_DIRECTORY
from tests.support import cases, hands
from tests.support.retraining import sign, write_table
from tests.support.shared import requires_shared, shared_dir

FEW = "fewest_groups: 5\nfewest_each: 10\n"


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """What a service holds; the commands find the same data folder in the environment."""
    for name in [one for one in os.environ if one.startswith("FRACTURE_CDS_") and one != "FRACTURE_CDS_SHARED"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
    monkeypatch.setenv("FRACTURE_CDS_RUNTIME", "torch")
    monkeypatch.setattr("imaging.bone_age.engine.REFUSE_BELOW", 0.0)  # a drawn hand is like no hand
    return build_engines(Settings(data_dir=tmp_path / "data", audit_log=None, runtime="torch"))


def cds(*words: str) -> Result:
    """A command, as an administrator types it."""
    return CliRunner().invoke(app, ["learn", *words])


def promote(candidate: Path, kind: str, locked: Path, margins: Path, *further: str) -> Result:
    """The gate with margins for a few items."""
    margins.write_text(FEW + margins.read_text(encoding="utf-8") if margins.is_file() else FEW, encoding="utf-8")
    common = ("--kind", kind, "--locked", str(locked), "--margins", str(margins), "--rounds", "200", "--by", "tester")
    return cds("promote", str(candidate), *common, *further)


def rolled_back(kind: str) -> Result:
    """One step back."""
    return cds("rollback", "--kind", kind, "--by", "tester", "--reason", "a test")


# --- healing


def outcomes(count: int, seed: int) -> list[dict[str, Any]]:
    """Tibial shafts of a site that heals half as fast again as published."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        weeks = math.exp(source.gauss(math.log(16) + 0.5, 0.3))
        watched = source.uniform(15, 90)
        row = dict.fromkeys(REQUIRED, "")
        row |= {"site": "tibial_shaft", "pattern": "spiral", "age": source.randint(18, 85), "sex": "female"}
        row |= {"smoking": int(source.random() < 0.3), "weeks_observed": round(min(weeks, watched), 2)}
        rows.append({**row, "united": int(weeks <= watched)})
    return rows


def export(folder: Path, rows: Sequence[Mapping[str, Any]], first: int) -> Path:
    """A feedback export with outcomes at follow-up, each of a case of its own."""
    folder.mkdir()
    write_table(folder / "healing_outcomes.csv", REQUIRED, rows)
    united = [one["united"] == 1 for one in rows]
    names = [f"c{first + n}" for n in range(len(rows))]
    pd.DataFrame({"case": names, "outcome_united": united}).to_parquet(folder / "rows.parquet")
    return sign(folder)


def healing_named(engines: Engines) -> str | None:
    """The model of healing times that the next case names."""
    told = engines.fusion.assess(
        findings=None,
        patient=None,
        risk=None,
        context=ClinicalContext(site=FractureSite.TIBIAL_SHAFT),
        as_of=cases.CREATED,
    )
    assert told.healing is not None
    return None if told.healing.learned is None else told.healing.learned.model_id


def test_healing_times(engines: Engines, tmp_path: Path) -> None:
    assert healing_named(engines) is None, "the published figures stand alone"
    feedback = export(tmp_path / "round", outcomes(140, 1), 0)
    out = tmp_path / "candidate"
    done = cds("retrain", "--kind", "healing", "--feedback", str(feedback), "--out", str(out))
    assert done.exit_code == 0, done.output
    model_id = identify(ModelKind.HEALING, out)

    seen = export(tmp_path / "seen", outcomes(60, 2), 100)
    refused = promote(out, "healing", seen, tmp_path / "m.yaml")
    assert refused.exit_code == ExitCode.REFUSED
    assert "40 items of the locked set are among" in refused.stdout, "by the pseudonyms of their cases"
    assert healing_named(engines) is None

    locked = export(tmp_path / "locked", outcomes(90, 3), 1000)
    done = promote(out, "healing", locked, tmp_path / "m.yaml")
    assert done.exit_code == 0, done.output
    assert "mean log score" in done.stdout and "share of truths inside the interval" in done.stdout
    assert healing_named(engines) == model_id
    assert "case:" not in (out / "provenance.json").read_text(encoding="utf-8")

    done = rolled_back("healing")
    assert done.exit_code == 0 and "healing: none" in done.stdout
    assert healing_named(engines) is None


# --- bone age


def bone_age_named(engines: Engines) -> str:
    """The model of skeletal age that the next hand names."""
    assert engines.bone_age is not None
    hand = hands.picture(120, 7).astype("float32") / 255
    return engines.bone_age.estimate(hand, female=True).model_id


def test_bone_age_in_use_and_back(engines: Engines, tmp_path: Path) -> None:
    from imaging.bone_age.manifest import SHIPPED_BONE_AGE

    candidate = tmp_path / "candidate"
    shutil.copytree(SHIPPED_BONE_AGE, candidate)
    document = json.loads((candidate / "manifest.json").read_text(encoding="utf-8"))
    (candidate / "manifest.json").write_text(json.dumps({**document, "version": "9.9.9"}), encoding="utf-8")
    before = bone_age_named(engines)
    done = promote(candidate, "bone-age", hands.folder(tmp_path / "locked", 24, seed=9), tmp_path / "m.yaml")
    assert done.exit_code == 0, done.output
    assert bone_age_named(engines) == identify(ModelKind.BONE_AGE, candidate) != before
    assert rolled_back("bone_age").exit_code == 0, "either spelling is understood"
    assert bone_age_named(engines) == before


# --- risk


@requires_shared
def test_risk(engines: Engines, tmp_path: Path) -> None:
    shared = shared_dir()
    assert shared is not None
    survey = pd.read_csv(shared / "data" / "tabular" / "nhanes_osteo.csv.gz", low_memory=False)
    people = survey[survey["frax_major_pct"].notna()]
    locked = tmp_path / "locked.csv"
    told = survey[survey["cycle"] == "2013-2014"]
    told.to_csv(locked, index=False)
    new = tmp_path / "new"
    new.mkdir()
    people[:500].to_csv(new / "survey.csv", index=False)
    old = tmp_path / "old.csv"
    people[500:520].to_csv(old, index=False)

    def train(survey: Path, out: Path, *, seed: int, progress: Any) -> None:
        """Stands for minutes of boosting: the shipped trees under another version."""
        shutil.copytree(DEFAULT_DIRECTORY, out, dirs_exist_ok=True)
        document = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        (out / "manifest.json").write_text(json.dumps({**document, "version": "9.9.9"}), encoding="utf-8")

    out = tmp_path / "candidate"
    retrain_risk([new], old, out, train=train, report=lambda _: None)
    before = engines.risk.estimate(cases.features()).model_id
    done = promote(out, "risk", locked, tmp_path / "m.yaml")
    assert done.exit_code == 0, done.output
    assert engines.risk.estimate(cases.features()).model_id == identify(ModelKind.RISK, out) != before
    assert rolled_back("risk").exit_code == 0
    assert engines.risk.estimate(cases.features()).model_id == before


def test_a_moved_mean_is_no_model(engines: Engines, tmp_path: Path) -> None:
    from cds.learning.provenance import Provenance

    candidate = tmp_path / "candidate"
    candidate.mkdir()
    moved = Provenance(kind="risk", parent=None, why="", method="", details={"course": "anchored"})
    moved.write(candidate)
    done = promote(candidate, "risk", tmp_path, tmp_path / "m.yaml")
    assert done.exit_code != 0
    assert "FRACTURE_CDS_RISK_ANCHOR" in done.output
