"""Two released detectors side by side: made, loaded, asked, measured; and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from cds.bootstrap import load_image_engine, load_settings
from cds.errors import ModelStoreError
from cds.learning.model_kinds import ModelKind, identify
from cds.learning.models import with_current_models
from imaging.engine import FractureEngine
from imaging.ensemble import fuse_boxes, join_features
from imaging.errors import ExplanationError, ModelFilesError
from imaging.explanation.explainer import Explainer, TracedRadiograph, surest
from imaging.explanation.results import MapTarget
from imaging.export.errors import ExportError
from imaging.export.exporter import EdgeFormat, export_detector
from imaging.manifest import ACCURATE_WEIGHTS, read_manifest
from imaging.preprocess import prepare
from imaging.reader import read_radiograph
from imaging.results import BoxPx, FractureCall, FractureDetection
from imaging.training import attributes, evaluate, evaluate_attributes, scope
from imaging.training import pair as pair_training
from imaging.training.attributes import AttributeConfig
from imaging.training.attributes_data import AttributeSample
from imaging.training.attributes_features import FeatureTable
from imaging.training.attributes_heads import HeadSettings
from imaging.training.errors import TrainingDataError
from imaging.training.pair import make_pair
from imaging.yolov7.efficientnet_lite import FEATURE_CHANNELS
from imaging.yolov7.postprocess import letterbox, non_max_suppression
from tests.support.radiographs import write_classifier, write_flags, write_fracatlas, write_types, write_weights

HELD_OUT = {"split": "train", "folds": 3, "development_fold": 0}


def detector(folder: Path, *, seed: int, image_size: int = 64, development_fold: int = 0) -> Path:
    """A random detector that says which radiographs it held out."""
    write_weights(folder, seed=seed, image_size=image_size)
    manifest = folder / "manifest.json"
    document = json.loads(manifest.read_text())
    document["schema"] = "fracture-cds.detector/1"
    document["training"] = {"config": HELD_OUT | {"development_fold": development_fold}}
    manifest.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_fracatlas(tmp_path_factory.mktemp("data") / "fa")


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(first, second, pair) folders."""
    root = tmp_path_factory.mktemp("detectors")
    first, second = detector(root / "first", seed=1), detector(root / "second", seed=2)
    return first, second, make_pair(first, second, data, first / "accurate", report=lambda _: None)


def test_a_pair_finds_what_its_parts_find_together(made: tuple[Path, Path, Path]) -> None:
    pixels = np.random.default_rng(0).random((90, 60), dtype=np.float32)
    one, other, both = (FractureEngine.load(folder, runtime="torch", threads=1) for folder in made)
    canvas, _ = letterbox(prepare(pixels), 64, pad_value=0.0)
    image = torch.from_numpy(canvas).expand(1, 3, -1, -1)
    found = [
        non_max_suppression(
            engine.runtime.predict(image).decoded, score_threshold=0.0001, iou_threshold=0.45, max_detections=50
        )[0]
        for engine in (one, other)
    ]
    wanted = fuse_boxes(found, iou=0.45)[:50]
    assert len(wanted) > 5
    torch.testing.assert_close(both.detect(pixels)[:, 4], wanted[:, 4], rtol=1e-4, atol=1e-6)


def test_a_pair_has_a_name_and_operating_points_of_its_own(made: tuple[Path, Path, Path]) -> None:
    first, second, pair = map(read_manifest, made)
    assert pair.companion is not None and pair.companion.sha256 == second.sha256
    assert pair.model_id.endswith(f"+{first.sha256[:8]}.{second.sha256[:8]}")
    assert pair.model_id not in (first.model_id, second.model_id)
    assert pair.heads == made[0]
    assert pair.document["development"]["n"] == 4
    assert pair.high_sensitivity.threshold != first.high_sensitivity.threshold


@pytest.mark.parametrize("both", [False, True])
def test_a_pair_keeps_the_image_classifiers(
    both: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_training, "set_operation", lambda out, *_, **__: out)
    first = write_classifier(detector(tmp_path / "first", seed=1), log_odds=-2.0)
    second = detector(tmp_path / "second", seed=2)
    if both:
        write_classifier(second, log_odds=-1.0, weight=0.5)
    pair = read_manifest(make_pair(first, second, data, first / "accurate", report=lambda _: None))
    one, other = pair.image_classifier, pair.companion.image_classifier if pair.companion else None
    assert one is not None and one.weights == first / "image_classifier.safetensors"
    assert other is not None and (other.weights.parent == first / "accurate") is both
    assert (other.weight, len(pair.parts)) == (0.5 if both else 1.0, 4)
    assert pair.model_id.rpartition("+")[2].count(".") == (3 if both else 2)
    assert identify(ModelKind.DETECTOR, first / "accurate") == pair.model_id
    FractureEngine.load(first / "accurate", runtime="torch", threads=1)
    other.weights.write_bytes(b"")
    with pytest.raises(ModelStoreError, match="not the one that its manifest names"):
        identify(ModelKind.DETECTOR, first / "accurate")


def test_a_pair_is_measured_like_any_detector(made: tuple[Path, Path, Path], data: Path) -> None:
    result = evaluate.run(data, "val", model=made[2], runtime="torch", rounds=5)
    assert result["model"] == read_manifest(made[2]).model_id and "map50" in result["metrics"]


def test_a_pair_moves_with_its_first_detector(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(made[0], tmp_path / "elsewhere")
    engine = FractureEngine.load(moved / "accurate", runtime="torch", threads=1)
    assert engine.manifest.heads == moved and engine.second is not None


def test_a_pair_lies_inside_its_first_detector(made: tuple[Path, Path, Path], data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="inside the folder"):
        make_pair(made[0], made[1], data, tmp_path / "out", report=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_no_pair(made: tuple[Path, Path, Path], data: Path, tmp_path: Path) -> None:
    first, second, pair = made
    larger = detector(tmp_path / "larger", seed=3, image_size=96)
    elsewhere = detector(tmp_path / "elsewhere", seed=4, development_fold=1)
    for other, why in ((first, "same weights"), (larger, "differ in preprocessing"), (elsewhere, "held out different")):
        with pytest.raises(TrainingDataError, match=why):
            make_pair(first, other, data, first / "other", report=lambda _: None)
    with pytest.raises(TrainingDataError, match="two single detectors"):
        make_pair(first, pair, data, first / "other", report=lambda _: None)
    assert not (first / "other").exists()
    assert second.is_dir()


def test_a_pair_is_not_exported(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="pair"):
        export_detector(EdgeFormat.ONNX, tmp_path, model=made[2])


def test_a_pair_is_explained_by_the_network_that_is_surer(
    made: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer.load(made[2], steps=1)
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    for index in range(2):
        traced = explainer.trace(pixels)
        sees, blind = traced[index], traced[1 - index]
        blind.log_scores = torch.full_like(blind.log_scores, -torch.inf)
        boxes = sees.transform.to_image(sees.boxes)
        inside = (boxes.amin(dim=1) >= 0) & (boxes.amax(dim=1) <= 64)
        best = int(torch.where(inside, sees.log_scores.detach(), -torch.inf).argmax())
        x1, y1, x2, y2 = boxes[best].tolist()
        score = float(sees.log_scores[best].detach().exp())
        seen = FractureDetection(
            box=BoxPx(x1=x1, y1=y1, x2=x2, y2=y2), score=score / 2, call=FractureCall.SUSPECTED, label="fracture"
        )
        assert surest(traced, seen) is sees
        assert sees.sureness(seen) >= score and blind.sureness(seen) == 0.0
        monkeypatch.setattr(explainer, "trace", lambda _, traced=traced: traced)
        maps = explainer.explain(pixels, seen).maps
        monkeypatch.undo()
        assert len(maps) == 2
        assert sees.prediction_of(seen) == int(torch.where(inside_of(sees, seen), sees.log_scores, -torch.inf).argmax())
        np.testing.assert_array_equal(maps[0].heat, sees.on_radiograph(sees.cam(sees.prediction_of(seen))))


def inside_of(traced: TracedRadiograph, seen: FractureDetection) -> torch.Tensor:
    """[predictions] which overlap a detection's box by half or more; the radiograph fills the canvas."""
    box = torch.tensor([[seen.box.x1, seen.box.y1, seen.box.x2, seen.box.y2]])
    return box_iou(box, traced.boxes.clamp(0, 64))[0] >= 0.5


def test_what_neither_network_of_a_pair_saw_is_not_explained(made: tuple[Path, Path, Path]) -> None:
    stray = FractureDetection(
        box=BoxPx(x1=0.0, y1=0.0, x2=0.5, y2=0.5), score=0.5, call=FractureCall.SUSPECTED, label="fracture"
    )
    with pytest.raises(ExplanationError):
        Explainer.load(made[2], steps=1).explain(np.zeros((64, 64), dtype=np.float32), stray)


FEW = AttributeConfig(split="all", heads=HeadSettings(folds=2, rounds=5, fewest=2))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Radiographs that teach patterns and limbs."""
    root = tmp_path_factory.mktemp("labelled")
    write_types(root / "fracture_types", 12)
    write_flags(write_fracatlas(root / "fracatlas", fractured=6, healthy=6), 12)
    return root


def fit(labelled: Path, folder: Path) -> FractureEngine:
    attributes.run(labelled, folder, model=folder, config=FEW, runtime="torch", report=lambda _: None)
    return FractureEngine.load(folder, runtime="torch", threads=1)


def test_a_pair_reads_its_first_detector_s_heads_until_it_has_its_own(
    made: tuple[Path, Path, Path], data: Path, labelled: Path, tmp_path: Path
) -> None:
    first = shutil.copytree(made[0], tmp_path / "first")
    pair = first / "accurate"
    radiograph = read_radiograph(labelled / "fracatlas" / "images" / "Fractured" / "IMG0000000.jpg")
    assert FractureEngine.load(pair, runtime="torch", threads=1).attributes is None

    fit(labelled, first)
    engine = FractureEngine.load(pair, runtime="torch", threads=1)
    assert engine.attributes is not None and engine.attributes.reads == read_manifest(first).digest
    told = engine.analyse(radiograph).attributes
    alone = FractureEngine.load(first, runtime="torch", threads=1).analyse(radiograph).attributes
    assert told is not None and told.limb and told == alone
    assert Explainer.load(pair).pattern_reads == read_manifest(first).digest
    result = evaluate_attributes.run(labelled / "fracture_types", model=pair, runtime="torch", rounds=5)
    assert result["trained_on"] == 12 and result["detector"] == engine.model_id

    engine = fit(labelled, pair)
    assert engine.attributes is not None and engine.attributes.reads == engine.manifest.digest
    look = engine.look(radiograph.pixels)
    joint = look.read(engine.manifest.digest)
    assert [len(level[0]) for level in joint] == [2 * len(level[0]) for level in look.features]
    torch.testing.assert_close(joint[0][:, : look.features[0].shape[1]], look.features[0])
    own = engine.analyse(radiograph).attributes
    assert own is not None and own.limb and own.model_id != told.model_id
    result = evaluate_attributes.run(labelled / "fracture_types", model=pair, runtime="torch", rounds=5)
    assert result["trained_on"] == 12 and result["model"] == own.model_id

    # Its heat map is that of both networks, and the single detector keeps its own heads.
    explainer = Explainer.load(pair, steps=1)
    assert explainer.pattern_reads == engine.manifest.digest
    x1, y1, x2, y2 = look.boxes[0, :4].tolist()
    box = BoxPx(x1=x1, y1=y1, x2=x2, y2=y2)
    seen = FractureDetection(box=box, score=float(look.boxes[0, 4]), call=FractureCall.SUSPECTED, label="fracture")
    assert explainer.explain(radiograph.pixels, seen).maps[-1].target is MapTarget.PATTERN
    assert FractureEngine.load(first, runtime="torch", threads=1).analyse(radiograph).attributes == alone

    # A new pair in the same place cannot read them.
    lines: list[str] = []
    make_pair(first, detector(tmp_path / "third", seed=3), data, pair, report=lines.append)
    assert any("heads of the earlier weights are removed" in line for line in lines)
    assert not list(pair.glob("attributes.*"))
    assert FractureEngine.load(pair, runtime="torch", threads=1).attributes is not None


def test_heads_read_the_image_classifier_too(labelled: Path, tmp_path: Path) -> None:
    folder = detector(tmp_path / "alone", seed=1)
    radiograph = read_radiograph(labelled / "fracatlas" / "images" / "Fractured" / "IMG0000000.jpg")
    fit(labelled, folder)
    write_classifier(folder)
    before = FractureEngine.load(folder, runtime="torch", threads=1)
    assert before.attributes is not None and before.attributes.reads == before.manifest.sha256 != before.manifest.digest
    assert before.analyse(radiograph).attributes is not None

    engine = fit(labelled, folder)
    assert engine.attributes is not None and engine.attributes.reads == engine.manifest.digest
    look = engine.look(radiograph.pixels)
    added = [
        joint.shape[1] - own.shape[1]
        for joint, own in zip(look.read(engine.manifest.digest), look.features, strict=True)
    ]
    assert added == list(FEATURE_CHANNELS)
    assert engine.analyse(radiograph).attributes is not None
    x1, y1, x2, y2 = look.boxes[0, :4].tolist()
    box = BoxPx(x1=x1, y1=y1, x2=x2, y2=y2)
    seen = FractureDetection(box=box, score=float(look.boxes[0, 4]), call=FractureCall.SUSPECTED, label="fracture")
    maps = Explainer.load(folder, steps=1).explain(radiograph.pixels, seen).maps
    assert maps[-1].target is MapTarget.PATTERN

    # Without the classifier they cannot be read any more.
    document = json.loads((folder / "manifest.json").read_text())
    del document["image_classifier"]
    (folder / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ModelFilesError, match="features of another detector"):
        FractureEngine.load(folder, runtime="torch")


def test_heads_are_not_written_beside_another_detector(
    made: tuple[Path, Path, Path], labelled: Path, tmp_path: Path
) -> None:
    first = shutil.copytree(made[0], tmp_path / "first")
    for model, out in ((first, first / "accurate"), (first / "accurate", first)):
        with pytest.raises(TrainingDataError, match="another detector"):
            attributes.run(labelled, out, model=model, config=FEW, runtime="torch", report=lambda _: None)
        assert not list(out.glob("attributes.*"))


def test_a_pair_gets_no_scope_model_of_its_own(made: tuple[Path, Path, Path], data: Path) -> None:
    with pytest.raises(TrainingDataError, match="no scope model"):
        scope.fit(made[2], data)


def test_what_either_network_of_a_pair_has_seen_is_seen(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first = shutil.copytree(made[0], tmp_path / "first")
    manifest = first / "accurate" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["companion_training"] = {"config": HELD_OUT | {"extra_data": ["data/hip"]}}
    manifest.write_text(json.dumps(document))
    one = AttributeSample(image_id="a", path=manifest, collection="hip", source="hip", group="a", fractured=True)
    table = FeatureTable(samples=(one,), vectors=np.zeros((1, 4), dtype=np.float32), max_scores=np.zeros(1))
    engines = [FractureEngine.load(folder, runtime="torch", threads=1) for folder in (first, first / "accurate")]
    assert [attributes.unseen_by(engine, table).tolist() for engine in engines] == [[True], [False]]


def test_features_of_a_graph_that_names_none_stay_none() -> None:
    maps = (torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2))
    assert [one.shape[1] for one in join_features((maps, maps))] == [4, 6]
    assert join_features((maps, ())) == ()


def test_who_asks_for_accuracy_gets_the_shipped_pair() -> None:
    settings = with_current_models(load_settings(accurate=True, follow_models=False))
    assert settings.detector_dir == ACCURATE_WEIGHTS
    assert load_image_engine(settings, settings.detector_dir).model_id == read_manifest(ACCURATE_WEIGHTS).model_id
    plain = with_current_models(load_settings(follow_models=False))
    assert plain.detector_dir is None


def test_a_detector_of_ones_own_is_mirrored_instead(made: tuple[Path, Path, Path]) -> None:
    settings = with_current_models(load_settings(accurate=True, follow_models=False, detector_dir=made[1]))
    assert settings.detector_dir == made[1]
    engine = load_image_engine(settings, made[1])
    assert isinstance(engine, FractureEngine) and engine.runtime.name.endswith("flip-averaged")


def test_the_shipped_pair_begins_with_the_shipped_detector() -> None:
    pair, shipped = read_manifest(ACCURATE_WEIGHTS), read_manifest()
    assert pair.sha256 == shipped.sha256 and pair.weights == shipped.weights
    assert pair.document["training"] == shipped.document["training"]
