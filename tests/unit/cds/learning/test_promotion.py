"""What is refused before anything is scored: a candidate that brings less than the model in use."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cds.errors import InputError
from cds.learning.candidates import check_parts, known_to_current
from cds.learning.model_kinds import Question
from cds.learning.provenance import Provenance
from cds.learning.scored import Answer
from imaging.attributes.manifest import read_attribute_manifest
from imaging.manifest import ACCURATE_WEIGHTS, CLASSIFIER_KEY, MANIFEST_NAME, SHIPPED_WEIGHTS


def detector_folder(folder: Path, weights: bytes, parts: dict[str, str]) -> Path:
    folder.mkdir()
    manifest = json.loads((SHIPPED_WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"weights": "w.safetensors", "sha256": hashlib.sha256(weights).hexdigest()}
    manifest.pop(CLASSIFIER_KEY, None)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "w.safetensors").write_bytes(weights)
    for name, text in parts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


PARTS = {"attributes.json": "{}", "scope.json": "{}"}


def test_a_candidate_without_the_scope_model_is_refused(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", b"b", {"attributes.json": "{}"})
    with pytest.raises(InputError, match=r"lacks scope\.json"):
        check_parts(Question.DETECTOR, current, candidate)


def test_new_heads_on_the_same_detector_are_a_question_of_their_own(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", b"a", PARTS | {"attributes.json": '{"new": 1}'})
    with pytest.raises(InputError, match="only the heads") as refused:
        check_parts(Question.DETECTOR, current, candidate)
    assert "--kind fracture-type" in refused.value.remedy
    check_parts(Question.FRACTURE_TYPE, current, candidate)


@pytest.mark.parametrize("current", [None, SHIPPED_WEIGHTS])
def test_a_pair_is_no_candidate(current: Path | None) -> None:
    with pytest.raises(InputError, match="pair of detectors"):
        check_parts(Question.DETECTOR, current, ACCURATE_WEIGHTS)


@pytest.mark.parametrize(("weights", "part"), [(b"b", "detector"), (b"a", "scope model")])
def test_a_set_of_types_judges_the_heads_alone(tmp_path: Path, weights: bytes, part: str) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", weights, PARTS | {"scope.json": '{"new": 1}'})
    with pytest.raises(InputError, match=f"candidate's {part} is not the one in use"):
        check_parts(Question.FRACTURE_TYPE, current, candidate)


def test_another_image_classifier_is_another_detector(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", b"a", PARTS | {"attributes.json": '{"new": 1}'})
    document = json.loads((candidate / MANIFEST_NAME).read_text(encoding="utf-8"))
    document[CLASSIFIER_KEY] = {"weights": "c.safetensors", "sha256": "0" * 64, "weight": 1.0}
    (candidate / MANIFEST_NAME).write_text(json.dumps(document), encoding="utf-8")
    check_parts(Question.DETECTOR, current, candidate)
    with pytest.raises(InputError, match="candidate's detector is not the one in use"):
        check_parts(Question.FRACTURE_TYPE, current, candidate)


def test_a_whole_candidate_passes(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    check_parts(Question.DETECTOR, current, detector_folder(tmp_path / "candidate", b"b", PARTS))
    check_parts(Question.DETECTOR, current, detector_folder(tmp_path / "relabelled", b"a", PARTS))
    check_parts(Question.RISK, None, tmp_path)


def heads_folder(folder: Path, weights: bytes, heads: tuple[str, ...]) -> Path:
    detector_folder(folder, weights, {"attributes.json": '{"weights": "heads.safetensors"}', "scope.json": "{}"})
    save_file({f"{name}.bias": np.zeros(1, np.float32) for name in heads}, folder / "heads.safetensors")
    return folder


@pytest.mark.parametrize("question", [Question.DETECTOR, Question.FRACTURE_TYPE])
def test_a_candidate_that_lost_a_head_is_refused(tmp_path: Path, question: Question) -> None:
    weights = b"b" if question is Question.DETECTOR else b"a"
    current = heads_folder(tmp_path / "current", b"a", ("pattern", "hardware", "view", "fracture"))
    candidate = heads_folder(tmp_path / "candidate", weights, ("pattern", "displaced"))
    with pytest.raises(InputError, match="no head any more for: view, hardware;"):
        check_parts(question, current, candidate)
    check_parts(question, current, heads_folder(tmp_path / "more", weights, ("pattern", "hardware", "view", "limb")))


def test_a_locked_set_that_the_model_in_use_learned_from_is_told(tmp_path: Path) -> None:
    answers = [Answer(id=str(n), group=str(n), digests=(f"{n:064x}",)) for n in range(3)]
    assert known_to_current(Question.RISK, None, answers) == ()
    assert known_to_current(Question.DETECTOR, tmp_path, answers) == ()
    learned = frozenset({f"{1:064x}", f"{2:064x}"})
    Provenance(kind="detector", parent=None, why="", method="", digests=learned).write(tmp_path)
    (told,) = known_to_current(Question.DETECTOR, tmp_path, answers)
    assert "learned from 2 of the 3 items" in told


def test_the_shipped_heads_know_their_pictures() -> None:
    heads = read_attribute_manifest()
    assert heads is not None
    known = min(heads.training_images)
    answers = [Answer(id=one, group=one, digests=(one, "pixels")) for one in (known, "new")]
    (told,) = known_to_current(Question.FRACTURE_TYPE, SHIPPED_WEIGHTS, answers)
    assert "learned from 1 of the 2 items" in told
