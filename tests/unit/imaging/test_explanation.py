"""Heat maps: on a tiny random network their form, on the shipped weights the check against random ones."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from imaging.errors import ExplanationError, ModelFilesError
from imaging.explanation.explainer import CAM_LEVEL, MAX_EXPLAINED, Explainer, TracedRadiograph
from imaging.explanation.gradients import grad_cam, log_scores
from imaging.explanation.render import LEGEND_PX, PICTURE_SIDE_PX, draw
from imaging.explanation.results import Explanation, MapMethod, MapTarget
from imaging.explanation.sanity import rank_correlation, sanity_check
from imaging.manifest import DetectorManifest, read_manifest
from imaging.phantom.build import make_phantom
from imaging.phantom.spec import FractureSpec, PhantomBone, PhantomSpec
from imaging.results import BoxPx, FractureCall, FractureDetection
from imaging.yolov7 import build
from imaging.yolov7.graphs import YOLOV7_TINY
from tests.support.radiographs import write_weights

MAX_SURVIVING = 0.3
"""A map whose rank correlation with that of random weights exceeds this shows the image, not what was learnt."""


def bone() -> NDArray[np.float32]:
    """A shaft with a dark line, [150, 100], 0..1."""
    pixels = np.full((150, 100), 0.1, dtype=np.float32)
    pixels[:, 35:65] = 0.7
    pixels[70:73, 35:65] = 0.3
    return pixels


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> DetectorManifest:
    return read_manifest(write_weights(tmp_path_factory.mktemp("weights"), image_size=64))


@pytest.fixture(scope="module")
def explainer(manifest: DetectorManifest) -> Explainer:
    torch.manual_seed(3)
    network = build(YOLOV7_TINY, num_classes=1, width=0.25).eval().requires_grad_(False)
    return Explainer(manifest, network, steps=2)


def detections(explainer: Explainer, count: int = 1) -> tuple[FractureDetection, ...]:
    """The network's own best boxes on the shaft, in pixels of the radiograph."""
    traced = TracedRadiograph(explainer, bone())
    best = traced.log_scores.detach().topk(count).indices
    found = []
    for index in best.tolist():
        x1, y1, x2, y2 = traced.transform.to_image(traced.boxes[index]).tolist()
        score = float(traced.log_scores[index].detach().exp())
        box = BoxPx(x1=x1, y1=y1, x2=x2, y2=y2)
        found.append(FractureDetection(box=box, score=score, call=FractureCall.SUSPECTED, label="fracture"))
    return tuple(found)


def explained(explainer: Explainer) -> Explanation:
    return explainer.explain(bone(), detections(explainer)[0])


def test_maps_lie_on_the_radiograph(explainer: Explainer) -> None:
    explanation = explained(explainer)
    assert [(one.method, one.target) for one in explanation.maps] == [
        (MapMethod.GRAD_CAM, MapTarget.DETECTION),
        (MapMethod.INTEGRATED_GRADIENTS, MapTarget.DETECTION),
    ]
    for one in explanation.maps:
        assert one.heat.shape == bone().shape
        assert one.heat.dtype == np.float32
        assert 0.0 <= one.heat.min() <= one.heat.max() <= 1.0
        if one.peak is None:
            assert one.heat.max() == 0.0
            assert one.share_in_box is None
        else:
            assert one.heat[int(one.peak.y), int(one.peak.x)] == one.heat.max() == 1.0
            assert one.share_in_box is not None
            assert 0.0 <= one.share_in_box <= 1.0


def test_the_same_radiograph_gives_the_same_maps(explainer: Explainer) -> None:
    first, second = explained(explainer), explained(explainer)
    for one, other in zip(first.maps, second.maps, strict=True):
        assert np.array_equal(one.heat, other.heat)


def test_the_prediction_behind_a_box_is_found(explainer: Explainer) -> None:
    traced = TracedRadiograph(explainer, bone())
    best = int(traced.log_scores.argmax())
    assert traced.prediction_of(detections(explainer)[0]) == best


def test_a_box_of_another_network_is_refused(explainer: Explainer) -> None:
    stray = replace(detections(explainer)[0], box=BoxPx(x1=0.0, y1=0.0, x2=0.5, y2=0.5))
    with pytest.raises(ExplanationError):
        explainer.explain(bone(), stray)


def test_only_the_first_detections_are_explained(explainer: Explainer) -> None:
    found = explainer.explain_all(bone(), detections(explainer, count=MAX_EXPLAINED + 2))
    assert [one.detection for one in found] == list(range(MAX_EXPLAINED))
    assert explainer.explain_all(bone(), ()) == ()


def test_the_pattern_head_is_explained_too(manifest: DetectorManifest, explainer: Explainer) -> None:
    asked: list[Tensor] = []

    def head(features: Sequence[Tensor], box_canvas: Tensor, transform: object) -> Tensor:
        asked.append(box_canvas)
        return features[CAM_LEVEL].square().mean()

    explanation = Explainer(manifest, explainer.network, pattern=head, steps=1).explain(
        bone(), detections(explainer)[0]
    )
    assert explanation.maps[-1].target is MapTarget.PATTERN
    assert asked[0].shape == (4,)


def test_grad_cam_is_the_activation_weighted_by_its_mean_gradient() -> None:
    activations = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    answer = 2.0 * activations[0, 0].sum() - 3.0 * activations[0, 1].sum()
    expected = (2.0 * activations[0, 0] - 3.0 * activations[0, 1]).relu()
    assert torch.allclose(grad_cam(answer, activations, 4), expected.detach(), atol=1e-6)


def test_log_scores_are_those_of_the_decoding(explainer: Explainer) -> None:
    network = explainer.network
    raw = network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    decoded = network.decode(raw)
    assert torch.allclose(log_scores(raw).exp(), decoded[..., 4] * decoded[..., 5:].amax(dim=-1), atol=1e-6)


@given(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=30, unique=True))
def test_rank_correlation_depends_on_the_order_alone(values: list[float]) -> None:
    one = np.array(values, dtype=np.float32)
    ranks = one.argsort().argsort().astype(np.float32)
    assert rank_correlation(one, ranks**3) == pytest.approx(1.0)
    assert rank_correlation(one, -ranks) == pytest.approx(-1.0)
    assert rank_correlation(one, np.zeros_like(one)) == 0.0


@settings(max_examples=8, deadline=None)
@given(st.integers(20, 900), st.integers(20, 900))
def test_picture_has_one_size_whatever_the_radiograph(height: int, width: int) -> None:
    pixels = np.full((height, width), 0.5, dtype=np.float32)
    picture = draw(pixels, np.zeros_like(pixels), BoxPx(x1=5.0, y1=5.0, x2=15.0, y2=15.0))
    assert picture.dtype == np.uint8
    assert max(picture.shape[0] - LEGEND_PX, picture.shape[1]) == PICTURE_SIDE_PX


def test_picture_colours_the_heat_and_leaves_the_cold_grey() -> None:
    pixels = np.full((640, 640), 0.4, dtype=np.float32)
    heat = np.zeros_like(pixels)
    heat[300:340, 300:340] = 1.0
    picture = draw(pixels, heat, BoxPx(x1=100.0, y1=100.0, x2=200.0, y2=200.0)).astype(int)
    blue, green, red = picture[320, 320]
    assert red > blue + 60
    assert green > blue + 60
    assert np.ptp(picture[600, 600]) == 0
    assert picture[100, 150].min() > 200  # the box


def test_broken_weights_are_explained(tmp_path: Path) -> None:
    folder = write_weights(tmp_path)
    (folder / "detector.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFilesError):
        Explainer.load(folder)


@cache
def phantom_pixels() -> NDArray[np.float32]:
    """A drawn forearm with a displaced fracture of the radius."""
    fracture = FractureSpec(bone=PhantomBone.RADIUS, height_mm=24.0, gap_mm=1.6, displacement_mm=4.0)
    return make_phantom(PhantomSpec(fractures=(fracture,)), seed=1).pixels


@pytest.mark.parametrize("method", MapMethod)
def test_maps_of_the_shipped_weights_depend_on_what_was_learnt(method: MapMethod) -> None:
    """Adebayo et al. 2018: with every weight random, little of the map may remain."""
    explainer = Explainer.load(steps=3)
    traced = TracedRadiograph(explainer, phantom_pixels())
    best = int(traced.log_scores.argmax())
    height, width = phantom_pixels().shape
    inner = torch.tensor([width / traced.transform.image_size[0], height / traced.transform.image_size[1]]).repeat(2)
    x1, y1, x2, y2 = (traced.transform.to_image(traced.boxes[best]) * inner).tolist()
    top = FractureDetection(
        box=BoxPx(x1=x1, y1=y1, x2=x2, y2=y2),
        score=float(traced.log_scores[best].detach().exp()),
        call=FractureCall.SUSPECTED,
        label="fracture",
    )
    assert abs(sanity_check(explainer, phantom_pixels(), top, method=method)) < MAX_SURVIVING
