"""The boosted trees: what they read, which way each input may move the risk, how they are stored.

Two outcomes times two levels of information make four small boosters. When a femoral neck T-score is known the trees of
``with_density`` answer; when it is not, those of ``without_density``, which never saw one and so average over the bone
densities of people with the same risk factors. Every other input may be missing: trees send a missing value down the
branch that training found best for it, after a random part of all inputs was hidden while they learned.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from tabular.calibration import IntervalTable
from tabular.errors import ManifestError, WeightsDigestError, WeightsMissingError
from tabular.formula import HEADS, FloatArray, probability
from tabular.osteoporosis import BOOSTER_NAME as OSTEOPOROSIS_BOOSTER
from tabular.osteoporosis import FIGURES_NAME as OSTEOPOROSIS_FIGURES
from tabular.osteoporosis import OsteoporosisModel
from tabular.recalibration import MarginMap
from tabular.reference import REFERENCE_NAME, ReferencePopulation

MANIFEST_NAME = "manifest.json"
INTERVALS_NAME = "intervals.json"
MANIFEST_SCHEMA = "fracture-cds.risk-model/1"
DEFAULT_DIRECTORY = Path(__file__).resolve().parent / "weights"


class Level(StrEnum):
    """Whether bone density is known."""

    WITH_DENSITY = "with_density"
    """A femoral neck T-score was given."""
    WITHOUT_DENSITY = "without_density"
    """It was not."""


Boosters = Mapping[tuple[str, Level], xgb.Booster]
"""Trees by outcome and level of information."""

_SHARED = (
    "age_years",
    "female",
    "bmi_kg_m2",
    "prior_fragility_fracture",
    "parental_hip_fracture",
    "current_smoker",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "alcohol_3_or_more_units_per_day",
)
FEATURES: Mapping[Level, tuple[str, ...]] = {
    Level.WITH_DENSITY: (*_SHARED, "femoral_neck_t_score"),
    # A diagnosis of osteoporosis tells something about bone density, and nothing once that is measured.
    Level.WITHOUT_DENSITY: (*_SHARED, "osteoporosis_diagnosed"),
}
"""Feature order of each booster: fields of `RiskFeatures`."""
ALL_FEATURES: tuple[str, ...] = (*_SHARED, "femoral_neck_t_score", "osteoporosis_diagnosed")
"""Columns of the matrix that `RiskModel` reads."""

MONOTONE: Mapping[Level, Mapping[str, int]] = {
    level: {
        "age_years": 1,
        "female": 0,
        # Thin people break more because their bones are thinner: a falling effect only while density is not known.
        "bmi_kg_m2": -1 if level is Level.WITHOUT_DENSITY else 0,
        "prior_fragility_fracture": 1,
        "parental_hip_fracture": 1,
        "current_smoker": 1,
        "glucocorticoids": 1,
        "rheumatoid_arthritis": 1,
        "alcohol_3_or_more_units_per_day": 1,
        "femoral_neck_t_score": -1,
        "osteoporosis_diagnosed": 1,
    }
    for level in Level
}
"""Direction each feature may move the risk: 1 up, -1 down, 0 free. Sex is free: which sex is at higher risk depends on
age and bone density."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterSettings:
    """Size and speed of learning of one booster and of the guide it is taught by."""

    guide_rounds: int
    guide_depth: int
    guide_rate: float
    guide_shrinkage: float
    """L2 penalty on leaves, in people."""
    guide_smallest_leaf: float
    """Least curvature in a leaf, in people."""
    rounds: int
    depth: int
    rate: float
    smallest_leaf: float


SETTINGS: Mapping[Level, BoosterSettings] = {
    Level.WITH_DENSITY: BoosterSettings(
        guide_rounds=400,
        guide_depth=5,
        guide_rate=0.08,
        guide_shrinkage=3.0,
        guide_smallest_leaf=10.0,
        rounds=320,
        depth=5,
        rate=0.08,
        smallest_leaf=5.0,
    ),
    Level.WITHOUT_DENSITY: BoosterSettings(
        guide_rounds=200,
        guide_depth=4,
        guide_rate=0.05,
        guide_shrinkage=30.0,
        guide_smallest_leaf=120.0,
        rounds=250,
        depth=4,
        rate=0.08,
        smallest_leaf=20.0,
    ),
}
"""Settings of the shipped model, chosen by cross-fitting on official probabilities, never on fractures."""

THREADS = 1
"""More threads gain nothing at this size, and one makes the files bit-identical from run to run."""
_ROW_SHARE, _COLUMN_SHARE = 0.7, 0.9
_BINS = 4096
"""Cut points a feature. They are laid by weight, and rows at high risk weigh little: with few there would be none among
low T-scores."""
_FULL_CARE = 0.01
"""Probability from which the final booster weighs errors of the log-odds fully; below it, by a square root."""


def booster_name(head: str, level: Level) -> str:
    """File name of one booster."""
    return f"{head}.{level.value}.ubj"


def fit_booster(
    matrix: FloatArray,
    labels: FloatArray,
    weights: FloatArray,
    *,
    level: Level,
    settings: BoosterSettings,
    seed: int,
    correct: MarginMap | None = None,
) -> xgb.Booster:
    """Fit one booster in two steps: a free guide learns the mean, the final trees learn the guide, held to a direction.

    The guide's logistic loss with a probability as label is least where the prediction is the mean probability of
    people who look alike: with inputs hidden, it learns the average over what is hidden. Monotone constraints imposed
    on that loss directly slow boosting so much that the risk of hip fracture was off by 29 % instead of 12 % in the
    upper fifth; imposed on a squared error against the guide's log-odds they cost little.

    Args:
        matrix: Features in the order of `FEATURES`, shape (n, k), NaN where hidden or unknown.
        labels: Probabilities, shape (n,), 0..1.
        weights: Importance of the rows, shape (n,), scaled so that the mean of weight * p * (1 - p) is 1.
        level: Which features these are.
        settings: Size of the booster.
        seed: Seed of row and column sampling.
        correct: Correction of the guide's log-odds that the final trees are to learn; None for none.

    Returns:
        Trees whose prediction is the log-odds.
    """
    guide = _boost(
        xgb.DMatrix(matrix, labels, weight=weights, feature_names=list(FEATURES[level]), nthread=THREADS),
        rounds=settings.guide_rounds,
        base_score=float(np.average(labels, weights=weights)),
        seed=seed,
        objective="reg:logistic",
        max_depth=settings.guide_depth,
        eta=settings.guide_rate,
        reg_lambda=settings.guide_shrinkage,
        min_child_weight=settings.guide_smallest_leaf,
    )
    data = xgb.DMatrix(matrix, feature_names=list(FEATURES[level]), nthread=THREADS)
    guided = guide.predict(data, output_margin=True).astype(np.float64)
    wanted = guided if correct is None else correct(guided)
    data.set_label(wanted)
    data.set_weight(np.sqrt(np.minimum(1.0, probability(guided) / _FULL_CARE)))
    return _boost(
        data,
        rounds=settings.rounds,
        base_score=float(wanted.mean()),
        seed=seed + 1,
        objective="reg:squarederror",
        max_depth=settings.depth,
        eta=settings.rate,
        min_child_weight=settings.smallest_leaf,
        monotone_constraints=tuple(MONOTONE[level][name] for name in FEATURES[level]),
    )


def _boost(data: xgb.DMatrix, *, rounds: int, base_score: float, seed: int, **parameters: Any) -> xgb.Booster:
    shared = {
        "tree_method": "hist",
        "max_bin": _BINS,
        "subsample": _ROW_SHARE,
        "colsample_bytree": _COLUMN_SHARE,
        "nthread": THREADS,
        "base_score": base_score,
        "seed": seed,
    }
    return xgb.train(shared | parameters, data, rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskModel:
    """Four boosters, their intervals and their manifest; beside them what finds undiagnosed osteoporosis."""

    boosters: Boosters
    intervals: IntervalTable
    manifest: Mapping[str, Any]
    osteoporosis: OsteoporosisModel | None = None
    """None in folders written before version 1.1.0."""
    reference: ReferencePopulation | None = None
    """Risk by age and sex in the survey's population; None in folders written before version 1.1.0."""

    @property
    def model_id(self) -> str:
        """Name, version and the start of the digest over all files."""
        text = "".join(f"{name}:{digest};" for name, digest in sorted(self.manifest["files"].items()))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{self.manifest['name']}@{self.manifest['version']}+{digest[:8]}"

    def margins(self, matrix: FloatArray, head: str) -> FloatArray:
        """Log-odds of many people; see `margins_of`."""
        return margins_of(self.boosters, matrix, head)


def margins_of(boosters: Boosters, matrix: FloatArray, head: str) -> FloatArray:
    """Log-odds of many people, each from the booster of its own level.

    Args:
        boosters: By outcome and level.
        matrix: Columns of `ALL_FEATURES`, shape (n, 11), NaN where not known.
        head: One of `HEADS`.

    Returns:
        Shape (n,).
    """
    margins = np.empty(len(matrix), dtype=np.float64)
    measured = ~np.isnan(matrix[:, ALL_FEATURES.index("femoral_neck_t_score")])
    for level, rows in ((Level.WITH_DENSITY, measured), (Level.WITHOUT_DENSITY, ~measured)):
        if rows.any():
            data = as_dmatrix(matrix[rows], level)
            margins[rows] = boosters[head, level].predict(data, validate_features=False)
    return margins


def as_dmatrix(matrix: FloatArray, level: Level) -> xgb.DMatrix:
    """The columns one level reads, in its order; without names, which cost more time than one prediction."""
    columns = [ALL_FEATURES.index(name) for name in FEATURES[level]]
    return xgb.DMatrix(matrix[:, columns], nthread=THREADS)


def save_model(
    directory: Path,
    boosters: Boosters,
    intervals: IntervalTable,
    facts: Mapping[str, Any],
    *,
    osteoporosis: OsteoporosisModel,
    reference: ReferencePopulation,
) -> None:
    """Write boosters (UBJSON), intervals and the manifest with the digest of each file.

    Args:
        directory: Made if it is not there.
        boosters: By outcome and level.
        intervals: Widths by pattern of information.
        facts: Further entries of the manifest: version, training data, metrics ...
        osteoporosis: What finds undiagnosed osteoporosis.
        reference: Risk by age and sex in the survey's population.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = [INTERVALS_NAME, OSTEOPOROSIS_BOOSTER, OSTEOPOROSIS_FIGURES, REFERENCE_NAME]
    (directory / INTERVALS_NAME).write_text(_json(intervals.to_json()), encoding="utf-8")
    (directory / REFERENCE_NAME).write_text(_json(reference.to_json()), encoding="utf-8")
    osteoporosis.save(directory)
    for (head, level), booster in boosters.items():
        names.append(booster_name(head, level))
        booster.save_model(directory / names[-1])
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "features": {level.value: list(FEATURES[level]) for level in Level},
        "monotone_constraints": {level.value: [MONOTONE[level][name] for name in FEATURES[level]] for level in Level},
        "files": {name: sha256_of(directory / name) for name in sorted(names)},
        **facts,
    }
    (directory / MANIFEST_NAME).write_text(_json(manifest), encoding="utf-8")


def load_model(directory: Path) -> RiskModel:
    """Read a model and check every file against the manifest.

    Raises:
        WeightsMissingError: A file is not there.
        WeightsDigestError: A file is not the one that was released.
        ManifestError: The manifest is not readable, or of another schema or feature order; or a table lacks entries.
    """
    manifest = _read_manifest(directory)
    for name, digest in manifest["files"].items():
        if not (directory / name).is_file():
            raise WeightsMissingError(name)
        if sha256_of(directory / name) != digest:
            raise WeightsDigestError(name)
    boosters = {}
    for head in HEADS:
        for level in Level:
            booster = xgb.Booster({"nthread": 1})
            booster.load_model(directory / booster_name(head, level))
            boosters[head, level] = booster
    table = IntervalTable.from_json(_read_json(directory / INTERVALS_NAME))
    table.require(HEADS, [level.value for level in Level])
    named = manifest["files"]
    return RiskModel(
        boosters=boosters,
        intervals=table,
        manifest=manifest,
        osteoporosis=OsteoporosisModel.load(directory) if OSTEOPOROSIS_BOOSTER in named else None,
        reference=(
            ReferencePopulation.from_json(_read_json(directory / REFERENCE_NAME)) if REFERENCE_NAME in named else None
        ),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path.name} is not JSON") from error


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST_NAME
    if not path.is_file():
        raise WeightsMissingError(MANIFEST_NAME)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError("it is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != MANIFEST_SCHEMA:
        raise ManifestError(f"its schema is not {MANIFEST_SCHEMA}")
    if manifest.get("features") != {level.value: list(FEATURES[level]) for level in Level}:
        raise ManifestError("its features are not those of this release")
    expected = {INTERVALS_NAME, *(booster_name(head, level) for head in HEADS for level in Level)}
    since_1_1 = {OSTEOPOROSIS_BOOSTER, OSTEOPOROSIS_FIGURES, REFERENCE_NAME}
    if not isinstance(manifest.get("files"), dict) or set(manifest["files"]) not in (expected, expected | since_1_1):
        raise ManifestError("it does not name every model file")
    for key in ("name", "version", "validation", "interval_meaning"):
        if not isinstance(manifest.get(key), str):
            raise ManifestError(f"it lacks {key!r}")
    return manifest


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
