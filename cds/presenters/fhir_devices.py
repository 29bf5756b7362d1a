"""What made the answer, as FHIR: a Device for the engine and one for each model, and the Provenance over all.

The engine's Device names every version that decided the answer. A model has a Device of its own, found by the model's
identifier, so that a server can list everything that one version of one model ever said.
"""

from dataclasses import dataclass, fields
from uuid import NAMESPACE_URL, uuid5

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.fhir_transaction import Transaction, studies
from fhir_adapters import builders
from fhir_adapters.patient import PatientSnapshot, Sourced
from fhir_adapters.r4_types import JsonObject, identifier, logical_reference, reference

DEVICE_SYSTEM = "urn:fracture-cds:device"
IMAGE_SYSTEM = "urn:fracture-cds:image-sha256"
MODEL_SYSTEM = "urn:fracture-cds:model"
EVIDENCE_SYSTEM = "urn:fracture-cds:evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A model that had a part in the case."""

    role: str
    model_id: str
    validation: str


def _models(result: CaseResult) -> tuple[_Model, ...]:
    found: list[_Model] = []
    findings, estimate, risk = result.findings, result.bone_age, result.risk
    if findings is not None:
        found.append(_Model(role="radiograph model", model_id=findings.model_id, validation=findings.model_validation))
        if findings.attributes is not None:
            found.append(_Model(role="attribute model", model_id=findings.attributes.model_id, validation=""))
    if estimate is not None:
        found.append(
            _Model(role="skeletal-age model", model_id=estimate.model_id, validation=estimate.model_validation)
        )
    if risk is not None:
        found.append(_Model(role="risk model", model_id=risk.model_id, validation=risk.model_validation))
    healing = result.assessment.healing
    if healing is not None and healing.learned is not None and healing.learned.weight > 0:
        found.append(_Model(role="healing model", model_id=healing.learned.model_id, validation=""))
    return tuple({one.model_id: one for one in found}.values())


def _versions(result: CaseResult) -> dict[str, str]:
    """Everything that decided the answer, by name."""
    return {
        "engine": result.engine_version,
        "evidence base": result.assessment.evidence_version,
        **{one.role: one.model_id for one in _models(result)},
    }


def model_device(bundle: Transaction, model_id: str) -> JsonObject:
    """The reference to a model's Device."""
    return bundle.address(f"device-{model_id}", "Device") | {"display": model_id}


def add_devices(bundle: Transaction) -> None:
    """The engine first, then its models."""
    versions = _versions(bundle.result)
    same_software = uuid5(NAMESPACE_URL, "|".join(f"{name}={version}" for name, version in versions.items()))
    bundle.add(
        "device",
        builders.device(
            business_id=identifier(DEVICE_SYSTEM, str(same_software)),
            name="fracture-cds",
            kind="Clinical decision support software",
            versions=versions,
            note=wording.NOTICE,
        ),
    )
    for one in _models(bundle.result):
        name, _, version = one.model_id.partition("@")
        bundle.add(
            f"device-{one.model_id}",
            builders.device(
                business_id=identifier(MODEL_SYSTEM, one.model_id),
                name=name,
                kind=f"{wording.capitalised(one.role)} of fracture-cds",
                versions={one.role: version or one.model_id},
                note=f"{one.validation} {wording.NOTICE}".strip(),
            ),
        )


def _record_sources(patient: PatientSnapshot) -> tuple[JsonObject, ...]:
    """References to the resources whose values the record gave, each once."""
    values = [getattr(patient, field.name) for field in fields(patient)]
    sourced = [value for value in values if isinstance(value, Sourced)]
    listed = [one for value in sourced for one in (value.resource, *value.derived_from)]
    listed += [fracture.resource for fracture in patient.prior_fractures]
    listed += [condition.resource for condition in patient.conditions]
    listed += [medication.resource for medication in patient.medications]
    return tuple(reference(one) for one in dict.fromkeys(listed))


def _sources(result: CaseResult) -> tuple[JsonObject, ...]:
    """The image and its study, the resources of the record that were read, and the rules."""
    found: list[JsonObject] = []
    if result.findings is not None:
        found.append(
            logical_reference(
                "Media", system=IMAGE_SYSTEM, value=result.findings.image_sha256, display="Radiograph file, SHA-256"
            )
        )
    found.extend(studies(result))
    if result.patient is not None:
        found.append(reference(f"Patient/{result.patient.patient_id}"))
        found.extend(_record_sources(result.patient))
    found.append(
        logical_reference(
            "Library", system=EVIDENCE_SYSTEM, value=result.assessment.evidence_version, display="Evidence base"
        )
    )
    return tuple(found)


def add_provenance(bundle: Transaction) -> None:
    """One Provenance over everything but the Devices; nothing when nothing was made."""
    made = [
        reference(address, kind)
        for address, resource in bundle.entries.items()
        if (kind := str(resource["resourceType"])) != "Device"
    ]
    if not made:
        return
    models = tuple(
        model_device(bundle, one.model_id) | {"display": f"{wording.capitalised(one.role)} {one.model_id}"}
        for one in _models(bundle.result)
    )
    engine = bundle.device | {"display": f"fracture-cds {bundle.result.engine_version}"}
    bundle.add(
        "provenance",
        builders.provenance(
            targets=made,
            recorded=bundle.created,
            agent=engine,
            models=models,
            sources=_sources(bundle.result),
            activity="Assessed by decision-support software; not verified by a person.",
        ),
    )
