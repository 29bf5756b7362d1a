"""When a case gets a skeletal age, and chronological age beside it; imports no framework.

What a rule may make of it (growth plates, healing) belongs to `fusion`: the estimate is made before the assessment and
stands in `CaseResult.bone_age`, so that the assessor can be given it as one more argument.
"""

from dataclasses import replace
from datetime import date
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cds.case import CaseInput
from fhir_adapters.patient import PatientSnapshot, Sex
from imaging.bone_age.eligibility import ADULT_YEARS, reason_against
from imaging.bone_age.errors import BoneAgeNotInstalledError, NotReadAsHandError
from imaging.bone_age.standards import compare
from imaging.errors import ModelFilesError
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings, Measurement

NOT_INSTALLED: Final = "imaging.bone_age.not_installed"
MODEL_UNUSABLE: Final = "imaging.bone_age.model_unusable"
DAYS_A_MONTH: Final = 365.2425 / 12


class BoneAgeReader(Protocol):
    """Reads skeletal age; raises `NotReadAsHandError`, or `ModelFilesError` where its weights are at fault."""

    def estimate(self, pixels: NDArray[np.float32], female: bool | None) -> BoneAgeEstimate:
        """Skeletal age of a hand [H, W] in 0..1, bone bright."""


def read_bone_age(
    case: CaseInput,
    radiograph: Radiograph | None,
    findings: ImageFindings | None,
    patient: PatientSnapshot | None,
    reader: BoneAgeReader | None,
) -> tuple[BoneAgeEstimate | None, str | None]:
    """Skeletal age, or the dotted code of `imaging.warnings` that says why there is none.

    It is read where the radiograph is a child's hand by file or pixels and the record gives an age under 19, or where
    it was asked for and nothing speaks against it. It is extra: a model that is missing or damaged withholds nothing
    else of the case.

    Returns:
        (None, None) when there is no radiograph, or skeletal age was declined.
    """
    if radiograph is None or findings is None or case.bone_age is False:
        return None, None
    age_years = None if patient is None else patient.age_years
    reason = reason_against(findings, age_years=age_years, asked=case.bone_age is True)
    if reason is not None:
        return None, reason
    if reader is None:
        return None, NOT_INSTALLED
    female = _female(patient)
    try:
        estimate = reader.estimate(radiograph.pixels, female)
    except NotReadAsHandError as error:
        return None, error.code
    except BoneAgeNotInstalledError:
        return None, NOT_INSTALLED
    except ModelFilesError:
        return None, MODEL_UNUSABLE
    return _with_discrepancy(estimate, case, patient, female), None


def worth_saying(asked: bool | None, patient: PatientSnapshot | None) -> bool:
    """Whether a reader misses the skeletal age: it was asked for, or the person is under 19."""
    return asked is True or (patient is not None and patient.age_years is not None and patient.age_years < ADULT_YEARS)


def months_between(born: date, on: date) -> float:
    """Age in months of a mean calendar year's twelfth (30.44 days)."""
    return (on - born).days / DAYS_A_MONTH


def _female(patient: PatientSnapshot | None) -> bool | None:
    if patient is None or patient.sex not in (Sex.FEMALE, Sex.MALE):
        return None
    return patient.sex is Sex.FEMALE


def _with_discrepancy(
    estimate: BoneAgeEstimate, case: CaseInput, patient: PatientSnapshot | None, female: bool | None
) -> BoneAgeEstimate:
    """With chronological age beside it, where the record gives the whole birth date."""
    if patient is None or patient.birth_date is None:
        return estimate
    months = Measurement(value=estimate.months, low=estimate.low, high=estimate.high)
    age = months_between(patient.birth_date, case.as_of.date())
    return replace(estimate, discrepancy=compare(months, chronological_months=age, female=female))
