"""A bone-age model's answers to hands of known skeletal age."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from cds.learning.model_kinds import ModelKind, identify, sha256_of_file
from cds.learning.provenance import Provenance
from cds.learning.scored import Answer, Scored

Report = Callable[[str], None]

MONTH_BANDS: Final = ((0, 60), (60, 120), (120, 168), (168, 241))
"""Of the true skeletal age; growth plates close in the last."""


def hands_digest(data: Path) -> str:
    """SHA-256 of each file of the set, by name."""
    files = [data] if data.is_file() else sorted(data.glob("*.parquet"))
    return json.dumps([(one.name, sha256_of_file(one)) for one in files])


def score_hands(folder: Path | None, data: Path, *, report: Report = lambda _: None) -> Scored:
    """A model on hands, each its own group; one that the plausibility check would refuse counts like any other.

    Args:
        folder: the weights; None for the shipped ones.
        data: Parquet files with id, months, male, jpeg.
        report: receives a line about each row that cannot be used.

    Raises:
        ImagingError: the weights or the data cannot be used.
    """
    from imaging.bone_age.data import read_hands
    from imaging.bone_age.engine import BoneAgeEngine
    from imaging.bone_age.release import picture_digests

    engine = BoneAgeEngine.load(folder)
    hands = read_hands(data)
    for line in hands.left_out:
        report(f"left out: {line}")
    told = engine.answers(hands.pictures, hands.sex)
    digests = digests_of(picture_digests(hands.pictures).tolist())
    answers = tuple(
        Answer(
            id=str(n),
            group=f"hand{n}",
            target=float(months),
            estimate=float(told.months[n]),
            inside=bool(told.low[n] <= months <= told.high[n]),
            subgroups={"sex": "male" if hands.sex[n] > 0 else "female", "months": _band(float(months))},
            digests=(digests[n],),
        )
        for n, months in enumerate(hands.months)
    )
    return Scored(model_id=engine.model_id, answers=answers, data_name=data.resolve().name)


def origin_of_hands(folder: Path) -> Provenance:
    """Where a bone-age folder comes from: its weights hold a digest of every picture that they learned from.

    Raises:
        ImagingError: the weights cannot be used.
    """
    from imaging.bone_age.engine import BoneAgeEngine

    engine = BoneAgeEngine.load(folder)
    return Provenance(
        kind=ModelKind.BONE_AGE.value,
        parent=None,
        why=f"{identify(ModelKind.BONE_AGE, folder)} was trained.",
        method=f"Trained by `cds train bone-age`, {engine.manifest.fold_count} folds.",
        data=({"name": "hands", "role": "new", "n": len(engine.learnt)},),
        digests=frozenset(digests_of(engine.learnt.tolist())),
    )


def digests_of(pictures: Iterable[int]) -> list[str]:
    """Digests of pictures as the weights keep them, as the gate compares them."""
    return [hashlib.sha256(f"hand:{one}".encode()).hexdigest() for one in pictures]


def _band(months: float) -> str:
    first, last = next((band for band in MONTH_BANDS if months < band[1]), MONTH_BANDS[-1])
    return f"{first}-{last - 1}"
