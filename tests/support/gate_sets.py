"""Drawn locked sets for the gate: two models whose scores share most of their noise, one of them as bad as wanted."""

from dataclasses import replace

import numpy as np

from cds.learning.gate import HIGH_SENSITIVITY, HIGH_SPECIFICITY, Answer, Scored

SHIFT = 2.2
"""Distance of the scores of fractures from those of intact limbs, in standard deviations: an area of .94."""
PREVALENCE = 0.25
SENSITIVE, SPECIFIC = 0.05, 0.5
"""Thresholds of the probability."""


def drawn_pair(
    seed: int,
    *,
    n: int = 1200,
    worse_by: float = 0.0,
    own_noise: float = 0.15,
    boxes: bool = False,
    columns: bool = True,
) -> tuple[Scored, Scored]:
    """A current model and a candidate on one set.

    Args:
        seed: of everything.
        n: images, two of each limb.
        worse_by: share of the fractures of which the candidate sees no more than of intact limbs.
        own_noise: share of a score's variance that each model has for itself.
        boxes: whether boxes are drawn too.
        columns: whether there are subgroups.
    """
    rng = np.random.default_rng(seed)
    positive = np.repeat(rng.random(n // 2) < PREVALENCE, 2)
    shared = np.repeat(rng.normal(size=n // 2), 2) * np.sqrt(0.3) + rng.normal(size=n) * np.sqrt(0.7)
    blind = positive & (rng.random(n) < worse_by)
    models = []
    for name, seen in (("current@1+00000000", positive), ("candidate@2+11111111", positive & ~blind)):
        noise = np.sqrt(1 - own_noise) * shared + np.sqrt(own_noise) * rng.normal(size=n)
        z = noise + SHIFT * seen
        odds = SHIFT * z - SHIFT**2 / 2 + np.log(PREVALENCE / (1 - PREVALENCE))
        probability = 1 / (1 + np.exp(-odds))
        answers = tuple(
            Answer(
                id=f"image{place}",
                group=f"limb{place // 2}",
                positive=bool(positive[place]),
                score=float(probability[place]),
                probability=float(probability[place]),
                subgroups={"region": ("hand", "leg", "hip")[place % 3]} if columns else {},
                digests=(f"{place:064x}",),
            )
            for place in range(n)
        )
        if boxes:
            answers = tuple(_with_box(one, rng) for one in answers)
        thresholds = {HIGH_SENSITIVITY: SENSITIVE, HIGH_SPECIFICITY: SPECIFIC}
        models.append(
            Scored(model_id=name, answers=answers, thresholds=thresholds, data_sha256="a" * 64, data_name="drawn")
        )
    return models[0], models[1]


def _with_box(answer: Answer, rng: np.random.Generator) -> Answer:
    truth = np.array([[10.0, 10.0, 30.0, 30.0]]) if answer.positive else np.zeros((0, 4))
    place = np.array([[10.0, 10.0, 30.0, 30.0]]) + rng.normal(scale=2.0, size=4)
    return replace(answer, truth=truth, boxes_known=True, boxes=place, box_scores=np.array([answer.score]))
