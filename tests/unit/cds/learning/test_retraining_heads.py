"""What a retrained detector's heads are fitted on, and what is asked for before its hours begin."""

import json
import shutil
from pathlib import Path

import pytest

from cds.learning.retraining import heads
from cds.learning.retraining.cases import read_export
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.heads import HeadsPlan, check_scope, fit_heads, plan_heads
from imaging.manifest import SHIPPED_WEIGHTS
from tests.support.retraining import write_feedback, write_parent


def with_heads(folder: Path) -> Path:
    """A folder that names heads for types and limbs; nothing here loads them."""
    folder.mkdir()
    shutil.copyfile(SHIPPED_WEIGHTS / "attributes.json", folder / "attributes.json")
    (folder / "scope.json").write_text("{}")
    return folder


def collections(root: Path) -> Path:
    """The least that the shipped heads need."""
    for name in ("fracture_types/images.csv", "fracatlas/dataset.csv"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("image,type\n")
    return root


def test_the_data_are_found_in_the_old_data_and_beside_them(tmp_path: Path) -> None:
    parent, data = with_heads(tmp_path / "model"), collections(tmp_path / "data")
    for replay in (data, data / "fracatlas"):
        assert plan_heads(parent, replay, named=None) == HeadsPlan(data=data, scope=True)


def test_the_last_candidate_remembers_where_they_were(tmp_path: Path) -> None:
    parent, data = with_heads(tmp_path / "model"), collections(tmp_path / "data")
    work = tmp_path / "candidate" / ".work"
    work.mkdir(parents=True)
    (work / heads.PLACE_NAME).write_text(json.dumps({"data": str(data)}))
    assert plan_heads(parent, work.parent, named=None).data == data


@pytest.mark.parametrize("named", [False, True])
def test_what_is_lacking_is_named_before_anything_is_trained(tmp_path: Path, named: bool) -> None:
    parent, data = with_heads(tmp_path / "model"), collections(tmp_path / "data")
    (data / "fracture_types" / "images.csv").unlink()
    with pytest.raises(RetrainingError, match=r"lacks fracture_types/images\.csv") as refused:
        plan_heads(parent, data / "fracatlas", named=data if named else None)
    assert "--heads-data FOLDER" in refused.value.remedy
    assert refused.value.code == "cds.learning.retraining.heads_data"
    left = plan_heads(parent, data, named=None, wanted=False)
    assert left.data is None and not left.scope and "the gate will refuse" in left.note


def test_a_model_without_heads_needs_none(tmp_path: Path) -> None:
    plan = plan_heads(write_parent(tmp_path / "model"), tmp_path, named=None)
    assert plan == HeadsPlan(data=None, scope=False, note=heads.NEITHER)


def test_a_scope_model_needs_radiographs(tmp_path: Path) -> None:
    plan = HeadsPlan(data=None, scope=True)
    check_scope(plan, heads.LEAST_IN_SCOPE)
    with pytest.raises(RetrainingError, match="a scope model needs 40"):
        check_scope(plan, heads.LEAST_IN_SCOPE - 1)
    check_scope(HeadsPlan(data=collections(tmp_path / "data"), scope=True), 0)


def test_heads_and_scope_model_are_fitted_on_the_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imaging.training import attributes, scope

    asked: dict[str, object] = {}

    def fit(data: Path, out: Path, *, model: Path, **_: object) -> None:
        asked["types"] = len((data / "fracture_types" / "images.csv").read_text().splitlines()) - 1
        asked["model"] = model

    def fit_scope(out: Path, data: Path, *, others: list[Path], report: object) -> None:
        asked["limbs"], asked["others"] = data, others

    monkeypatch.setattr(attributes, "run", fit)
    monkeypatch.setattr(scope, "fit", fit_scope)
    old = tmp_path / "data"
    write_feedback(old / "fracture_types", fractured=3, healthy=0, seed=5)
    (old / "hip").mkdir()
    round_one = read_export(write_feedback(tmp_path / "round", fractured=4, healthy=4), report=lambda _: None)
    out = tmp_path / "candidate"
    work, mixed = out / ".work", out / ".work" / "training-data"
    mixed.mkdir(parents=True)
    plan = HeadsPlan(data=old, scope=True)
    shutil.rmtree(old / "hip")
    notes, digests, sources = fit_heads(plan, out, work, mixed, [round_one], report=lambda _: None)
    assert asked == {"types": 7, "model": out, "limbs": mixed, "others": []}
    assert len(digests) == 14, "file and pixels of each image whose type was learned"
    assert [(one.name, one.n) for one in sources] == [("types of the heads", 3)]
    assert any("from 3 old types and 4 new" in one for one in notes)
    assert json.loads((work / heads.PLACE_NAME).read_text()) == {"data": str(old)}
    (old / "fracatlas").mkdir()
    (old / "hip").mkdir()
    fit_heads(HeadsPlan(data=None, scope=True), out, work, mixed, [], report=lambda _: None)
    assert asked["limbs"] == mixed
