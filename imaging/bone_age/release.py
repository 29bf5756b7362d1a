"""Finished folds to a release: one weight file, its manifest, and figures from hands that each network had not seen."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imaging.bone_age.conformal import LEVEL, conformal_factor, cross_fitted_cover
from imaging.bone_age.data import Hands, folds_of, read_hands
from imaging.bone_age.engine import INPUT_ID, BoneAgeEngine, network_key
from imaging.bone_age.ensemble import VIEWS, Ensemble, View
from imaging.bone_age.figures import table
from imaging.bone_age.likeness import REFUSE_BELOW, HandLikeness, fit, small_pictures
from imaging.bone_age.manifest import SCHEMA, WEIGHTS_NAME
from imaging.bone_age.network import BoneAgeNetwork
from imaging.bone_age.trainings import (
    Training,
    answers_of,
    check_together,
    finished_folds,
    network_of,
    training_in,
)
from imaging.manifest import MANIFEST_NAME
from imaging.training.errors import TrainingDataError
from imaging.yolov7.checkpoint import save_weights

NAME: Final = "bone-age-rsna"
VERSION: Final = "0.1.0"
STANDARD: Final = "Greulich and Pyle, as read by radiologists"
INTENDED_USE: Final = (
    "Investigational. Skeletal age from one frontal radiograph of the whole hand of a child under 19, beside a "
    "radiologist's own reading. Not for adults, other parts of the body, deformed or operated hands, or to tell "
    "chronological age in legal matters."
)
LIMITS: Final = (
    "Learned from hands of two hospitals in the United States, at 100 px: fine detail of the carpus was not visible.",
    "The truth is the radiologist's reading that came with each hand; it errs by months itself.",
    "Few infants and few hands near maturity: see the figures by age.",
    "Skeletal dysplasia, cast, hardware, oblique views and other populations were not measured.",
    "Each hand's error is that of the networks that had not seen it; where several folds ship, the mean of all their "
    "networks answers in use, which no hand could measure as a whole and which is expected to err no more.",
)
LICENCE: Final = (
    "RSNA 2017 Pediatric Bone Age Challenge; Halabi et al., Radiology 2019;290:498-503, "
    "doi 10.1148/radiol.2018180736; research use"
)
LIKENESS_HANDS: Final = 4200
"""At most so many hands say what a hand looks like: half fitted on, half counted against."""
HELD_BACK: Final = 200
"""Hands kept out of that, to measure how many are refused."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """The networks that had not seen a fold's hands, and what they answer for them together."""

    number: int
    networks: tuple[BoneAgeNetwork, ...]
    hands: Hands
    months: NDArray[np.float64]
    scales: NDArray[np.float64]
    months_without_sex: NDArray[np.float64]
    scales_without_sex: NDArray[np.float64]


def picture_digests(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """[n]: 63 bits of the SHA-256 of each picture [n, 112, 112], to tell hands learned from."""
    found = [int.from_bytes(hashlib.sha256(one.tobytes()).digest()[:8]) >> 1 for one in pictures]
    return np.array(found, dtype=np.int64)


def release(
    run_dir: Path,
    data: Path,
    weights_out: Path,
    *,
    beside: Sequence[Path] = (),
    views: Sequence[View] = VIEWS,
    command: str = "",
    report: Callable[[str], None] = print,
) -> Path:
    """Write the weights and the manifest of the folds that are finished; one is enough.

    Args:
        run_dir: folder with ``fold-N`` of `imaging.bone_age.training.train_folds`.
        beside: further trainings whose networks of the same folds answer together with those of `run_dir`. They had
            the same folds, or a whole part of as many: fold 4 of 9 lies within fold 1 of 3.
        views: ways in which each network is shown a picture.
        data: the hands they were trained on.
        weights_out: folder of the release, made when it is not there.
        command: how the release was made, for the manifest.
        report: receives progress lines.

    Returns:
        The folder of the release.

    Raises:
        TrainingDataError: no fold is finished, or the folds and the data do not belong together.
    """
    numbers = finished_folds(run_dir)
    if not numbers:
        raise TrainingDataError("no fold is finished in the training folder", "train first, or wait for the first fold")
    trainings = [training_in(folder, numbers if folder == run_dir else None) for folder in (run_dir, *beside)]
    config = trainings[0].config
    check_together(trainings)
    hands = read_hands(data, limit=config.limit)
    report(f"folds {', '.join(map(str, numbers))} of {config.folds}")
    folds = []
    for number in numbers:
        report(f"fold {number}: each hand not seen, by {len(trainings)} network(s) in {len(views)} views")
        folds.append(_fold(trainings, number, hands, views))
    likeness, refused = _likeness(hands)
    report(f"likeness: {refused['refused']} of {refused['n']} held-back hands refused")
    tensors: dict[str, Tensor] = {"learnt": torch.from_numpy(np.sort(picture_digests(hands.pictures)))}
    tensors |= {f"likeness.{name}": value for name, value in likeness.state().items()}
    for fold in folds:
        for member, network in enumerate(fold.networks):
            key = network_key(fold.number, member)
            tensors |= {f"{key}.{name}": value for name, value in network.state_dict().items()}
    weights_out.mkdir(parents=True, exist_ok=True)
    digest = save_weights(weights_out / WEIGHTS_NAME, tensors, {"schema": SCHEMA, "name": NAME})
    document = _document(folds, hands, trainings, views, digest, command, refused)
    _write(weights_out, document)
    drift = _drift(weights_out, folds, views)
    document["network"]["half_precision_drift_months"] = drift
    _write(weights_out, document)
    report(document["validation"])
    return weights_out


def _fold(trainings: Sequence[Training], number: int, hands: Hands, views: Sequence[View]) -> Fold:
    unseen = hands.take(folds_of(hands.ids, trainings[0].config.folds) == number)
    networks, told = [], []
    for training in trainings:
        part = number % training.config.folds
        networks.append(network_of(training, part, hands))
        told.append(answers_of(training, part, networks[-1], unseen, views))
    months, scales, months_without_sex, scales_without_sex = np.mean(told, axis=0)
    return Fold(
        number=number,
        networks=tuple(networks),
        hands=unseen,
        months=months,
        scales=scales,
        months_without_sex=months_without_sex,
        scales_without_sex=scales_without_sex,
    )


def _likeness(hands: Hands) -> tuple[HandLikeness, dict[str, Any]]:
    """The description of hands, and how many held-back hands it refuses."""
    order = np.random.default_rng(0).permutation(len(hands))[:LIKENESS_HANDS]
    small = small_pictures(hands.pictures[order])
    held = min(HELD_BACK, len(order) // 4)
    middle = held + (len(order) - held) // 2
    found = fit(small[held:middle], small[middle:])
    refused = int((found.score(small[:held]) < REFUSE_BELOW).sum())
    return found, {"refuse_below": REFUSE_BELOW, "n_described": middle - held, "n": held, "refused": refused}


def _document(
    folds: Sequence[Fold],
    hands: Hands,
    trainings: Sequence[Training],
    views: Sequence[View],
    digest: str,
    command: str,
    refused: Mapping[str, Any],
) -> dict[str, Any]:
    config = trainings[0].config
    months = np.concatenate([fold.hands.months for fold in folds])
    sex = np.concatenate([fold.hands.sex for fold in folds])
    known = _measured([fold.months for fold in folds], [fold.scales for fold in folds], months, sex)
    hidden = _measured(
        [fold.months_without_sex for fold in folds], [fold.scales_without_sex for fold in folds], months, sex
    )
    mae, cover = known["figures"]["mae_months"], known["figures"]["interval_coverage"]
    return {
        "schema": SCHEMA,
        "name": NAME,
        "version": VERSION,
        "weights": WEIGHTS_NAME,
        "sha256": digest,
        "network": {
            "graph": config.graph,
            "width": config.width,
            "zooms": [training.config.zoom for training in trainings],
            "views": [asdict(view) for view in views],
            "folds": [fold.number for fold in folds],
            "fold_count": config.folds,
            "answer": "mean over the networks, of each the mean over the views, weighed by inverse variance",
        },
        "preprocessing": INPUT_ID,
        "standard": STANDARD,
        "interval": {
            "level": LEVEL,
            "method": "split conformal on |truth - answer| / stated scale of unseen hands",
            "factor_with_sex": known["factor"],
            "factor_without_sex": hidden["factor"],
            "meaning": (
                f"90 % interval: of {cover['n']} hands that the network had not seen it held the radiologist's reading "
                f"in {100 * cover['value']:.1f} % (cross-fitted); it says nothing of the reading's own error."
            ),
        },
        "likeness": dict(refused),
        "cross_validation": {"with_sex": known["figures"], "without_sex": hidden["figures"]},
        "training": {
            "created": datetime.now(UTC).date().isoformat(),
            "command": command,
            "config": asdict(config),
            "start": trainings[0].start,
            "beside": [{"config": asdict(one.config), "start": one.start} for one in trainings[1:]],
            "torch": torch.__version__.split("+")[0],
            "data": {
                "n": len(hands),
                "n_measured": len(months),
                "n_left_out": len(hands.left_out),
                "sha256": hands.sha256,
                "licence": LICENCE,
            },
        },
        "intended_use": INTENDED_USE,
        "limits": list(LIMITS),
        "validation": (
            f"Mean absolute error {mae['value']:.1f} months ({mae['low']:.1f} to {mae['high']:.1f}) against the "
            f"radiologists' readings of {mae['n']} hands that the network had not seen (RSNA 2017, cross-validation, "
            f"{len(folds)} of {config.folds} folds)."
        ),
    }


def _measured(
    answers: Sequence[NDArray[np.float64]],
    scales: Sequence[NDArray[np.float64]],
    months: NDArray[np.float32],
    sex: NDArray[np.float32],
) -> dict[str, Any]:
    errors = np.abs(np.concatenate(answers) - months.astype(np.float64))
    stated = np.concatenate(scales)
    residuals = errors / stated
    factor = conformal_factor(residuals)
    figures = table(errors, cross_fitted_cover(residuals), months, sex)
    figures["median_half_width_months"] = round(float(np.median(stated) * factor), 2)
    return {"factor": round(factor, 6), "figures": figures}


def _drift(weights_out: Path, folds: Sequence[Fold], views: Sequence[View]) -> float:
    """Largest change of an answer, months, by storing the weights in half precision; on up to 100 hands."""
    engine = BoneAgeEngine.load(weights_out)
    pictures, sex = folds[0].hands.pictures[:100], folds[0].hands.sex[:100]
    exact = Ensemble([network for fold in folds for network in fold.networks], views)
    [(months, _)] = exact.answers(torch.from_numpy(pictures), [torch.from_numpy(sex)])
    return round(float(np.abs(engine.answers(pictures, sex).months - months.clamp(0, 240).double().numpy()).max()), 4)


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    partial = folder / f"{MANIFEST_NAME}.partial"
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST_NAME)
