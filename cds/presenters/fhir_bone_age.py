"""Skeletal age as a FHIR Observation: LOINC 85151-9, with its interval and the difference to chronological age."""

from cds.presenters.bone_age_view import notes, verdict
from cds.presenters.fhir_devices import model_device
from cds.presenters.fhir_transaction import Transaction, own, studies
from fhir_adapters import builders
from fhir_adapters.r4_types import (
    LOINC,
    SNOMED_CT,
    Code,
    Component,
    Concept,
    JsonObject,
    Measured,
    MeasuredRange,
    ObservationCategory,
    ObservationStatus,
)
from imaging.results import AgeDiscrepancy

_BONE_AGE = Concept(text="XR Bone age", codes=(Code(system=LOINC, code="85151-9", display="XR Bone age"),))
_METHOD = Concept(text="Bone age method", codes=(Code(system=LOINC, code="85150-1", display="Bone age method"),))
_HAND = Concept(text="hand", codes=(Code(system=SNOMED_CT, code="85562004", display="Hand structure"),))
_MONTHS = {"unit": "months", "ucum": "mo"}


def add_bone_age(bundle: Transaction) -> tuple[JsonObject, ...]:
    """The Observation of a case's skeletal age; empty when there is none.

    Returns:
        The reference to it, for the report over the radiograph.
    """
    estimate = bundle.result.bone_age
    if estimate is None:
        return ()
    parts = [
        Component(
            code=own("bone-age-interval", "Skeletal age, 90 % interval"),
            value=MeasuredRange(low=estimate.low, high=estimate.high, **_MONTHS),
        ),
        Component(
            code=_METHOD, value=f"{estimate.standard}; imitated by software, sex {estimate.sex_used or 'not known'}"
        ),
    ]
    if estimate.discrepancy is not None:
        parts += _compared(estimate.discrepancy)
    resource = builders.observation(
        business_id=bundle.business_id("bone-age"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.IMAGING,
        code=_BONE_AGE,
        subject=bundle.subject,
        issued=bundle.created,
        value=Measured(value=estimate.months, **_MONTHS),
        device_reference=model_device(bundle, estimate.model_id),
        body_site=_HAND,
        method=estimate.model_id,
        components=tuple(parts),
        derived_from=studies(bundle.result),
        notes=(estimate.model_validation, *notes(estimate)),
    )
    return (bundle.add("bone-age", resource, "Skeletal age"),)


def _compared(one: AgeDiscrepancy) -> list[Component]:
    """Chronological age, the difference, and what it is in standard deviations."""
    parts = [
        Component(
            code=own("chronological-age", "Chronological age"),
            value=Measured(value=one.chronological_months, **_MONTHS),
        ),
        Component(
            code=own("bone-age-difference", "Skeletal minus chronological age"),
            value=Measured(value=one.difference_months, **_MONTHS),
        ),
        Component(code=own("bone-age-verdict", "Against the standards"), value=verdict(one)),
    ]
    if one.sd_score is not None:
        name = "bone-age-sd-score"
        text = "Difference in standard deviations"
        parts += [
            Component(code=own(name, text), value=Measured(value=one.sd_score.value, unit="SD", ucum="{SD}")),
            Component(
                code=own(f"{name}-interval", f"{text}, 90 % interval of the model's error"),
                value=MeasuredRange(low=one.sd_score.low, high=one.sd_score.high, unit="SD", ucum="{SD}"),
            ),
        ]
    return parts
