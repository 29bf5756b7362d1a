"""Which diagnoses and prescriptions say nothing here, so that nobody need read them.

Most Conditions of a record are colds and sprains, most prescriptions drugs of no class that matters. A resource that
`is_idle` adds neither a value nor a warning to its patient's snapshot, whatever else it says. It still may be a newer
version of one that does, which the caller must check (`fhir_adapters.superseded.share_ids`).
"""

from fhir_adapters.codes.diagnoses import diagnosis
from fhir_adapters.codes.drugs import drug
from fhir_adapters.shapes import JsonObject, as_object, as_text, codings

IDLE_TYPES = frozenset(
    {"Condition", "MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense"}
)
"""Types of which a resource can be idle."""
_TO_BE_READ = frozenset({"modifierExtension", "implicitRules", "medicationReference"})


def is_idle(resource: JsonObject) -> bool:
    """Whether a resource of one of `IDLE_TYPES` changes nothing in the snapshot of the patient it names.

    Args:
        resource: The parsed resource; its subject is the patient of the snapshot, found by the end of the reference.
    """
    if resource.get("resourceType") == "Condition":
        return all(diagnosis(system, code) is None for system, code in codings(resource.get("code")))
    subject = as_text(as_object(resource.get("subject")).get("reference")) or ""
    if not subject.startswith(("Patient/", "urn:uuid:")) or not _TO_BE_READ.isdisjoint(resource):
        return False
    known = False
    for system, code in codings(resource.get("medicationCodeableConcept")):
        meaning = drug(system, code)
        if meaning is not None:
            if meaning.classes or meaning.oral_or_intravenous:
                return False
            known = True
    return known  # of an unknown drug the reader warns
