"""`BoneAgeEngine`: one radiograph of a hand in, `BoneAgeEstimate` out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imaging.bone_age.ensemble import Ensemble
from imaging.bone_age.errors import NotReadAsHandError
from imaging.bone_age.likeness import REFUSE_BELOW, HandLikeness, small_pictures
from imaging.bone_age.manifest import BoneAgeManifest, read_manifest
from imaging.bone_age.network import BoneAgeNetwork
from imaging.bone_age.preprocess import CANVAS_ID, canvas
from imaging.errors import ModelFilesError
from imaging.results import BoneAgeEstimate
from imaging.yolov7.checkpoint import CheckpointError, StateDict, load_weights

LEARNED_SIDE_PX: Final = 100
"""Long side of the pictures learned from: a sharper one is averaged down to it first, or it would look unlike them."""
INPUT_ID: Final = f"long-side-{LEARNED_SIDE_PX}-{CANVAS_ID}"
"""How grey values reach the networks; named in the manifest."""
MAX_MONTHS: Final = 240.0
"""Intervals end here: nothing older was learned from."""

FEW_INFANTS: Final = "imaging.bone_age.few_infants"
NEAR_MATURITY: Final = "imaging.bone_age.near_maturity"
SEX_UNKNOWN: Final = "imaging.bone_age.sex_unknown"
INFANT_MONTHS: Final = 24.0
MATURE_MONTHS: Final = {True: 180.0, False: 204.0, None: 180.0}
"""Female, male, not known: near these ages the last growth plates of the hand close, and skeletal age says less."""
_LIKENESS: Final = "likeness"
_LEARNT: Final = "learnt"
_LIKENESS_BATCH: Final = 64
"""Pictures a pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What the networks say of several hands."""

    months: NDArray[np.float64]
    """[n]"""
    half_widths: NDArray[np.float64]
    """[n]: half the 90 % interval, months."""
    likeness: NDArray[np.float64]
    """[n], 0..1: small means strange."""

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower ends of the intervals, months."""
        return np.clip(self.months - self.half_widths, 0.0, MAX_MONTHS)

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper ends of the intervals, months."""
        return np.clip(self.months + self.half_widths, 0.0, MAX_MONTHS)


def as_learned(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A radiograph [H, W], 8-bit, bone bright, as the networks see it: [112, 112], as sharp as those learned from."""
    side = max(grey.shape)
    if side > LEARNED_SIDE_PX:
        height, width = (max(1, round(one * LEARNED_SIDE_PX / side)) for one in grey.shape)
        grey = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return canvas(grey)


class BoneAgeEngine:
    """Reads skeletal age: the mean over the networks, each shown the picture in the manifest's views (`Ensemble`).

    Args:
        manifest: what the weights are.
        networks: of all folds.
        likeness: tells hands from other pictures.
        learnt: sorted digests of the pictures learned from (`imaging.bone_age.release.picture_digests`).
    """

    def __init__(
        self,
        manifest: BoneAgeManifest,
        networks: Sequence[BoneAgeNetwork],
        likeness: HandLikeness,
        learnt: NDArray[np.int64],
    ) -> None:
        self.manifest = manifest
        self.learnt = learnt
        self._networks = Ensemble([network.requires_grad_(False) for network in networks], manifest.views)
        self._likeness = likeness

    @classmethod
    def load(cls, directory: Path | None = None, *, threads: int | None = None) -> Self:
        """Load the weights of a folder; the shipped ones by default.

        Args:
            directory: folder with ``manifest.json`` and the weight file it names.
            threads: CPU threads of torch, for the whole process; None leaves them.

        Raises:
            BoneAgeNotInstalledError: there are no weights.
            ModelFilesError: the files are damaged or do not fit each other or this version.
        """
        manifest = read_manifest(directory)
        if manifest.preprocessing != INPUT_ID:
            raise ModelFilesError(
                f"The bone-age weights need preprocessing {manifest.preprocessing!r}; this is {INPUT_ID!r}."
            )
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            tensors, _ = load_weights(manifest.weights, sha256=manifest.sha256)
            networks = [
                _network(tensors, network_key(number, member), zoom, manifest)
                for number in manifest.folds
                for member, zoom in enumerate(manifest.zooms)
            ]
            likeness = HandLikeness.of_state(_part(tensors, _LIKENESS))
            learnt = tensors[_LEARNT].numpy().astype(np.int64)
        except (CheckpointError, OSError, RuntimeError, KeyError, ValueError) as error:
            raise ModelFilesError(f"The bone-age weights cannot be used: {str(error)[:300]}.") from error
        return cls(manifest, networks, likeness, learnt)

    @property
    def model_id(self) -> str:
        """Name, version and digest prefix of the weights."""
        return self.manifest.model_id

    def answers(self, pictures: NDArray[np.uint8], sex: NDArray[np.float32]) -> Answers:
        """Skeletal ages of pictures as `as_learned` gives them; nothing is refused here.

        Args:
            pictures: [n, 112, 112].
            sex: [n]: 1 male, -1 female, 0 not known.
        """
        return self.answers_for(pictures, [sex])[0]

    def answers_for(self, pictures: NDArray[np.uint8], sexes: Sequence[NDArray[np.float32]]) -> list[Answers]:
        """`answers` of the same pictures for each given sex; what costs time, the look at them, is done once."""
        told = self._networks.answers(torch.from_numpy(pictures), [torch.from_numpy(sex) for sex in sexes])
        likeness = _joined(
            [
                self._likeness.score(small_pictures(pictures[start : start + _LIKENESS_BATCH]))
                for start in range(0, len(pictures), _LIKENESS_BATCH)
            ]
        )
        return [
            Answers(
                months=np.clip(months.double().numpy(), 0.0, MAX_MONTHS),
                half_widths=scales.double().numpy()
                * np.where(sex == 0, self.manifest.factor_without_sex, self.manifest.factor_with_sex),
                likeness=likeness,
            )
            for (months, scales), sex in zip(told, sexes, strict=True)
        ]

    def estimate(self, pixels: NDArray[np.float32], female: bool | None) -> BoneAgeEstimate:
        """Skeletal age of one hand.

        Args:
            pixels: [H, W] in 0..1, bone bright.
            female: sex; None when not known: the interval is then wider.

        Raises:
            NotReadAsHandError: the picture looks unlike nearly all hands learned from.
        """
        grey = np.clip(pixels * 255.0 + 0.5, 0, 255).astype(np.uint8)
        code = 0.0 if female is None else -1.0 if female else 1.0
        answers = self.answers(as_learned(grey)[None], np.array([code], dtype=np.float32))
        likeness = float(answers.likeness[0])
        if likeness < REFUSE_BELOW:
            raise NotReadAsHandError
        months = float(answers.months[0])
        return BoneAgeEstimate(
            months=months,
            low=float(answers.low[0]),
            high=float(answers.high[0]),
            sex_used=None if female is None else "female" if female else "male",
            standard=self.manifest.standard,
            model_id=self.model_id,
            model_validation=self.manifest.validation,
            interval_meaning=self.manifest.interval_meaning,
            likeness=likeness,
            warnings=_warnings(months, female),
        )


def _warnings(months: float, female: bool | None) -> tuple[str, ...]:
    found = (
        (SEX_UNKNOWN, female is None),
        (FEW_INFANTS, months < INFANT_MONTHS),
        (NEAR_MATURITY, months >= MATURE_MONTHS[female]),
    )
    return tuple(code for code, holds in found if holds)


def _joined(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    return torch.cat(list(parts)).double().numpy() if parts else np.zeros(0)


def _part(tensors: StateDict, name: str) -> StateDict:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def network_key(fold: int, member: int) -> str:
    """Under which name the weight file holds a fold's network number `member`, counted from 0."""
    return f"fold{fold}-{member}" if member else f"fold{fold}"


def _network(tensors: StateDict, key: str, zoom: float, manifest: BoneAgeManifest) -> BoneAgeNetwork:
    network = BoneAgeNetwork(manifest.graph, width=manifest.width, zoom=zoom)
    network.load_state_dict(_part(tensors, key))
    return network
