"""The learner and the rules for a kind of model."""

from dataclasses import dataclass, replace
from pathlib import Path

from cds.learning.federated.learners.base import Learner, Rules
from cds.learning.federated.settings import FederationSettings, ModelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalData:
    """Where a hospital's data are."""

    data: Path
    """CSV file or folder (risk), or folder of radiographs (detector)."""
    split_list: Path | None = None
    """Detector: a list of ``cds data split``; None takes all of the folder."""
    part: str = "train"
    """Detector: which part of the split list."""
    start_from: Path | None = None
    """Detector: folder of the release that is the base of the network, where the server says that one is."""
    keep: Path | None = None
    """Folder for what stays in the hospital between rounds, such as its own batch norms."""


def make_learner(settings: FederationSettings, where: HospitalData) -> Learner:
    """A hospital's learner with its data.

    Raises:
        FederationError: settings or data cannot be used.
    """
    if settings.kind is ModelKind.DETECTOR:
        from cds.learning.federated.learners.detector import make_detector_learner

        return make_detector_learner(
            settings,
            where.data,
            split_list=where.split_list,
            part=where.part,
            keep=where.keep,
            start_from=where.start_from,
        )
    from cds.learning.federated.learners.linear import LinearLearner, outcome_of
    from cds.learning.federated.learners.rows import read_rows

    outcome = outcome_of(settings)
    rows = read_rows(where.data, outcome)
    if settings.kind is ModelKind.RISK_LINEAR:
        return LinearLearner(rows, outcome)
    from cds.learning.federated.learners.trees import TreeLearner

    return TreeLearner(rows, outcome, settings.learning)


def make_rules(settings: FederationSettings, *, start_from: Path | None = None) -> Rules:
    """The server's rules, checked against the settings.

    Args:
        settings: of the federation.
        start_from: detector: folder of a release whose weights the federation goes on from.

    Raises:
        FederationError: the settings do not fit the kind of model.
    """
    if settings.kind is ModelKind.DETECTOR:
        from cds.learning.federated.learners.detector import detector_rules

        return detector_rules(settings, start_from=start_from)
    if settings.kind is ModelKind.RISK_LINEAR:
        from cds.learning.federated.learners import linear

        return linear.rules(settings)
    from cds.learning.federated.learners.trees import TreeRules

    return TreeRules(settings)


def complete(settings: FederationSettings, *, start_from: Path | None = None) -> FederationSettings:
    """Settings as the hospitals receive them: for a detector with the digest of what does not travel."""
    if settings.kind is not ModelKind.DETECTOR:
        return settings
    from cds.learning.federated.learners.detector import with_base_digest

    return replace(settings, learning=with_base_digest(settings, start_from=start_from))
