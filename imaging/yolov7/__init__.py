"""YOLOv7 written from its paper (arXiv 2207.02696), compatible with the published weights.

Map
---
``layers``       building blocks, named as in the published weights, and how they fold for inference.
``graphs``       the networks as data: `yolov7-tiny` and `yolov7`; how to put another backbone under the neck.
``head``         detection head and `decode`: raw outputs to boxes in pixels.
``network``      `build` a network, `fuse` it for inference.
``image_classifier``  a second opinion on the whole radiograph, which lowers scores.
``assigner``     which predictions are held to which targets: candidate search and OTA.
``loss``         plain and OTA loss.
``postprocess``  letterbox and non-maximum suppression, the only copy.
``checkpoint``   weights: safetensors of ours, state dicts and pickled files of theirs without running a pickle.
"""

from imaging.yolov7.assigner import CandidateSearch, OtaAssignment
from imaging.yolov7.checkpoint import (
    CheckpointError,
    load_upstream,
    load_weights,
    read_upstream_checkpoint,
    save_weights,
    sha256_of,
)
from imaging.yolov7.graphs import GRAPHS, STRIDES, Graph, LayerSpec, Op
from imaging.yolov7.head import decode
from imaging.yolov7.loss import (
    YOLOV7_GAINS,
    YOLOV7_TINY_GAINS,
    DetectionLoss,
    LossGains,
    LossItems,
    ota_loss,
    plain_loss,
)
from imaging.yolov7.network import Yolov7, build, fuse
from imaging.yolov7.postprocess import LetterboxTransform, letterbox, non_max_suppression

__all__ = [
    "GRAPHS",
    "STRIDES",
    "YOLOV7_GAINS",
    "YOLOV7_TINY_GAINS",
    "CandidateSearch",
    "CheckpointError",
    "DetectionLoss",
    "Graph",
    "LayerSpec",
    "LetterboxTransform",
    "LossGains",
    "LossItems",
    "Op",
    "OtaAssignment",
    "Yolov7",
    "build",
    "decode",
    "fuse",
    "letterbox",
    "load_upstream",
    "load_weights",
    "non_max_suppression",
    "ota_loss",
    "plain_loss",
    "read_upstream_checkpoint",
    "save_weights",
    "sha256_of",
]
