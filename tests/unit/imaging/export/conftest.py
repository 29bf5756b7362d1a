"""A detector small enough to export in a second, and labelled radiographs for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from imaging.manifest import CLASSIFIER_KEY, SHIPPED_WEIGHTS
from imaging.yolov7 import GRAPHS, Graph, build, save_weights
from imaging.yolov7.graphs import TINY_ANCHORS, UPSAMPLE, LayerSpec, Op, concat, conv, leaky_relu
from tests.support.radiographs import write_fracatlas

SIZE = 96


def small_graph() -> Graph:
    """The kinds of layers that the shipped graph has, once each, at strides 8, 16 and 32."""
    pool = LayerSpec(Op.SAME_POOL, kernel=5)
    return Graph(
        name="export-test",
        layers=(
            *(conv(8, 3, 2), conv(8, 3, 2), conv(16, 3, 2), conv(16, 3, 2)),  # 0..3: strides 2, 4, 8, 16
            *(pool, concat(-1, 3), conv(16), UPSAMPLE, concat(-1, 2), conv(16)),  # 4..9: back to stride 8
            *(conv(16, 3, 2), conv(16, 3, 2)),  # 10, 11: strides 16, 32
        ),
        outputs=(9, 10, 11),
        anchors=TINY_ANCHORS,
        activation=leaky_relu,
    )


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights that find a dozen boxes anywhere, with their manifest."""
    with pytest.MonkeyPatch.context() as patch:
        graph = small_graph()
        patch.setitem(GRAPHS, graph.name, graph)
        torch.manual_seed(3)
        network = build(graph.name, num_classes=1)
        with torch.no_grad():
            for layer in network.head.m:
                layer.weight.mul_(4.0)  # type: ignore[operator, union-attr]
                layer.bias.view(3, -1)[:, 4] = -2.0  # type: ignore[operator, union-attr]
        folder = tmp_path_factory.mktemp("model")
        digest = save_weights(folder / "detector.safetensors", network.state_dict(), {"graph": graph.name})
        document = json.loads((SHIPPED_WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
        document["graph"], document["sha256"], document["weights"] = graph.name, digest, "detector.safetensors"
        document["preprocessing"]["image_size"] = SIZE
        document.pop(CLASSIFIER_KEY, None)
        for point, threshold in (("high_sensitivity", 0.02), ("high_specificity", 0.32)):
            document["operating_points"][point]["threshold"] = threshold
        document["training"]["config"] |= {"folds": 3, "development_fold": 1}
        (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        yield folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in FracAtlas' layout, with a train and a val split."""
    return write_fracatlas(tmp_path_factory.mktemp("data") / "fracatlas")
