"""One entry for every kind of model: ``cds learn retrain``."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.errors import RetrainingError

Report = Callable[[str], None]


class Kind(StrEnum):
    """What can be retrained."""

    DETECTOR = "detector"
    FRACTURE_TYPE = "fracture-type"
    RISK = "risk"
    HEALING = "healing"


def retrain(
    kind: Kind,
    feedback: Sequence[Path],
    out: Path,
    *,
    replay: Path | None = None,
    parent: Path | None = None,
    config: RetrainConfig | None = None,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Make a candidate of one kind; what each kind takes stands in its own module.

    Args:
        kind: of the model.
        feedback: folders of ``cds feedback export``; for `Kind.RISK` see `cds.learning.retraining.risk`.
        out: folder of the candidate.
        replay: the old data; only healing times can do without.
        parent: folder of the current model; None for the shipped one.
        config: settings.
        resume: go on with an unfinished retraining of the detector; the others take minutes and begin anew.
        report: receives one line per stage and per row that is left out.

    Returns:
        `out`.

    Raises:
        RetrainingError: the feedback, the settings or what lies in `out` cannot be used.
    """
    if not feedback:
        raise RetrainingError("no feedback was given", "name at least one folder of cds feedback export")
    if resume and kind is not Kind.DETECTOR:
        raise RetrainingError(f"a retraining of {kind.value} cannot be resumed", "begin it anew in a new folder")
    if kind is Kind.HEALING:
        from cds.learning.retraining.healing import retrain_healing

        return retrain_healing(feedback, replay, out, parent=parent, config=config, report=report)
    if replay is None:
        raise RetrainingError(
            f"a retraining of {kind.value} needs the old data, or what it knows is forgotten",
            "name them with --replay",
        )
    if kind is Kind.DETECTOR:
        from cds.learning.retraining.detector import retrain_detector

        return retrain_detector(feedback, replay, out, parent=parent, config=config, resume=resume, report=report)
    if kind is Kind.FRACTURE_TYPE:
        from cds.learning.retraining.fracture_type import retrain_fracture_type

        return retrain_fracture_type(feedback, replay, out, parent=parent, config=config, report=report)
    from cds.learning.retraining.risk import retrain_risk

    retrain_risk(feedback, replay, out, parent=parent, config=config, report=report)
    return out
