"""Code systems and the URIs under which records name them."""

from enum import StrEnum
from functools import lru_cache


class CodeSystem(StrEnum):
    """A terminology; the value is its canonical FHIR URI."""

    SNOMED_CT = "http://snomed.info/sct"
    LOINC = "http://loinc.org"
    ICD_10 = "http://hl7.org/fhir/sid/icd-10"
    """World Health Organization edition and national ones with the same first four characters."""
    ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
    """United States clinical modification: up to seven characters."""
    ICD_9_CM = "http://hl7.org/fhir/sid/icd-9-cm"
    RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
    ATC = "http://www.whocc.no/atc"
    CPT = "http://www.ama-assn.org/go/cpt"
    """Current Procedural Terminology of the American Medical Association."""
    ICD_10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
    """United States procedure coding system."""
    ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    """HL7 v3 family relationships."""


_ALIASES: dict[str, CodeSystem] = {
    **{system.value: system for system in CodeSystem},
    "urn:oid:2.16.840.1.113883.6.96": CodeSystem.SNOMED_CT,
    "urn:oid:2.16.840.1.113883.6.1": CodeSystem.LOINC,
    "urn:oid:2.16.840.1.113883.6.3": CodeSystem.ICD_10,
    "http://hl7.org/fhir/sid/icd-10-uk": CodeSystem.ICD_10,
    "http://fhir.de/codesystem/bfarm/icd-10-gm": CodeSystem.ICD_10,
    "http://fhir.de/codesystem/dimdi/icd-10-gm": CodeSystem.ICD_10,
    "urn:oid:2.16.840.1.113883.6.90": CodeSystem.ICD_10_CM,
    "urn:oid:2.16.840.1.113883.6.103": CodeSystem.ICD_9_CM,
    "http://terminology.hl7.org/codesystem/icd9cm": CodeSystem.ICD_9_CM,
    "urn:oid:2.16.840.1.113883.6.12": CodeSystem.CPT,
    "urn:oid:2.16.840.1.113883.6.4": CodeSystem.ICD_10_PCS,
    "http://hl7.org/fhir/sid/icd-10-pcs": CodeSystem.ICD_10_PCS,
    "http://www.cms.gov/medicare/coding/icd10": CodeSystem.ICD_10_PCS,
    "urn:oid:2.16.840.1.113883.6.88": CodeSystem.RXNORM,
    "urn:oid:2.16.840.1.113883.6.73": CodeSystem.ATC,
    "http://fhir.de/codesystem/bfarm/atc": CodeSystem.ATC,
    "http://terminology.hl7.org/codesystem/v3-rolecode": CodeSystem.ROLE_CODE,
    "http://hl7.org/fhir/v3/rolecode": CodeSystem.ROLE_CODE,
}


@lru_cache(maxsize=512)
def system_of(uri: str) -> CodeSystem | None:
    """The terminology a URI names, or None for one this engine does not read.

    Tolerates https, a trailing slash, letter case, and a SNOMED CT edition (``http://snomed.info/sct/83821000000107``).
    """
    exact = _ALIASES.get(uri)
    if exact is not None:
        return exact
    plain = uri.strip().lower().removesuffix("/").replace("https://", "http://", 1)
    if plain.startswith(CodeSystem.SNOMED_CT.value + "/"):
        return CodeSystem.SNOMED_CT
    return _ALIASES.get(plain)
