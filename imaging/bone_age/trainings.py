"""Finished trainings, as a release finds them: what was done, and the networks that had not seen a fold's hands."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imaging.bone_age.data import Hands, folds_of
from imaging.bone_age.ensemble import Ensemble, View
from imaging.bone_age.network import BoneAgeNetwork
from imaging.bone_age.training import (
    CONFIG_NAME,
    NETWORK_NAME,
    OUT_OF_FOLD,
    RUN_NAME,
    BoneAgeConfig,
    make_network,
)
from imaging.training.errors import TrainingDataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A folder of `imaging.bone_age.training.train_folds` and what was done there."""

    folder: Path
    config: BoneAgeConfig
    start: str
    """What its networks began with."""


def finished_folds(run_dir: Path) -> tuple[int, ...]:
    """Numbers of the folds of a run whose network and answers are there."""
    found = [
        int(path.parent.name.removeprefix("fold-"))
        for path in run_dir.glob(f"fold-*/{OUT_OF_FOLD}")
        if path.parent.name.removeprefix("fold-").isdigit() and (path.parent / NETWORK_NAME).is_file()
    ]
    return tuple(sorted(found))


def training_in(folder: Path, numbers: Sequence[int] | None) -> Training:
    """What was done in a folder; `numbers` of its folds are used, or all that are finished.

    Raises:
        TrainingDataError: it cannot be told, or its folds were trained differently.
    """
    numbers = finished_folds(folder) if numbers is None else numbers
    try:
        start = str(json.loads((folder / RUN_NAME).read_text(encoding="utf-8"))["start"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingDataError(f"the training folder's {RUN_NAME} cannot be read", "train again") from error
    found = []
    for number in numbers:
        try:
            given = json.loads((folder / f"fold-{number}" / CONFIG_NAME).read_text(encoding="utf-8"))
            found.append(BoneAgeConfig(**given))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingDataError(f"the configuration of fold {number} cannot be read", "train it again") from error
    if not found:
        raise TrainingDataError("no fold is finished in the training folder", "train first, or wait for the first fold")
    if any(one != found[0] for one in found):
        raise TrainingDataError("the folds were trained with different configurations", "train them again as one run")
    return Training(folder=folder, config=found[0], start=start)


def check_together(trainings: Sequence[Training]) -> None:
    """Networks answer together only where none has seen the hands that their error is counted on.

    Raises:
        TrainingDataError: one may have.
    """
    first = trainings[0].config
    for other in (one.config for one in trainings[1:]):
        alike = (other.limit, other.graph, other.width) == (first.limit, first.graph, first.width)
        if not alike or first.folds % other.folds:
            raise TrainingDataError(
                "the trainings had other hands, folds or networks and cannot answer together",
                "give trainings of the same data, limit, graph and width, whose folds divide those of the first",
            )


def network_of(training: Training, number: int, hands: Hands) -> BoneAgeNetwork:
    """A fold's network, if `hands` are those it was trained on.

    Raises:
        TrainingDataError: they are not, or its files cannot be read.
    """
    folder, config = training.folder / f"fold-{number}", training.config
    network = make_network(config, started=False)
    try:
        network.load_state_dict(torch.load(folder / NETWORK_NAME, map_location="cpu", weights_only=True))
        with np.load(folder / OUT_OF_FOLD, allow_pickle=False) as stored:
            ids = stored["ids"].astype(str)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingDataError(f"the files of fold {number} cannot be read", "train that fold again") from error
    if not np.array_equal(ids, hands.ids[folds_of(hands.ids, config.folds) == number].astype(str)):
        raise TrainingDataError(
            f"the hands of fold {number} are not those of this data", "give the data that the folds were trained on"
        )
    return network.eval().requires_grad_(False)


def answers_of(
    training: Training, number: int, network: BoneAgeNetwork, unseen: Hands, views: Sequence[View]
) -> NDArray[np.float64]:
    """Months and scales of hands that a fold's network has not seen, then the same without their sex: [4, n].

    Many views take minutes, so they are kept beside the network and used again for the same network, hands and views.
    """
    folder = training.folder / f"fold-{number}"
    identity = hashlib.sha256((folder / NETWORK_NAME).read_bytes())
    identity.update(json.dumps([[asdict(view) for view in views], unseen.ids.tolist(), unseen.sha256]).encode())
    path = folder / f"views-{identity.hexdigest()[:16]}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    sexes = (torch.from_numpy(unseen.sex), torch.zeros(len(unseen)))
    told = Ensemble([network], views).answers(torch.from_numpy(unseen.pictures), sexes)
    answers = np.stack([part.double().numpy() for one in told for part in one])
    partial = path.with_suffix(".partial.npy")
    np.save(partial, answers)
    partial.replace(path)
    return answers
