"""A pair of detectors in use: what the store, the gate and retraining make of it."""

import json
from pathlib import Path

import pytest

from cds.entrypoints.retrain_commands import _parent
from cds.errors import InputError, ModelStoreError
from cds.learning.candidates import check_parts
from cds.learning.model_kinds import ModelKind, Question
from cds.learning.models import ModelStore
from cds.learning.retraining.run import Kind
from cds.learning.score_cache import cached
from cds.learning.scored import Scored
from imaging.manifest import ACCURATE_WEIGHTS, SHIPPED_WEIGHTS, read_manifest
from tests.support.radiographs import write_weights


def tiny_pair(root: Path) -> Path:
    """Two random detectors, the second one inside the first one's folder."""
    write_weights(root, width=0.25)
    pair = write_weights(root / "accurate", width=0.25, seed=1)
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (root, pair))
    companion = {name: second[name] for name in ("graph", "weights", "sha256")}
    (pair / "manifest.json").write_text(
        json.dumps(first | {"weights": "../detector.safetensors", "companion": companion})
    )
    return pair


def test_the_store_keeps_no_pair(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelStoreError, match="pair of detectors"):
        store.adopt(ModelKind.DETECTOR, tiny_pair(tmp_path / "first"), by="a")
    assert store.state().of(ModelKind.DETECTOR).current is None
    assert not list((tmp_path / "models").rglob("*.safetensors"))


def test_heads_for_its_first_detector_alone_do_not_replace_a_pair() -> None:
    with pytest.raises(InputError, match="detector is not the one in use"):
        check_parts(Question.FRACTURE_TYPE, ACCURATE_WEIGHTS, SHIPPED_WEIGHTS)
    check_parts(Question.DETECTOR, ACCURATE_WEIGHTS, SHIPPED_WEIGHTS)


def test_kept_answers_of_a_pair_depend_on_the_files_around_it(tmp_path: Path) -> None:
    pair, asked = tiny_pair(tmp_path / "first"), list[int]()

    def ask() -> Scored:
        asked.append(1)
        return Scored(model_id="m", answers=(), data_name="d")

    for wanted in (1, 1):
        cached(tmp_path / "cache", ModelKind.DETECTOR, pair, "set", ask)
        assert len(asked) == wanted
    (tmp_path / "first" / "attributes.json").write_text("{}")
    cached(tmp_path / "cache", ModelKind.DETECTOR, pair, "set", ask)
    assert len(asked) == 2


@pytest.mark.parametrize("kind", [Kind.DETECTOR, Kind.FRACTURE_TYPE])
def test_retraining_starts_from_the_first_detector_of_a_pair(kind: Kind, tmp_path: Path) -> None:
    pair = tiny_pair(tmp_path / "first")
    assert _parent(kind, pair) == tmp_path / "first"
    assert read_manifest(pair).digest.startswith(read_manifest(tmp_path / "first").sha256)
