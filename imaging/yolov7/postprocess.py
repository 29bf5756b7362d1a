"""From an image of any size to the network's input, and from decoded predictions back to boxes on that image.

The single copy of letterbox and non-maximum suppression: training, evaluation, export checks and the application use
it. Box formats: `xyxy` = (x1, y1, x2, y2), `cxcywh` = (centre x, centre y, width, height). A pixel's coordinate is its
upper left corner, so an image of width W spans 0..W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from imaging.yolov7.head import BOX_CHANNELS

Image = npt.NDArray[np.float32]
Boxes = TypeVar("Boxes", Tensor, npt.NDArray[np.float32], npt.NDArray[np.float64])

PAD_VALUE = 114 / 255
"""Grey of the margins, the mean of natural images in the published training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterboxTransform:
    """How an image was placed on its canvas: canvas = image * scale + pad, per axis.

    The scales differ by the rounding of the resized sides to whole pixels, which is why each axis has its own: the
    inverse is then exact. Sizes are (width, height) in pixels.
    """

    image_size: tuple[int, int]
    canvas_size: tuple[int, int]
    scale: tuple[float, float]
    pad: tuple[int, int]

    def to_canvas(self, boxes: Boxes) -> Boxes:
        """Boxes [..., 4] `xyxy` (or points [..., 2]) of the image, on the canvas."""
        scale, pad = _repeated(boxes, self.scale), _repeated(boxes, self.pad)
        moved: Boxes = boxes * scale + pad
        return moved

    def to_image(self, boxes: Boxes, *, clip: bool = True) -> Boxes:
        """Boxes [..., 4] `xyxy` (or points [..., 2]) of the canvas, on the image and within it if `clip`."""
        scale, pad = _repeated(boxes, self.scale), _repeated(boxes, self.pad)
        moved: Boxes = (boxes - pad) / scale
        if not clip:
            return moved
        limit = _repeated(boxes, self.image_size)
        if isinstance(moved, Tensor):
            return torch.minimum(moved.clamp(min=0), limit)
        return np.clip(moved, 0, limit)


def _repeated(like: Boxes, pair: Sequence[float]) -> Boxes:
    """(x, y) as a vector that fits the last axis of `like`, of its type."""
    length = like.shape[-1]
    if length not in (2, 4):
        raise ValueError(f"expected boxes [..., 4] or points [..., 2], got shape {tuple(like.shape)}")
    values = list(pair) * (length // 2)
    if isinstance(like, Tensor):
        return like.new_tensor(values)
    return np.asarray(values).astype(like.dtype)


def letterbox(
    image: Image, size: int, *, stride: int | None = None, pad_value: float = PAD_VALUE, upscale: bool = True
) -> tuple[Image, LetterboxTransform]:
    """Resize an image with its aspect ratio kept, and centre it on a canvas.

    Args:
        image: [H, W] or [H, W, 3], float32 in 0..1.
        size: longer side of the canvas in pixels.
        stride: None gives a square canvas; a number gives the smallest canvas of multiples of it (32 for a network).
        pad_value: value of the margins.
        upscale: whether a small image may grow.

    Returns:
        The canvas, with the axes of `image`, and the transform that leads there and back.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"expected an image [H, W] or [H, W, C], got shape {image.shape}")
    height, width = image.shape[:2]
    ratio = size / max(height, width)
    if not upscale:
        ratio = min(ratio, 1.0)
    new_width, new_height = max(1, round(width * ratio)), max(1, round(height * ratio))
    canvas_width, canvas_height = (size, size) if stride is None else (_up(new_width, stride), _up(new_height, stride))
    if (new_width, new_height) != (width, height):
        # Area averaging keeps thin lines, such as a fracture, when an image shrinks; linear sampling would skip them.
        method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (new_width, new_height), interpolation=method).astype(np.float32, copy=False)
    left, top = (canvas_width - new_width) // 2, (canvas_height - new_height) // 2
    canvas = np.full((canvas_height, canvas_width, *image.shape[2:]), pad_value, dtype=np.float32)
    canvas[top : top + new_height, left : left + new_width] = image
    transform = LetterboxTransform(
        image_size=(width, height),
        canvas_size=(canvas_width, canvas_height),
        scale=(new_width / width, new_height / height),
        pad=(left, top),
    )
    return canvas, transform


def _up(length: int, stride: int) -> int:
    return -(-length // stride) * stride


@torch.no_grad()
def non_max_suppression(
    decoded: Tensor,
    *,
    score_threshold: float = 0.001,
    iou_threshold: float = 0.65,
    max_detections: int = 300,
    class_agnostic: bool = False,
    multi_label: bool = False,
    max_candidates: int = 8192,
) -> list[Tensor]:
    """The best boxes of each image; score = objectness * class probability.

    Args:
        decoded: [B, N, 5 + classes], `cxcywh` in pixels, objectness, class probabilities; see `decode`.
        score_threshold: boxes of a lower score are dropped.
        iou_threshold: of two boxes with a greater IoU the one of lower score is dropped.
        max_detections: boxes kept per image.
        class_agnostic: whether boxes of different classes suppress each other.
        multi_label: whether a box may be reported for several classes, or only for its best one.
        max_candidates: boxes per image, the best ones, that enter suppression: bounds its time.

    Returns:
        Per image [n, 6] float: `xyxy` in pixels, score, class; by falling score.
    """
    if decoded.ndim != 3 or decoded.shape[2] <= BOX_CHANNELS:
        raise ValueError(f"expected decoded predictions [B, N, 5 + classes], got shape {list(decoded.shape)}")
    return [
        _suppress(
            *_candidates(image.float(), score_threshold, multi_label, max_candidates),
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            class_agnostic=class_agnostic,
        )
        for image in decoded
    ]


def _candidates(
    predictions: Tensor, score_threshold: float, multi_label: bool, max_candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [n, 4] `xyxy`, scores [n] and classes [n] above the threshold, the best `max_candidates` of them."""
    scores = predictions[:, 4:5] * predictions[:, BOX_CHANNELS:]
    if multi_label:
        row, category = (scores >= score_threshold).nonzero(as_tuple=True)
        score = scores[row, category]
    else:
        best, best_category = scores.max(dim=1)
        row = (best >= score_threshold).nonzero()[:, 0]
        score, category = best[row], best_category[row]
    if len(score) > max_candidates:
        score, top = score.topk(max_candidates)
        row, category = row[top], category[top]
    return box_convert(predictions[row, :4], "cxcywh", "xyxy"), score, category


def _suppress(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    *,
    iou_threshold: float,
    max_detections: int,
    class_agnostic: bool,
) -> Tensor:
    groups = torch.zeros_like(classes) if class_agnostic else classes
    kept = batched_nms(boxes, scores, groups, iou_threshold)[:max_detections]
    return torch.cat((boxes[kept], scores[kept, None], classes[kept, None].to(boxes.dtype)), dim=1)
