"""Choices that a person can make on any entry point; light, so that ``cds --help`` stays quick."""

from enum import StrEnum


class Runtime(StrEnum):
    """What runs the network."""

    AUTO = "auto"
    """The one that suits this machine, as `imaging.runtime` decides."""
    OPENVINO = "openvino"
    TORCH = "torch"


class ReportFormat(StrEnum):
    """The shape of one result."""

    HTML = "html"
    """The report for a person."""
    JSON = "json"
    """The report for a program."""
    FHIR = "fhir"
    """The FHIR R4 bundle for an electronic health record."""


class OutputChoice(StrEnum):
    """What ``--format`` takes."""

    HTML = "html"
    JSON = "json"
    FHIR = "fhir"
    ALL = "all"

    @property
    def formats(self) -> tuple[ReportFormat, ...]:
        """The formats chosen."""
        return tuple(ReportFormat) if self is OutputChoice.ALL else (ReportFormat(self.value),)
