"""Choices that a person can make on any entry point; light, so that ``cds --help`` stays quick."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Runtime(StrEnum):
    """What runs the network."""

    AUTO = "auto"
    """The one that suits this machine, as `imaging.runtime` decides."""
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino-bf16"
    """Faster where the CPU has AMX; scores then depend a little on the machine."""
    TORCH = "torch"


class ScreenEngine(StrEnum):
    """Where the tasks of a screening run."""

    LOCAL = "local"
    """Processes of this machine."""
    RAY = "ray"
    """A Ray cluster; needs the extra ``cluster``."""


class ReportFormat(StrEnum):
    """The shape of one result."""

    HTML = "html"
    """The report for a person."""
    JSON = "json"
    """The report for a program."""
    FHIR = "fhir"
    """The FHIR R4 bundle for an electronic health record."""
    PDF = "pdf"
    """The report for a person, on paper."""
    PATIENT = "patient"
    """The page in plain words for the patient, once a clinician has signed it."""
    DICOM = "dicom"
    """The structured report, the marks and the overlay for a PACS."""


class OutputChoice(StrEnum):
    """What ``--format`` takes."""

    HTML = "html"
    JSON = "json"
    FHIR = "fhir"
    PDF = "pdf"
    PATIENT = "patient"
    DICOM = "dicom"
    ALL = "all"

    @property
    def formats(self) -> tuple[ReportFormat, ...]:
        """The formats chosen."""
        return tuple(ReportFormat) if self is OutputChoice.ALL else (ReportFormat(self.value),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What the command line says about servers; None and False leave it to the settings."""

    fhir_server: str | None = None
    """Base address of the FHIR server."""
    fhir_token_file: Path | None = None
    fhir_client_id: str | None = None
    fhir_key_file: Path | None = None
    """Private key of the client: PEM or JWK."""
    image_from_server: bool = False
    """Whether the patient's newest limb radiograph is fetched."""
    allow_incomplete: bool = False
    """Whether a record may lack what the server refuses."""
    send: bool = False
    """Whether the report goes to the FHIR server that the record came from."""
    dicomweb_url: str | None = None
    """Base address of the DICOMweb server."""
    study: str | None = None
    """Study Instance UID of the radiograph; series and instance narrow it down."""
    series: str | None = None
    instance: str | None = None

    def settings(self) -> dict[str, object]:
        """The options that stand for a setting, those that were given."""
        given: dict[str, object] = {
            "fhir_server": self.fhir_server,
            "fhir_token_file": self.fhir_token_file,
            "fhir_client_id": self.fhir_client_id,
            "fhir_key_file": self.fhir_key_file,
            "dicomweb_url": self.dicomweb_url,
        }
        return {name: value for name, value in given.items() if value is not None}
