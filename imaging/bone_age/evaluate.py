"""Hands with known skeletal age to a table of figures, by the weights as they are used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging.bone_age.data import Hands, read_hands
from imaging.bone_age.engine import BoneAgeEngine, as_learned
from imaging.bone_age.errors import TooFewHandsError
from imaging.bone_age.figures import FEWEST, table
from imaging.bone_age.likeness import REFUSE_BELOW
from imaging.bone_age.release import picture_digests

BLOCK: Final = 512
"""Hands between two lines of progress."""
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})


def run(
    data: Path,
    *,
    model: Path | None = None,
    rounds: int = 1000,
    threads: int | None = None,
    limit: int | None = None,
    others: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure skeletal age on Parquet files of the columns ``id, months, male, jpeg``.

    A hand that the plausibility check would refuse in use counts like any other, so that refusing hard hands flatters
    nothing; ``refused`` says how many there are.

    Args:
        data: folder of the files, or one of them.
        model: folder of the weights; the shipped ones by default.
        rounds: bootstrap resamples, by hand.
        threads: CPU threads.
        limit: hands used of each file, evenly spread; None for all.
        others: folder of pictures that are no frontal hands, in the layout of FracAtlas or plain: how many of them the
            plausibility check refuses stands under ``others``.
        report: receives one line per row that could not be used, and progress.

    Returns:
        ``{"dataset", "n", "trained_on", "refused", "metrics": {"mae_months", "interval_coverage", "subgroups", ...}}``;
        every figure with ``value``, ``low``, ``high`` (95 % bootstrap interval) and ``n``. ``trained_on`` counts hands
        that the networks learned from: their figures flatter; ``unseen`` then holds those of the others, and
        ``cross_validation`` the manifest's.

    Raises:
        TrainingDataError: the data cannot be read, or holds fewer than two usable hands.
        ModelFilesError: the weights cannot be used.
    """
    engine = BoneAgeEngine.load(model, threads=threads)
    hands = read_hands(data, limit=limit)
    for line in hands.left_out:
        report(f"left out: {line}")
    if len(hands) < FEWEST:
        raise TooFewHandsError(len(hands))
    learnt = np.isin(picture_digests(hands.pictures), engine.learnt)
    metrics, likeness, rows = _measure(engine, hands, rounds, report)
    result: dict[str, Any] = {
        "dataset": data.resolve().name,
        "n": len(hands),
        "n_left_out": len(hands.left_out),
        "refused": int((likeness < REFUSE_BELOW).sum()),
        "model": engine.model_id,
        "interval": f"95 % percentile bootstrap over hands, {rounds} resamples; coverage is that of the 90 % intervals",
        "data_sha256": hands.sha256,
        "trained_on": int(learnt.sum()),
        "metrics": metrics,
    }
    if learnt.any():
        words = (
            f"{int(learnt.sum())} of {len(hands)} hands are those the networks learned from: the figures under metrics "
            "flatter them; the cross-validated ones are under cross_validation"
        )
        report(words)
        result |= {"note": words, "cross_validation": engine.manifest.document.get("cross_validation")}
        if (~learnt).sum() >= FEWEST:
            result["unseen"] = rows(~learnt)
    if others is not None:
        result["others"] = _refusals(engine, others)
    return result


def _refusals(engine: BoneAgeEngine, folder: Path) -> dict[str, Any]:
    """How many pictures of a folder are refused; with FracAtlas' ``dataset.csv``, by its hand flag as well."""
    table = folder / "dataset.csv"
    flags = pd.read_csv(table).set_index("image_id")["hand"].to_dict() if table.is_file() else {}
    groups: dict[str, list[bool]] = {}
    for path in sorted(one for one in folder.rglob("*") if one.suffix.lower() in PICTURES):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            continue
        picture = as_learned(np.asarray(grey, dtype=np.uint8))[None]
        refused = bool(engine.answers(picture, np.zeros(1, dtype=np.float32)).likeness[0] < REFUSE_BELOW)
        flag = flags.get(path.name)
        kind = "all" if flag is None else "hand_or_arm" if flag else "no_hand"
        groups.setdefault(kind, []).append(refused)
    return {kind: {"n": len(found), "refused": sum(found)} for kind, found in groups.items()}


def _measure(
    engine: BoneAgeEngine, hands: Hands, rounds: int, report: Callable[[str], None]
) -> tuple[dict[str, Any], NDArray[np.float64], Callable[[NDArray[np.bool_]], dict[str, Any]]]:
    """Figures of all hands, their likeness [n], and what gives the figures of some of them."""
    without = np.zeros_like(hands.sex)
    told, blind = [], []
    for start in range(0, len(hands), BLOCK):
        part = slice(start, start + BLOCK)
        known, unknown = engine.answers_for(hands.pictures[part], [hands.sex[part], without[part]])
        told.append(known)
        blind.append(unknown)
        report(f"{min(start + BLOCK, len(hands))} of {len(hands)} hands")
    truth = hands.months.astype(np.float64)
    errors, errors_blind = (np.abs(np.concatenate([one.months for one in some]) - truth) for some in (told, blind))
    inside, inside_blind = (
        (np.concatenate([one.low for one in some]) <= truth) & (truth <= np.concatenate([one.high for one in some]))
        for some in (told, blind)
    )

    def rows(mask: NDArray[np.bool_]) -> dict[str, Any]:
        def figures(error: NDArray[np.float64], cover: NDArray[np.bool_]) -> dict[str, Any]:
            return table(error[mask], cover[mask], hands.months[mask], hands.sex[mask], rounds=rounds)

        return {**figures(errors, inside), "without_sex": figures(errors_blind, inside_blind)}

    return rows(np.ones(len(hands), dtype=bool)), np.concatenate([one.likeness for one in told]), rows
