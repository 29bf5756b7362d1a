"""Engines that say which step they are at, and stop when they are told to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cds.bone_age import BoneAgeReader
from cds.pipeline import Engines
from fhir_adapters.patient import PatientSnapshot
from fusion.results import Assessment
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.features import RiskFeatures
from tabular.results import RiskEstimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Step(StrEnum):
    """What is being done; the order of a case."""

    READ_IMAGE = "read_image"
    FIND_FRACTURES = "find_fractures"
    EXPLAIN = "explain"
    READ_RECORD = "read_record"
    ESTIMATE_RISK = "estimate_risk"
    BONE_AGE = "bone_age"
    ASSESS = "assess"
    KEEP = "keep"

    @property
    def progress(self) -> float:
        """How far the case is when the step begins, 0..1: the share of the steps before it."""
        steps = tuple(Step)
        return steps.index(self) / len(steps)


Tell = Callable[[Step], None]
"""Called when a step begins; may raise to stop the case."""


def stepping(engines: Engines, tell: Tell) -> Engines:
    """The same engines, which tell before each step.

    Args:
        engines: do the work.
        tell: hears of each step.
    """
    parts = _Stepping(engines, tell)
    return replace(
        engines,
        read_image=parts.read_image,
        image=parts,
        read_record=parts.read_record,
        risk=parts,
        fusion=parts,
        explain=None if engines.explain is None else parts,
        bone_age=None if engines.bone_age is None else _SteppingBoneAge(engines.bone_age, tell),
    )


class _Stepping:
    def __init__(self, engines: Engines, tell: Tell) -> None:
        self._engines = engines
        self._tell = tell

    def read_image(self, source: bytes, *, frame: int = 1) -> Radiograph:
        self._tell(Step.READ_IMAGE)
        return self._engines.read_image(source, frame=frame)

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        self._tell(Step.FIND_FRACTURES)
        return self._engines.image.analyse(radiograph)

    def explain_findings(self, radiograph: Radiograph, findings: ImageFindings) -> tuple[Explanation, ...]:
        self._tell(Step.EXPLAIN)
        explain = self._engines.explain
        return () if explain is None else explain.explain_findings(radiograph, findings)

    def read_record(self, data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
        self._tell(Step.READ_RECORD)
        return self._engines.read_record(data, as_of=as_of, patient_id=patient_id)

    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        self._tell(Step.ESTIMATE_RISK)
        return self._engines.risk.estimate(features)

    def assess(self, **known: Any) -> Assessment:
        self._tell(Step.ASSESS)
        return self._engines.fusion.assess(**known)


class _SteppingBoneAge:
    def __init__(self, reader: BoneAgeReader, tell: Tell) -> None:
        self._reader = reader
        self._tell = tell

    def estimate(self, pixels: "NDArray[np.float32]", female: bool | None) -> BoneAgeEstimate:
        self._tell(Step.BONE_AGE)
        return self._reader.estimate(pixels, female)
