"""One look-up for diagnoses, whatever terminology they come in."""

from functools import lru_cache

from fhir_adapters.codes import icd9, icd10, snomed
from fhir_adapters.codes.meanings import NOTHING, DiagnosisMeaning
from fhir_adapters.codes.prefixes import compact, longest_prefix
from fhir_adapters.codes.systems import CodeSystem, system_of

_BY_PREFIX = {
    CodeSystem.ICD_10: icd10.ICD_10,
    CodeSystem.ICD_10_CM: icd10.ICD_10_CM,
    CodeSystem.ICD_9_CM: icd9.ICD_9_CM,
}


@lru_cache(maxsize=8192)
def diagnosis(system_uri: str, code: str) -> DiagnosisMeaning | None:
    """What a diagnosis code means here, or None when it is unknown or of no interest."""
    system = system_of(system_uri)
    if system is CodeSystem.SNOMED_CT:
        return snomed.DIAGNOSES.get(code)
    table = _BY_PREFIX.get(system) if system is not None else None
    if table is None:
        return None
    plain = compact(code)
    meaning = longest_prefix(table, plain)
    return None if meaning is NOTHING else meaning


def is_sequela(system_uri: str, code: str) -> bool:
    """Whether an ICD-10-CM injury code ends in the seventh character S: a late effect, not the injury itself."""
    return is_staged(system_uri, code) and compact(code)[6] == "S"


def is_staged(system_uri: str, code: str) -> bool:
    """Whether the seventh character of an ICD-10-CM injury code tells the stage of treatment."""
    plain = compact(code)
    return system_of(system_uri) is CodeSystem.ICD_10_CM and len(plain) == 7 and plain[0] in "SM"
