"""Hip fractures of the mother or father, wherever a record keeps them.

Rules
-----
* FamilyMemberHistory counts when it is partial or completed, the relative is a parent by HL7 or SNOMED CT code (no
  step- or adoptive parent), and one of the conditions is a hip fracture. Silence says nothing: a history without
  a hip fracture is no statement that there was none.
* "Family history of hip fracture in parent" counts as a Condition that is not refuted and as an Observation that is
  not answered with no. Only such an answer yields False.
* Yes outweighs no, with a warning.
"""

from collections.abc import Iterable

from fhir_adapters.bundle import Entry
from fhir_adapters.codes.diagnoses import diagnosis
from fhir_adapters.codes.snomed import PARENTS
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.dates import first_moment
from fhir_adapters.patient import FractureSiteGroup, Sourced
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import JsonObject, as_list, as_text, codings
from fhir_adapters.warnings import FhirWarning

_ROLES = frozenset({"MTH", "NMTH", "NMTHF", "GESTM", "FTH", "NFTH", "NFTHF", "PRN", "NPRN"})
"""HL7 v3: mother, father, parent, and the natural ones; step and adoptive parents have other codes."""


def parental_hip_fracture(relatives: Iterable[Entry], reading: Reading) -> Sourced[bool] | None:
    """True when a mother or father is recorded with a hip fracture; absence says nothing."""
    for entry in reading.own(relatives):
        resource = entry.resource
        if as_text(resource.get("status")) not in {"partial", "completed"}:
            continue
        moment, _ = first_moment(resource, "date")
        if reading.is_future(moment, entry) or not _is_parent(resource):
            continue
        if any(_is_hip_fracture(condition, entry, reading) for condition in as_list(resource.get("condition"))):
            effective = moment.until(reading.as_of) if moment is not None else None
            return Sourced(value=True, resource=entry.reference, effective=effective)
    return None


def decide(found: Iterable[Sourced[bool] | None], reading: Reading) -> Sourced[bool] | None:
    """One answer of several sources, the best source first; yes outweighs no."""
    answers = [answer for answer in found if answer is not None]
    yes = next((answer for answer in answers if answer.value), None)
    if yes is not None and not all(answer.value for answer in answers):
        reading.notes.add(FhirWarning.FAMILY_CONFLICT, yes.resource)
    return yes or next(iter(answers), None)


def _is_parent(resource: JsonObject) -> bool:
    for uri, code in codings(resource.get("relationship")):
        system = system_of(uri)
        if (system is CodeSystem.ROLE_CODE and code in _ROLES) or (system is CodeSystem.SNOMED_CT and code in PARENTS):
            return True
    return False


def _is_hip_fracture(condition: object, entry: Entry, reading: Reading) -> bool:
    if not isinstance(condition, dict):
        return False
    for uri, code in codings(condition.get("code")):
        meaning = diagnosis(uri, code)
        if meaning is None or meaning.fracture is None or meaning.fracture.neoplastic:
            continue
        if meaning.fracture.site is FractureSiteGroup.HIP:
            if "modifierExtension" not in condition:
                return True
            reading.notes.add(FhirWarning.MODIFIER_UNKNOWN, entry.reference)
    return False
