"""Assignment and losses against an independent implementation that loops over everything."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from imaging.yolov7 import (
    YOLOV7_GAINS,
    CandidateSearch,
    DetectionLoss,
    LossGains,
    OtaAssignment,
    build,
    non_max_suppression,
    ota_loss,
    plain_loss,
)
from imaging.yolov7.assigner import lattice
from imaging.yolov7.loss import complete_iou

STRIDES = (8, 16, 32)
BALANCE = (4.0, 1.0, 0.4)
SIZE = 128
ANCHORS = torch.tensor(
    [[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
)


@dataclass(frozen=True)
class Pair:
    """A prediction and the number of its target."""

    image: int
    level: int
    anchor: int
    row: int
    column: int
    target: int


def s(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def naive_candidates(targets: list[list[float]]) -> list[Pair]:
    found = []
    for number, (image, _, cx, cy, w, h) in enumerate(targets):
        for level, stride in enumerate(STRIDES):
            cells = SIZE // stride
            for anchor in range(3):
                ratios = []
                for side, anchor_side in zip((w, h), ANCHORS[level, anchor].tolist(), strict=True):
                    ratios += [side * SIZE / anchor_side, anchor_side / (side * SIZE)]
                if max(ratios) >= 4:
                    continue
                x, y = cx * cells, cy * cells
                places = [(math.floor(x), math.floor(y))]
                # Half a cell to each side; the far side of a centre on a border stays in the centre's own cell.
                if x % 1 < 0.5 and x > 1:
                    places.append((math.floor(x) - 1, math.floor(y)))
                if (cells - x) % 1 < 0.5 and cells - x > 1:
                    places.append((math.floor(x + 0.5), math.floor(y)))
                if y % 1 < 0.5 and y > 1:
                    places.append((math.floor(x), math.floor(y) - 1))
                if (cells - y) % 1 < 0.5 and cells - y > 1:
                    places.append((math.floor(x), math.floor(y + 0.5)))
                found += [Pair(int(image), level, anchor, row, column, number) for column, row in places]
    return found


def naive_box(raw: list[Tensor], pair: Pair) -> tuple[float, float, float, float]:
    x, y, w, h = (s(v) for v in raw[pair.level][pair.image, pair.anchor, pair.row, pair.column, :4].tolist())
    stride, (aw, ah) = STRIDES[pair.level], ANCHORS[pair.level, pair.anchor].tolist()
    return (
        (2 * x - 0.5 + pair.column) * stride,
        (2 * y - 0.5 + pair.row) * stride,
        (2 * w) ** 2 * aw,
        (2 * h) ** 2 * ah,
    )


def naive_ious(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> tuple[float, float]:
    """IoU and CIoU of two (cx, cy, w, h) boxes."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = box, other
    wide = max(0.0, min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2))
    high = max(0.0, min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2))
    iou = wide * high / (aw * ah + bw * bh - wide * high)
    hull_w = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    hull_h = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    distance = ((ax - bx) ** 2 + (ay - by) ** 2) / (hull_w**2 + hull_h**2)
    aspect = 4 / math.pi**2 * (math.atan(bw / bh) - math.atan(aw / ah)) ** 2
    trade_off = aspect / (1 - iou + aspect) if aspect else 0.0
    return iou, iou - distance - trade_off * aspect


def target_box(target: list[float]) -> tuple[float, float, float, float]:
    return (target[2] * SIZE, target[3] * SIZE, target[4] * SIZE, target[5] * SIZE)


def naive_ota(raw: list[Tensor], targets: list[list[float]], pairs: list[Pair]) -> list[Pair]:
    kept = []
    for image in range(raw[0].shape[0]):
        pool = [pair for pair in pairs if pair.image == image]
        claims: dict[int, list[tuple[float, int]]] = {}
        for number, target in enumerate(targets):
            if int(target[0]) != image or not pool:
                continue
            costs, ious = [], []
            for index, pair in enumerate(pool):
                logits = raw[pair.level][pair.image, pair.anchor, pair.row, pair.column].tolist()
                iou = naive_ious(naive_box(raw, pair), target_box(target))[0]
                cost = -3 * math.log(iou + 1e-8)
                for category, logit in enumerate(logits[5:]):
                    p = math.sqrt(s(logit) * s(logits[4]))
                    cost -= math.log(p) if category == int(target[1]) else math.log(1 - p)
                costs.append((cost, index))
                ious.append(iou)
            k = max(1, int(sum(sorted(ious, reverse=True)[:10])))
            for cost, index in sorted(costs)[:k]:
                claims.setdefault(index, []).append((cost, number))
        for index, claim in claims.items():
            pair = pool[index]
            kept.append(Pair(pair.image, pair.level, pair.anchor, pair.row, pair.column, min(claim)[1]))
    return kept


def cross_entropy(logit: float, wanted: float) -> float:
    return -(wanted * math.log(s(logit)) + (1 - wanted) * math.log(1 - s(logit)))


def naive_loss(raw: list[Tensor], targets: list[list[float]], *, ota: bool) -> tuple[float, float, float]:
    pairs = naive_candidates(targets)
    if ota:
        pairs = naive_ota(raw, targets, pairs)
    box = objectness = classification = 0.0
    for level in range(3):
        here = [pair for pair in pairs if pair.level == level]
        wanted: dict[tuple[int, int, int, int], float] = {}
        for pair in here:
            place = (pair.image, pair.anchor, pair.row, pair.column)
            ciou = naive_ious(naive_box(raw, pair), target_box(targets[pair.target]))[1]
            wanted[place] = max(wanted.get(place, 0.0), ciou)
            box += (1 - ciou) / len(here)
            logits = raw[level][place][5:].tolist()
            for category, logit in enumerate(logits):
                truth = float(category == int(targets[pair.target][1]))
                classification += cross_entropy(logit, truth) / len(logits) / len(here)
        logits_4 = raw[level][..., 4]
        total = sum(
            cross_entropy(float(logits_4[place]), wanted.get(place, 0.0))
            for place in [tuple(i) for i in torch.ones_like(logits_4).nonzero().tolist()]
        )
        objectness += BALANCE[level] * total / logits_4.numel()
    return 0.05 * box, 1.0 * objectness, 0.5 * classification


def example(seed: int, num_classes: int = 3, count: int = 12) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    raw = [
        torch.randn(3, 3, SIZE // stride, SIZE // stride, 5 + num_classes, generator=generator) for stride in STRIDES
    ]
    # Image 1 has no target; overlapping targets in the others compete; one lies on a border of cells, one in a corner.
    image = torch.randint(0, 2, (count, 1), generator=generator) * 2
    classes = torch.randint(0, num_classes, (count, 1), generator=generator)
    places = torch.rand(count, 2, generator=generator) * 0.3 + 0.3
    sizes = torch.rand(count, 2, generator=generator) * 0.4 + 0.05
    targets = torch.cat((image, classes, places, sizes), dim=1)
    targets[0, 2:] = torch.tensor([0.5, 0.5, 0.2, 0.3])
    targets[1, 2:] = torch.tensor([0.99, 0.01, 0.1, 0.1])
    return raw, targets


@pytest.mark.parametrize("ota", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loss_equals_the_naive_one(ota: bool, seed: int) -> None:
    raw, targets = example(seed)
    loss = DetectionLoss(ANCHORS, 3, strides=STRIDES, assignment=OtaAssignment() if ota else None)
    items = loss(raw, targets)
    wanted = naive_loss(raw, targets.tolist(), ota=ota)
    found = (items.box.item(), items.objectness.item(), items.classification.item())
    assert found == pytest.approx(wanted, rel=1e-4)
    assert items.total.item() == pytest.approx(3 * sum(wanted), rel=1e-4)


def test_ota_keeps_fewer_than_all_and_resolves_conflicts() -> None:
    raw, targets = example(0)
    pairs = naive_candidates(targets.tolist())
    kept = naive_ota(raw, targets.tolist(), pairs)
    assert 12 <= len(kept) < len(pairs)


@pytest.mark.parametrize("make", [plain_loss, ota_loss])
def test_images_without_targets_only_lower_objectness(make: type) -> None:
    network = build("yolov7-tiny", 2, width=0.125)
    items = make(network)(network(torch.rand(2, 3, 64, 64)), torch.zeros(0, 6))
    assert items.box == 0 and items.classification == 0 and items.objectness > 0
    items.total.backward()
    gradient = network.head.m[0].get_parameter("bias").grad
    assert gradient is not None
    gradient = gradient.view(3, 7)
    assert (gradient[:, 4] > 0).all() and (gradient[:, :4] == 0).all()


def test_a_target_that_fits_no_anchor_is_no_error() -> None:
    raw, _ = example(0)
    loss = DetectionLoss(ANCHORS, 3, strides=STRIDES, assignment=OtaAssignment())
    items = loss(raw, torch.tensor([[0, 0, 0.5, 0.5, 0.9, 0.001], [2, 1, 0.5, 0.5, 0.0, 0.0]]))
    assert items.box == 0 and torch.isfinite(items.total)


def test_a_single_class_has_no_class_term() -> None:
    raw, targets = example(3, num_classes=1)
    for level in raw:
        level.requires_grad_()
    items = DetectionLoss(ANCHORS, 1, strides=STRIDES, assignment=OtaAssignment())(raw, targets)
    items.total.backward()
    assert items.classification == 0
    assert all(level.grad is not None and (level.grad[..., 5] == 0).all() for level in raw)


def test_loss_runs_in_float32_under_autocast() -> None:
    raw, targets = example(4)
    loss = DetectionLoss(ANCHORS, 3, strides=STRIDES, assignment=OtaAssignment())
    rounded = [level.bfloat16() for level in raw]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        items = loss(rounded, targets)
    assert items.total.dtype == torch.float32
    assert items.total.item() == pytest.approx(loss([level.float() for level in rounded], targets).total.item())


def test_targets_may_come_in_any_order() -> None:
    raw, targets = example(5)
    loss = DetectionLoss(ANCHORS, 3, strides=STRIDES, assignment=OtaAssignment())
    assert loss(raw, targets.flip(0)).total.item() == pytest.approx(loss(raw, targets).total.item(), rel=1e-5)


def test_input_size_may_change_between_batches() -> None:
    network = build("yolov7-tiny", 1, width=0.125)
    loss, targets = ota_loss(network), torch.tensor([[0, 0, 0.5, 0.5, 0.3, 0.3]])
    for size in (64, 96, 64):
        assert torch.isfinite(loss(network(torch.rand(1, 3, size, 64)), targets).total)
    assert not loss.state_dict()


def test_gains_scale_with_the_task() -> None:
    assert LossGains().scaled(num_levels=3, num_classes=80, image_size=640) == LossGains()
    scaled = YOLOV7_GAINS.scaled(num_levels=4, num_classes=8, image_size=320)
    assert (scaled.box, scaled.objectness, scaled.classification) == pytest.approx(
        (0.05 * 0.75, 0.7 * 0.25 * 0.75, 0.3 * 0.1 * 0.75)
    )


def test_options_off_by_default_act_when_asked_for() -> None:
    raw, targets = example(6)
    plain = DetectionLoss(ANCHORS, 3, strides=STRIDES)(raw, targets)
    focal = DetectionLoss(ANCHORS, 3, strides=STRIDES, focal_gamma=1.5)(raw, targets)
    smooth = DetectionLoss(ANCHORS, 3, strides=STRIDES, label_smoothing=0.1)(raw, targets)
    assert focal.objectness < plain.objectness and focal.box == plain.box
    assert smooth.classification != plain.classification and smooth.objectness == plain.objectness


def test_ciou_of_equal_boxes_is_one_and_its_gradient_finite() -> None:
    boxes = torch.tensor([[10.0, 10, 4, 8], [5, 5, 2, 2]], requires_grad=True)
    value = complete_iou(boxes, torch.tensor([[10.0, 10, 4, 8], [50, 50, 2, 2]]))
    assert value[0].item() == pytest.approx(1, abs=1e-5)
    assert value[1] < 0
    (gradient,) = torch.autograd.grad(value.sum(), boxes)
    assert torch.isfinite(gradient).all()


def test_a_tiny_network_learns_two_images() -> None:
    torch.manual_seed(0)
    network = build("yolov7-tiny", 2, width=0.25)
    loss = ota_loss(network)
    images = torch.rand(2, 3, 64, 64)
    targets = torch.tensor([[0, 0, 0.3, 0.3, 0.3, 0.4], [0, 1, 0.7, 0.7, 0.4, 0.3], [1, 1, 0.5, 0.5, 0.6, 0.6]])
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(80):
        optimiser.zero_grad()
        loss(network(images), targets).total.backward()
        optimiser.step()
    with torch.no_grad():
        found = non_max_suppression(network.decode(network(images)), score_threshold=0.5)
    for number in range(2):
        wanted = targets[targets[:, 0] == number]
        assert set(found[number][:, 5].tolist()) == set(wanted[:, 1].tolist())
        # The best box of each class lies on its target; a second one beside it depends on how a processor rounds.
        for target in wanted:
            best = found[number][found[number][:, 5] == target[1]][:1, :4]
            assert float(box_iou(best, box_convert(target[None, 2:] * 64, "cxcywh", "xyxy"))) > 0.4


def test_candidate_search_lists_every_naive_candidate() -> None:
    _, targets = example(7)
    grid = lattice([(SIZE // stride,) * 2 for stride in STRIDES], ANCHORS, STRIDES)
    found = CandidateSearch().find(targets, grid)
    wanted = []
    starts = (0, *torch.tensor(grid.counts).cumsum(0).tolist())
    for pair in naive_candidates(targets.tolist()):
        cells = SIZE // STRIDES[pair.level]
        position = starts[pair.level] + (pair.anchor * cells + pair.row) * cells + pair.column
        wanted.append((pair.image, position, pair.target))
    pairs = zip(found.image.tolist(), found.position.tolist(), found.target.tolist(), strict=True)
    assert sorted(pairs) == sorted(wanted)
