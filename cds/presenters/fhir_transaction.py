"""The FHIR transaction in the making: addresses, identifiers and the engine's own codes."""

from collections.abc import Iterable, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from cds.case import CaseResult
from cds.presenters import wording
from fhir_adapters.r4_types import (
    SNOMED_CT,
    Code,
    Concept,
    JsonObject,
    as_object,
    coding,
    identifier,
    imaging_study_reference,
    logical_reference,
    reference,
)
from fusion.results import Statement
from fusion.sites import REGION_SITES, SITE_NAMES, FractureSite, sites_of
from imaging.labels import BodyRegion

CODE_SYSTEM = "urn:fracture-cds:codes"
CASE_SYSTEM = "urn:fracture-cds:case"
ENTRY_SYSTEM = "urn:fracture-cds:entry"
"""System of the tag that one resource of one case has alone; a server finds the resource by it in every type."""
_TEST_DATA = Code(system="http://terminology.hl7.org/CodeSystem/v3-ActReason", code="HTEST", display="test health data")
BODY_SITES: dict[BodyRegion, tuple[str, str]] = {
    BodyRegion.HAND: ("85562004", "Hand structure"),
    BodyRegion.WRIST: ("8205005", "Wrist region structure"),
    BodyRegion.FOREARM: ("14975008", "Forearm structure"),
    BodyRegion.ELBOW: ("16953009", "Elbow joint structure"),
    BodyRegion.HUMERUS: ("85050009", "Bone structure of humerus"),
    BodyRegion.SHOULDER: ("16982005", "Shoulder region structure"),
    BodyRegion.CLAVICLE: ("51299004", "Bone structure of clavicle"),
    BodyRegion.PELVIS: ("12921003", "Pelvic structure"),
    BodyRegion.HIP: ("29836001", "Hip region structure"),
    BodyRegion.FEMUR: ("71341001", "Bone structure of femur"),
    BodyRegion.KNEE: ("72696002", "Knee region structure"),
    BodyRegion.LOWER_LEG: ("30021000", "Lower leg structure"),
    BodyRegion.ANKLE: ("70258002", "Ankle joint structure"),
    BodyRegion.FOOT: ("56459004", "Foot structure"),
}
"""SNOMED CT code and term of each region."""
_SITE_REGIONS: dict[FractureSite, BodyRegion] = {
    site: next(region for region in REGION_SITES if site in sites_of(region)) for site in FractureSite
} | {FractureSite.CLAVICLE: BodyRegion.CLAVICLE}
_UNIDENTIFIED = "Unidentified patient: no patient record was given"


def own(code: str, text: str) -> Concept:
    """A concept of the engine's own code system."""
    return Concept(text=text, codes=(Code(system=CODE_SYSTEM, code=code, display=text),))


def texts(statements: Iterable[Statement]) -> tuple[str, ...]:
    """The sentences of some statements."""
    return tuple(statement.text for statement in statements)


def body_site(text: str, region: BodyRegion) -> Concept:
    """A place in the body: its words, and the code of the region that holds it."""
    code, display = BODY_SITES[region]
    return Concept(text=text, codes=(Code(system=SNOMED_CT, code=code, display=display),))


def site_of(result: CaseResult) -> Concept | None:
    """The broken bone as the clinician stated it, else the region of the radiograph; None when neither is known."""
    findings, site = result.findings, result.context.site
    side = wording.LATERALITIES.get((findings.laterality if findings is not None else None) or "", "")
    if site is not None:
        return body_site(f"{side} {SITE_NAMES[site]}".strip(), _SITE_REGIONS[site])
    if findings is None or findings.region is None:
        return None
    return body_site(f"{side} {wording.words(findings.region)}".strip(), findings.region)


def window_words(earliest: float | None, latest: float | None) -> str:
    """When something is due, for a reader who sees this resource alone."""
    words = wording.when_weeks(earliest, latest)
    return f"{words} after the injury" if "week" in words else words


class Transaction:
    """Resources by address; addresses and identifiers depend on the case alone, so the same case gives the same bundle.

    Attributes:
        result: The case.
        created: The time every resource states.
        entries: ``urn:uuid:`` address to resource, in the order of the bundle.
        subject: Reference to the patient, or words where no record was given.
        device: Reference to the engine.
        citations: What each evidence id stands for, by id.
    """

    def __init__(self, result: CaseResult) -> None:
        """Starts an empty transaction for a case."""
        self.result = result
        self.created = result.assessment.created
        self.entries: dict[str, JsonObject] = {}
        patient = result.patient
        self.subject = (
            reference(f"Patient/{patient.patient_id}")
            if patient is not None
            else logical_reference("Patient", display=_UNIDENTIFIED)
        )
        self.device = self.address("device", "Device")
        self.citations = {source.id: source for source in result.assessment.sources}
        findings = result.findings
        self._labels = [coding(_TEST_DATA)] if findings is not None and findings.synthetic else []

    def address(self, name: str, resource_type: str) -> JsonObject:
        """The reference to an entry of this bundle; the same case gives the same address."""
        return reference(f"urn:uuid:{uuid5(_namespace(self.result.case_id), name)}", resource_type)

    def business_id(self, name: str) -> JsonObject:
        """The identifier of a resource that this case alone makes."""
        return identifier(CASE_SYSTEM, f"{self.result.case_id}/{name}")

    def add(self, name: str, resource: JsonObject, display: str = "") -> JsonObject:
        """Adds a resource with the tags of its case, and returns the reference to it, with its words if there are any.

        A Device outlives the case and has none. What was made from a drawn radiograph is labelled as test data.
        """
        kind = str(resource["resourceType"])
        target = self.address(name, kind)
        if kind != "Device":
            given = as_object(resource.pop("meta", None))
            security = given.get("security")
            meta: JsonObject = {}
            if isinstance(security, list) or self._labels:
                meta["security"] = [*(security if isinstance(security, list) else []), *self._labels]
            meta["tag"] = [
                {"system": CASE_SYSTEM, "code": self.result.case_id},
                {"system": ENTRY_SYSTEM, "code": f"{self.result.case_id}/{name}"},
            ]
            resource = {"resourceType": kind, "meta": meta, **resource}
        self.entries[str(target["reference"])] = resource
        return target | {"display": display} if display else target

    def record(self, statement: Statement, kinds: Sequence[str] = ()) -> tuple[JsonObject, ...]:
        """References to the entries of the record behind a statement, those of some resource types or all."""
        targets = dict.fromkeys(one for one in statement.record if "/" in one)
        return tuple(reference(one) for one in targets if not kinds or one.partition("/")[0] in kinds)

    def sources(self, statement: Statement) -> tuple[str, ...]:
        """The citations of a statement, in words."""
        cited = (self.citations.get(one) for one in statement.evidence)
        said = (f"Source ({wording.CERTAINTIES[one.certainty]}): {one.citation}" for one in cited if one is not None)
        return tuple(dict.fromkeys(said))


def _namespace(case_id: str) -> UUID:
    try:
        return UUID(case_id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{CASE_SYSTEM}:{case_id}")


def studies(result: CaseResult) -> tuple[JsonObject, ...]:
    """A reference to the study the radiograph belongs to; empty when it came as PNG or JPEG."""
    dicom = result.radiograph.dicom if result.radiograph is not None else None
    return (imaging_study_reference(dicom.study_instance_uid),) if dicom is not None else ()
