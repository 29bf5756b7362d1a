"""What is refused before anything is scored: a candidate that brings less than the model in use."""

import hashlib
import json
from pathlib import Path

import pytest

from cds.errors import InputError
from cds.learning.model_kinds import Question
from cds.learning.promotion import _whole
from imaging.manifest import SHIPPED_WEIGHTS


def detector_folder(folder: Path, weights: bytes, parts: dict[str, str]) -> Path:
    folder.mkdir()
    manifest = json.loads((SHIPPED_WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"weights": "w.safetensors", "sha256": hashlib.sha256(weights).hexdigest()}
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
        _whole(Question.DETECTOR, current, candidate)


def test_new_heads_on_the_same_detector_are_a_question_of_their_own(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", b"a", PARTS | {"attributes.json": '{"new": 1}'})
    with pytest.raises(InputError, match="only the heads") as refused:
        _whole(Question.DETECTOR, current, candidate)
    assert "--kind fracture-type" in refused.value.remedy
    _whole(Question.FRACTURE_TYPE, current, candidate)


@pytest.mark.parametrize(("weights", "part"), [(b"b", "detector"), (b"a", "scope model")])
def test_a_set_of_types_judges_the_heads_alone(tmp_path: Path, weights: bytes, part: str) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    candidate = detector_folder(tmp_path / "candidate", weights, PARTS | {"scope.json": '{"new": 1}'})
    with pytest.raises(InputError, match=f"candidate's {part} is not the one in use"):
        _whole(Question.FRACTURE_TYPE, current, candidate)


def test_a_whole_candidate_passes(tmp_path: Path) -> None:
    current = detector_folder(tmp_path / "current", b"a", PARTS)
    _whole(Question.DETECTOR, current, detector_folder(tmp_path / "candidate", b"b", PARTS))
    _whole(Question.DETECTOR, current, detector_folder(tmp_path / "relabelled", b"a", PARTS))
    _whole(Question.RISK, None, tmp_path)
