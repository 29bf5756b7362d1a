"""The draft orders of a call: which are new, which are drugs of a class that matters, which radiographs of a limb.

A radiograph of a limb is known by code, never by its name: a procedure of a known limb (SNOMED CT, CPT), or projection
radiography together with a coded body site of a limb.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_adapters.client.radiographs import LIMB_SITES
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.courses import dosages
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text, codings

CPT = "http://www.ama-assn.org/go/cpt"
LIMB_PROCEDURES: Mapping[str, str] = {
    "1225002": "upper arm",
    "60027007": "wrist",
    "168594001": "clavicle",
    "19490002": "ankle",
    "268425006": "pelvis",
}
"""SNOMED CT radiographs by the part they show; those of sites without a code here need a coded body site."""
PLAIN_RADIOGRAPHY = frozenset({"168537006", "363680008"})
"""SNOMED CT: plain radiography, radiographic imaging procedure."""
_MODALITIES = frozenset({"CR", "DX", "RG"})
"""DICOM modalities of projection radiography."""
_CPT_RANGES = ((73000, 73140), (73501, 73660))
"""Radiography of the upper and of the lower extremities in Current Procedural Terminology."""
_IDLE = frozenset({"entered-in-error", "revoked", "cancelled", "completed", "stopped", "ended"})
_PELVIS = "12921003"
_LOCAL = "fracture-cds-order-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOrder:
    """One order that is not signed yet."""

    reference: str | None
    """``MedicationRequest/12``; None when it has no id, and then nothing can be suggested about it."""
    resource: JsonObject = field(repr=False)

    @property
    def text(self) -> str | None:
        """What the client calls it: text of the record, to be escaped wherever it is shown."""
        for name in ("medicationCodeableConcept", "code"):
            concept = as_object(self.resource.get(name))
            if (found := as_text(concept.get("text"))) is not None:
                return found
            for coding in as_list(concept.get("coding")):
                if (found := as_text(as_object(coding).get("display"))) is not None:
                    return found
        return None


def draft_orders(
    bundle: Mapping[str, Any], *, patient_id: str, selections: Collection[str] | None = None
) -> tuple[DraftOrder, ...]:
    """The drug and service orders of a session that somebody means for this patient.

    Args:
        bundle: ``context.draftOrders``.
        patient_id: ``context.patientId``; an order that names another patient is left out.
        selections: ``context.selections``: only these count; None for all.
    """
    wanted = None if selections is None else {one.rpartition("/")[2] for one in selections}
    found = []
    for item in as_list(bundle.get("entry")):
        resource = as_object(as_object(item).get("resource"))
        kind, logical_id = as_text(resource.get("resourceType")), as_text(resource.get("id"))
        if kind not in {"MedicationRequest", "ServiceRequest"} or not _meant(resource, patient_id):
            continue
        if wanted is None or (logical_id is not None and logical_id in wanted):
            reference = None if logical_id is None else f"{kind}/{logical_id}"
            found.append(DraftOrder(reference=reference, resource=resource))
    return tuple(found)


def _meant(resource: JsonObject, patient_id: str) -> bool:
    subject = as_text(as_object(resource.get("subject")).get("reference"))
    own = subject is None or subject.rpartition("Patient/")[2] == patient_id
    return own and resource.get("doNotPerform") is not True and as_text(resource.get("status")) not in _IDLE


def is_limb_radiograph(order: DraftOrder) -> bool:
    """Whether an order asks for a radiograph of a limb, a limb girdle or the pelvis."""
    resource = order.resource
    if resource.get("resourceType") != "ServiceRequest":
        return False
    coded = list(codings(resource.get("code")))
    if any(_names_limb(system, code) for system, code in coded):
        return True
    concepts = [resource.get("code"), *as_list(resource.get("category")), *as_list(resource.get("orderDetail"))]
    radiography = any(
        code in _MODALITIES or (system_of(system) is CodeSystem.SNOMED_CT and code in PLAIN_RADIOGRAPHY)
        for concept in concepts
        for system, code in codings(concept)
    )
    sites = (pair for concept in as_list(resource.get("bodySite")) for pair in codings(concept))
    return radiography and any(
        system_of(system) is CodeSystem.SNOMED_CT and (code in LIMB_SITES or code == _PELVIS) for system, code in sites
    )


def _names_limb(system: str, code: str) -> bool:
    if system_of(system) is CodeSystem.SNOMED_CT:
        return code in LIMB_PROCEDURES
    if system == CPT and code.isascii() and code.isdigit() and len(code) == 5:
        return any(first <= int(code) <= last for first, last in _CPT_RANGES)
    return False


def as_taken(orders: Sequence[DraftOrder], bundle: Mapping[str, Any], patient_id: str) -> list[JsonObject]:
    """The drug orders as the entries of a record in which they are taken, for the record reader to classify.

    A draft does not count as a drug that is taken, and its start may lie ahead; what it is does not depend on either.
    The id of each order becomes its place, as `order_of` tells.
    """
    entries: list[JsonObject] = [{"resource": {"resourceType": "Patient", "id": patient_id}}]
    entries += _medications(bundle)
    for place, order in enumerate(orders):
        if order.resource.get("resourceType") != "MedicationRequest":
            continue
        kept: JsonObject = {
            name: order.resource[name]
            for name in ("medicationCodeableConcept", "medicationReference", "contained", "modifierExtension")
            if name in order.resource
        }
        routes = [{"route": dosage["route"]} for dosage in dosages(order.resource) if "route" in dosage]
        resource: JsonObject = {
            "resourceType": "MedicationRequest",
            "id": f"{_LOCAL}{place}",
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{patient_id}"},
            "dosageInstruction": routes,
            **kept,
        }
        entries.append({"resource": resource})
    return entries


def order_of(reference: str) -> int | None:
    """The place among the orders that a reference of `as_taken` stands for."""
    number = reference.removeprefix(f"MedicationRequest/{_LOCAL}")
    return int(number) if number != reference and number.isdigit() else None


def _medications(bundle: Mapping[str, Any]) -> Iterator[JsonObject]:
    for item in as_list(bundle.get("entry")):
        entry = as_object(item)
        if as_object(entry.get("resource")).get("resourceType") == "Medication":
            yield entry
