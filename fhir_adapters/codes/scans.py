"""Bone density scans: the codes under which a Procedure or a report of one is recorded.

Only what measures the bone density of hip or spine by DXA, or a density scan whose method and place the code leaves
open. Left out on purpose: DXA of the forearm or heel (CPT 77081), vertebral fracture assessment without a density
(CPT 77082, 77086), radiographic absorptiometry (77083), single energy absorptiometry (HCPCS G0130), ultrasound, and
orders, which say that a scan was wanted.

Sources: SNOMED CT procedure hierarchy; DICOM PS3.16 CID 10005; CPT 2023 as listed by Medicare article A57132;
ICD-10-PCS 2025 tables BQ0 and BR0; LOINC 2.77.
"""

from fhir_adapters.codes.systems import CodeSystem, system_of

_CODES: dict[CodeSystem, str] = {
    # bone density scan; dual energy X-ray absorptiometry; dual energy X-ray photon absorptiometry
    CodeSystem.SNOMED_CT: "312681000 241686001 300004007",
    # axial skeleton, alone and with vertebral fracture assessment
    CodeSystem.CPT: "77080 77085",
    # densitometry of the right and left hip and femur; cervical, thoracic, lumbar and whole spine
    CodeSystem.ICD_10_PCS: "BQ00ZZ1 BQ01ZZ1 BQ03ZZ1 BQ04ZZ1 BR00ZZ1 BR07ZZ1 BR09ZZ1 BR0GZZ1",
    # DXA of the femur and of the lumbar spine, as the code of a report
    CodeSystem.LOINC: "24701-5 24966-4",
}

SCANS: dict[str, CodeSystem] = {code: system for system, codes in _CODES.items() for code in codes.split()}
"""Code to its system, which must be checked too."""


def is_scan(system_uri: str, code: str) -> bool:
    """Whether a coding names a bone density scan."""
    system = SCANS.get(code)
    return system is not None and system_of(system_uri) is system
