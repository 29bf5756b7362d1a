"""A whole retraining of the detector on synthetic shafts, and what the gate makes of a poisoned one."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cds.learning.digests import file_digests
from cds.learning.gate import Answer, Scored, compare, read_margins
from cds.learning.model_kinds import ModelKind, identify
from cds.learning.models import ModelStore
from cds.learning.provenance import PROVENANCE_NAME, Provenance, read_provenance
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.detector import WORK_NAME, next_version, retrain_detector
from cds.learning.retraining.errors import RetrainingError
from imaging.engine import FractureEngine
from imaging.manifest import ACCURATE_WEIGHTS, MANIFEST_NAME, SHIPPED_WEIGHTS, read_manifest
from tests.support.radiographs import write_fracatlas
from tests.support.retraining import TINY, sign, write_feedback, write_parent

pytestmark = pytest.mark.usefixtures("few_resamples")

CONFIG = RetrainConfig(replay_share=0.5, held_out_share=0.25, training=TINY)


def silent(_: str) -> None:
    """Report nothing."""


class Retrained:
    """One retraining of four windows, its inputs kept for questions."""

    def __init__(self, root: Path) -> None:
        self.parent = write_parent(root / "parent")
        inherited = Provenance(kind="detector", parent=None, why="", method="", digests=frozenset({"a" * 64}))
        inherited.write(self.parent)
        self.old = write_fracatlas(root / "old", fractured=9, healthy=9)
        self.feedback = write_feedback(root / "round", fractured=4, healthy=6)
        (self.feedback / "images" / "round009.png").write_bytes(b"no image")
        sign(self.feedback)
        self.out = root / "candidate"
        self.lines: list[str] = []
        self.again()

    def again(self, **changes: Any) -> Path:
        """The same call, or a changed one."""
        given = {"parent": self.parent, "config": CONFIG, "report": self.lines.append, **changes}
        feedback, replay = given.pop("feedback", [self.feedback]), given.pop("replay", self.old)
        return retrain_detector(feedback, replay, given.pop("out", self.out), **given)

    @property
    def provenance(self) -> Provenance:
        """Of the candidate."""
        found = read_provenance(self.out)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    torch.set_num_threads(1)
    return Retrained(tmp_path_factory.mktemp("retraining"))


def test_the_candidate_is_complete_and_loads(retrained: Retrained) -> None:
    manifest, parent = read_manifest(retrained.out), read_manifest(retrained.parent)
    assert manifest.sha256 != parent.sha256
    assert (manifest.name, manifest.version) == (parent.name, "0.0.2")
    assert manifest.document["training"]["start"]["sha256"] == parent.sha256
    assert manifest.document["development"]["n"] == sum(
        one["held_out"] for one in retrained.provenance.details["counts"].values()
    )
    assert FractureEngine.load(retrained.out, runtime="torch").model_id == manifest.model_id


def test_the_candidate_keeps_the_image_classifier(retrained: Retrained) -> None:
    manifest, parent = read_manifest(retrained.out), read_manifest(retrained.parent)
    assert manifest.image_classifier is not None and parent.image_classifier is not None
    assert manifest.image_classifier.sha256 == parent.image_classifier.sha256
    assert manifest.image_classifier.weights.parent == retrained.out
    identify(ModelKind.DETECTOR, retrained.out)


def test_provenance_names_parent_sources_and_every_image(retrained: Retrained) -> None:
    found = retrained.provenance
    assert found.parent == read_manifest(retrained.parent).model_id
    counts = found.details["counts"]
    assert counts["round"]["left_out"] == 1
    assert counts["round"]["learnt"] + counts["round"]["held_out"] == 9
    assert counts["round"]["held_out"] > 0
    assert counts["replay"]["learnt"] + counts["replay"]["held_out"] == 14, "the parent's own split: 4 were never its"
    new = [path for path in (retrained.feedback / "images").glob("*.png") if path.name != "round009.png"]
    for path in new:
        assert set(file_digests(path)) <= found.digests
    assert "a" * 64 in found.digests, "what the parent saw the candidate has seen"
    assert {one["role"] for one in found.data} == {"new", "replay"}
    assert all(one["sha256"] for one in found.data)
    assert found.details["seed"] == CONFIG.seed
    assert found.details["config"]["replay_share"] == 0.5
    assert any("round009.png" in line for line in found.details["problems"])
    assert found.details["screen"]["n"] == 9
    assert len(found.details["noise_of_rounds"]) == 1
    text = (retrained.out / PROVENANCE_NAME).read_text()
    assert str(retrained.out.parent) not in text, "no folder of this machine"


def test_bad_rows_are_told(retrained: Retrained) -> None:
    assert any("round009.png" in line for line in retrained.lines)
    assert any("neither attribute heads nor a scope model" in line for line in retrained.lines)


def test_a_finished_candidate_is_returned_as_it_is(retrained: Retrained) -> None:
    before = (retrained.out / PROVENANCE_NAME).stat().st_mtime_ns
    assert retrained.again(resume=True) == retrained.out
    assert (retrained.out / PROVENANCE_NAME).stat().st_mtime_ns == before
    assert retrained.lines[-1] == "the candidate is finished already"


def test_an_interrupted_retraining_goes_on(retrained: Retrained, tmp_path: Path) -> None:
    broken = shutil.copytree(retrained.out, tmp_path / "broken")
    (broken / PROVENANCE_NAME).unlink()
    retrained.again(out=broken, resume=True)
    assert retrained.lines[-2:] != ["the candidate is finished already"]
    assert "weights are finished already" in retrained.lines
    again, first = read_provenance(broken), retrained.provenance
    assert again is not None
    assert (again.digests, again.details) == (first.digests, first.details)


def test_another_retraining_in_the_same_folder_is_refused(retrained: Retrained) -> None:
    with pytest.raises(RetrainingError, match="is not empty"):
        retrained.again()
    with pytest.raises(RetrainingError, match="begun with other feedback"):
        retrained.again(resume=True, config=RetrainConfig(replay_share=0.4, held_out_share=0.25, training=TINY))


def test_the_store_takes_the_model_and_leaves_the_radiographs(retrained: Retrained, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    model_id = store.adopt("detector", retrained.out, by="test")
    kept = store.path("detector", model_id)
    assert (kept / PROVENANCE_NAME).is_file() and (kept / MANIFEST_NAME).is_file()
    assert not (kept / WORK_NAME).exists()
    assert not [path for path in kept.rglob("*") if path.suffix in (".png", ".jpg", ".csv", ".ckpt")]


def test_the_next_round_replays_the_candidate_of_the_last(retrained: Retrained, tmp_path: Path) -> None:
    further = write_feedback(tmp_path / "next", fractured=3, healthy=3, seed=300, prefix="n")
    out = retrained.again(feedback=[further], replay=retrained.out, parent=retrained.out, out=tmp_path / "second")
    found = read_provenance(out)
    assert found is not None
    counts, before = found.details["counts"], retrained.provenance.details["counts"]
    assert counts["replay"]["learnt"] == before["replay"]["learnt"] + before["round"]["learnt"]
    assert counts["replay"]["held_out"] == before["replay"]["held_out"] + before["round"]["held_out"]
    assert retrained.provenance.digests <= found.digests
    assert len(found.details["noise_of_rounds"]) == 2
    assert read_manifest(out).version == "0.0.3"


def test_settings_that_are_not_free_or_unknown_are_refused(retrained: Retrained, tmp_path: Path) -> None:
    with pytest.raises(RetrainingError, match="start_from"):
        retrained.again(config=RetrainConfig(training={"start_from": "x"}), out=tmp_path / "a")
    with pytest.raises(RetrainingError, match="unknown settings of a training"):
        retrained.again(config=RetrainConfig(training={"epoch": 3}), out=tmp_path / "b")
    settings = tmp_path / "settings.yaml"
    settings.write_text("replay_share: 1.5\n")
    with pytest.raises(RetrainingError, match="replay_share"):
        RetrainConfig.read(settings)
    settings.write_text("replay: 0.5\n")
    with pytest.raises(RetrainingError, match=r"unknown settings: \['replay'\]"):
        RetrainConfig.read(settings)
    settings.write_text("replay_share: 0.7\ntraining: {epochs: 2}\n")
    assert RetrainConfig.read(settings) == RetrainConfig(replay_share=0.7, training={"epochs": 2})


@pytest.mark.parametrize("shipped", [SHIPPED_WEIGHTS, ACCURATE_WEIGHTS])
def test_a_retraining_learns_from_the_mixed_data_alone(shipped: Path, tmp_path: Path) -> None:
    """Whatever the parent learned from beside its own data is not asked for again."""
    training = read_manifest(shipped).document["training"]
    settings = RetrainConfig().fine_tuning(
        training["config"] | {"extra_data": ["web"], "self_labelled": ["web"], "teacher": "runs/pair"},
        start_from=shipped,
        split_list=tmp_path / "split.csv",
    )
    assert settings.extra_data == settings.self_labelled == () and settings.teacher is None
    assert settings.hard_negatives is False


def test_versions_count_up() -> None:
    assert [next_version(one) for one in ("0.1.9", "2", "1.0-beta")] == ["0.1.10", "3", "1.0-beta.1"]


def scored(name: str, *, separation: float, seed: int, digests: Sequence[str] = ()) -> Scored:
    """Scores of a detector as good as `separation`, on 300 radiographs of 100 limbs."""
    rng = np.random.default_rng(seed)
    same = np.random.default_rng(0).normal(0, 1, 300)
    answers = []
    for number in range(300):
        positive = number % 4 == 0
        raw = (separation if positive else 0.0) + 0.9 * same[number] + 0.2 * rng.normal()
        score = float(1 / (1 + np.exp(-raw)))
        held = tuple(digests[:1]) if number == 0 else ()
        answers.append(Answer(id=str(number), group=f"limb{number // 3}", positive=positive, score=score, digests=held))
    return Scored(model_id=name, answers=tuple(answers))


def test_the_gate_lets_an_honest_round_pass_and_refuses_a_poisoned_one() -> None:
    margins = read_margins("detector")
    current = scored("current", separation=1.6, seed=1)
    honest = compare(current, scored("honest", separation=1.8, seed=2), margins, rounds=200)
    assert honest.promoted, honest.reasons
    poisoned = compare(current, scored("poisoned", separation=-0.5, seed=3), margins, rounds=200)
    assert not poisoned.promoted
    assert any("area under the ROC curve falls" in reason for reason in poisoned.reasons)


def test_the_gate_refuses_a_candidate_that_learnt_from_the_locked_set(retrained: Retrained) -> None:
    provenance = retrained.provenance
    seen = next(iter(file_digests(next((retrained.feedback / "images").glob("round000.png")))))
    current = scored("current", separation=1.6, seed=1, digests=[seen])
    candidate = scored("candidate", separation=1.8, seed=2, digests=[seen])
    verdict = compare(current, candidate, read_margins("detector"), provenance=provenance, rounds=100)
    assert verdict.shared_items == 1
    assert not verdict.promoted


def test_the_written_settings_can_be_read_by_a_training(retrained: Retrained) -> None:
    document = json.loads((retrained.out / MANIFEST_NAME).read_text())
    config = document["training"]["config"]
    assert config["split"] == "train" and config["development_split"] == "val"
    assert config["crop_size"] == TINY["crop_size"]
    assert config["image_size"] == 64, "what the parent was trained with"
