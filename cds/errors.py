"""What went wrong, once: every error to an exit code, an HTTP status and words that say how to mend it.

Exit codes of the command line
------------------------------
0   done
2   the command was given wrongly (unknown option, missing file, invalid setting)
3   the image cannot be read, or is refused
4   the patient record cannot be read
5   nothing to assess: neither an image nor a record
6   a model or the evidence base is missing or broken
7   an output cannot be written
8   the FHIR or DICOMweb server does not answer, or refuses
9   the workers of a screening died, or the cluster cannot be used; what is finished is not done again
10  the gate refused a candidate model; the model in use stays
70  an internal error; the log holds the place in the code under a short reference, never patient data

Error tree of this package
--------------------------
CdsError
  SettingsError        a setting has an invalid value
  InputError           an input file cannot be opened
  InputTooLargeError   an input exceeds the configured limit
  NothingToAssessError neither an image nor a record was given
  ScreeningInputError  the input of a screening cannot be used
  ResumeRefusedError   an unfinished screening is not the one asked for
  WorkersDiedError     the processes of a screening keep dying
  ClusterError         the cluster of a screening cannot be used
  OutputError          a result cannot be written
  AuditError           the audit record cannot be written
  NoDicomError         there is no radiograph that DICOM objects could refer to
  PacsError            a PACS does not do what it was asked for
    PacsUnreachableError   it does not answer, or breaks off
    PacsRefusedError       it refuses for good
      PacsAssociationRefusedError  it does not talk to this program at all
    PacsQueryError         it cannot be asked, or does not hand over what was asked for
  StoreError           the store cannot be used
    StoreUnavailableError  the database does not answer, or the disk is full
    StoreOutOfDateError    the tables are of another version than the program
    NotStoredError         there is no such case, job or file
      StoreOffError          this service keeps nothing
    ConflictError          the request contradicts what is stored
    DamagedBlobError       a stored file is missing or is not what its name says
  UnauthorisedError    nobody showed who is asking
  ForbiddenError       who asks may not do this
  TooManyRequestsError more was asked than the limit allows
  TamperedAuditError   the audit trail is not as it was written
  JobStoppedError      the work on a job was stopped between two steps
  ModelStoreError      the models of this site cannot be read or changed
  FederationError      several hospitals cannot learn together; its kinds stand in `cds.learning.federated.errors`
  HookError            a CDS Hooks call cannot be answered; its kinds stand in `cds.hooks.errors`
"""

import logging
import secrets
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from cds.logs import safe_traceback
from fhir_adapters.errors import FhirError
from fusion.errors import FusionError
from imaging.errors import ImagingError
from tabular.errors import TabularError

_log = logging.getLogger(__name__)

INTERNAL_CODE = "cds.internal"
"""The code of every error that no rule knows."""


class ExitCode(IntEnum):
    """How the command line ends."""

    OK = 0
    USAGE = 2
    IMAGE = 3
    RECORD = 4
    NOTHING_TO_ASSESS = 5
    ARTIFACT = 6
    OUTPUT = 7
    SERVER = 8
    WORKERS = 9
    REFUSED = 10
    INTERNAL = 70


class CdsError(Exception):
    """Base of this package's errors; `code` is stable, `remedy` says how to mend it."""

    code: str = "cds.error"

    def __init__(self, message: str, *, remedy: str) -> None:
        """Keep the remedy beside the message; neither may hold patient data."""
        super().__init__(message)
        self.remedy = remedy


class SettingsError(CdsError):
    """A setting has an invalid value."""

    code = "cds.settings.invalid"


class InputError(CdsError):
    """An input was given in a form that cannot be used, or cannot be opened."""

    code = "cds.input.invalid"


class InputKind(StrEnum):
    """Which input an error speaks of."""

    RADIOGRAPH = "radiograph"
    RECORD = "patient record"
    REQUEST = "request"


class InputTooLargeError(CdsError):
    """An input exceeds the configured limit."""

    code = "cds.input.too_large"

    def __init__(self, kind: InputKind, *, limit_bytes: int) -> None:
        """Name the input and the limit.

        Args:
            kind: the input.
            limit_bytes: the limit it exceeds.
        """
        super().__init__(
            f"The {kind.value} is larger than {limit_bytes / 2**20:.0f} MiB.",
            remedy="Give a smaller file, or raise FRACTURE_CDS_MAX_IMAGE_MIB or FRACTURE_CDS_MAX_RECORD_MIB.",
        )
        self.code = f"cds.input.too_large.{kind.name.lower()}"


class NothingToAssessError(CdsError):
    """Neither an image nor a record was given."""

    code = "cds.case.empty"

    def __init__(self) -> None:
        """There is only one way to be empty."""
        super().__init__(
            "Neither a radiograph nor a patient record was given.",
            remedy="Give a radiograph, a patient record (FHIR R4 Bundle), or both.",
        )


class ScreeningInputError(CdsError):
    """The input of a screening is damaged, or lacks what a screening needs."""

    code = "cds.screen.input"


class ResumeRefusedError(CdsError):
    """An unfinished screening lies beside the output and is not the one asked for now."""

    code = "cds.screen.resume"


class WorkersDiedError(CdsError):
    """Worker processes keep dying, mostly for want of memory."""

    code = "cds.screen.workers"

    def __init__(self) -> None:
        """There is nothing to tell the cause by."""
        super().__init__(
            "The worker processes keep dying.",
            remedy="Repeat the command with fewer --workers or more memory: what is finished is not done again.",
        )


class ClusterError(CdsError):
    """The cluster that a screening was to run on cannot be used."""

    code = "cds.screen.cluster"


class OutputError(CdsError):
    """A result cannot be written; nothing was changed."""

    code = "cds.output.not_written"


class AuditError(CdsError):
    """The audit record cannot be written."""

    code = "cds.audit.not_written"


class StoreError(CdsError):
    """The store cannot be used."""

    code = "cds.store.unusable"


class StoreUnavailableError(StoreError):
    """The database does not answer, or the disk is full: nothing was kept, and the same call may be repeated."""

    code = "cds.store.unavailable"


class StoreOutOfDateError(StoreError):
    """The tables are of another version than the program."""

    code = "cds.store.out_of_date"


class NotStoredError(StoreError):
    """There is no such case, job or file."""

    code = "cds.store.not_found"


class StoreOffError(NotStoredError):
    """This service keeps nothing."""

    code = "cds.store.off"

    def __init__(self) -> None:
        """There is one cause."""
        super().__init__(
            "This service keeps no cases and runs no jobs.", remedy="Set FRACTURE_CDS_STORE=on and start it again."
        )


class JobStoppedError(CdsError):
    """The work on a job was stopped between two steps."""

    code = "cds.job.stopped"

    def __init__(self) -> None:
        """There is nothing to mend."""
        super().__init__("The work was stopped between two steps.", remedy="Submit the case again if it is wanted.")


class ConflictError(StoreError):
    """The request contradicts what is stored."""

    code = "cds.store.conflict"


class DamagedBlobError(StoreError):
    """A stored file is missing or is not what its name says."""

    code = "cds.store.damaged"


class NoDicomError(CdsError):
    """There is nothing that DICOM objects could be filed beside."""

    code = "cds.output.no_dicom"

    def __init__(self) -> None:
        """One text for every cause: it must not quote the file."""
        super().__init__(
            "DICOM objects are made from a radiograph, and this case has none that they could refer to.",
            remedy="Assess a radiograph (DICOM, PNG or JPEG), or ask for another format.",
        )


class PacsError(CdsError):
    """A PACS does not do what it was asked for."""

    code = "cds.pacs.error"


class PacsUnreachableError(PacsError):
    """The PACS does not answer, or breaks off: the same call may be repeated, nothing is stored twice."""

    code = "cds.pacs.unreachable"

    def __init__(self, *, stored: int, total: int, attempts: int) -> None:
        """Say how far it got.

        Args:
            stored: files that the PACS holds now.
            total: files to send.
            attempts: how often it was tried.
        """
        super().__init__(
            f"The PACS did not answer or broke off, {attempts} times; {stored} of {total} files are stored.",
            remedy="Check host, port and network, then repeat the command: a file sent twice is kept once.",
        )


class PacsRefusedError(PacsError):
    """The PACS refuses for good."""

    code = "cds.pacs.refused"


class PacsAssociationRefusedError(PacsRefusedError):
    """The PACS does not talk to this program at all: mended at the PACS, not by other files."""

    code = "cds.pacs.refused.association"


class PacsQueryError(PacsError):
    """A PACS cannot be asked, or does not hand over what was asked for."""

    code = "cds.pacs.query"


class UnauthorisedError(CdsError):
    """The access token is missing or wrong."""

    code = "cds.access.denied"

    def __init__(self) -> None:
        """Say nothing about what was wrong with the token."""
        super().__init__(
            "The request carries no valid access token or key.", remedy="Send it as 'Authorization: Bearer TOKEN'."
        )


class LaunchRefusedError(CdsError):
    """A login or a launch that was begun elsewhere does not lead in."""

    code = "cds.access.launch"


class ForbiddenError(CdsError):
    """Who asks is known, and may not do this."""

    code = "cds.access.forbidden"

    def __init__(self, needed: str) -> None:
        """Name the role that it takes."""
        super().__init__(f"This takes the role '{needed}'.", remedy="Ask the administrator of this service for a key.")


class TooManyRequestsError(CdsError):
    """More was asked than the limit allows, or than can be done now."""

    code = "cds.access.too_many"

    def __init__(self, *, retry_after_s: int, message: str = "Too many requests came from one source.") -> None:
        """Say when to come back.

        Args:
            retry_after_s: seconds until it is worth another try.
            message: what there was too much of.
        """
        super().__init__(message, remedy=f"Wait {retry_after_s} s, then try again.")
        self.retry_after_s = retry_after_s


class TamperedAuditError(CdsError):
    """The audit trail is not as it was written."""

    code = "cds.audit.tampered"


class ModelStoreError(CdsError):
    """The models of this site cannot be read or changed; the model in use stays."""

    code = "cds.models.unusable"


class FederationError(CdsError):
    """Several hospitals cannot learn together; the state on disk stays as it was after the last round."""

    code = "cds.federation.error"


class HookError(CdsError):
    """A CDS Hooks call cannot be answered; the beginning of the code decides the status."""

    code = "cds.hooks.error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error in words: what, why, and how to mend it."""

    code: str
    """Dotted code of the error."""
    exit_code: ExitCode
    http_status: int
    what: str
    """What could not be done, as a title."""
    why: str
    """The reason, one or two sentences."""
    remedy: str
    """How to mend it."""
    retry_after_s: int | None = None
    """After how many seconds another try is worth it; None where the error does not say."""
    reference: str | None = None
    """For internal errors: the short id under which the log holds the place in the code."""


@dataclass(frozen=True, slots=True)
class _Rule:
    error: type[Exception]
    code_prefix: str
    exit_code: ExitCode
    http_status: int
    what: str


_RULES: tuple[_Rule, ...] = (
    _Rule(ImagingError, "imaging.model", ExitCode.ARTIFACT, 503, "The fracture detector cannot be used"),
    _Rule(ImagingError, "imaging.training", ExitCode.USAGE, 422, "The data set cannot be used"),
    _Rule(ImagingError, "imaging.export.refused", ExitCode.USAGE, 422, "The detector cannot be exported like this"),
    _Rule(ImagingError, "imaging.export", ExitCode.ARTIFACT, 503, "The detector was not exported; no file was left"),
    _Rule(ImagingError, "", ExitCode.IMAGE, 422, "The radiograph cannot be used"),
    _Rule(FhirError, "fhir.server.export.folder", ExitCode.USAGE, 422, "The folder for the export cannot be used"),
    _Rule(FhirError, "fhir.server", ExitCode.SERVER, 502, "The server did not give what was asked for"),
    _Rule(FhirError, "fhir.auth.key", ExitCode.USAGE, 500, "The key of this program cannot be used"),
    _Rule(FhirError, "fhir.auth.token_file", ExitCode.USAGE, 500, "The token of this program cannot be used"),
    _Rule(FhirError, "fhir.auth", ExitCode.SERVER, 502, "The server did not let this program in"),
    _Rule(FhirError, "fhir.hooks", ExitCode.USAGE, 400, "The request cannot be used"),
    _Rule(FhirError, "fhir.image", ExitCode.IMAGE, 422, "The server gave no radiograph that can be used"),
    _Rule(FhirError, "fhir.input.not_sendable", ExitCode.USAGE, 422, "The bundle cannot be sent"),
    _Rule(FhirError, "", ExitCode.RECORD, 422, "The patient record cannot be used"),
    _Rule(TabularError, "risk.cohort", ExitCode.USAGE, 422, "The data set cannot be used"),
    _Rule(TabularError, "", ExitCode.ARTIFACT, 503, "The risk model cannot be used"),
    _Rule(FusionError, "fusion.input", ExitCode.USAGE, 422, "An input cannot be used"),
    _Rule(FusionError, "", ExitCode.ARTIFACT, 503, "The evidence base cannot be used"),
    _Rule(SettingsError, "", ExitCode.USAGE, 500, "A setting is not valid"),
    _Rule(InputError, "", ExitCode.USAGE, 422, "An input cannot be used"),
    _Rule(InputTooLargeError, "cds.input.too_large.radiograph", ExitCode.IMAGE, 413, "The radiograph is too large"),
    _Rule(InputTooLargeError, "cds.input.too_large.record", ExitCode.RECORD, 413, "The patient record is too large"),
    _Rule(InputTooLargeError, "", ExitCode.USAGE, 413, "The request is too large"),
    _Rule(NothingToAssessError, "", ExitCode.NOTHING_TO_ASSESS, 422, "There is nothing to assess"),
    _Rule(ScreeningInputError, "", ExitCode.RECORD, 422, "The input cannot be screened"),
    _Rule(ResumeRefusedError, "", ExitCode.USAGE, 409, "The screening cannot go on"),
    _Rule(WorkersDiedError, "", ExitCode.WORKERS, 503, "The screening stopped half-way"),
    _Rule(ClusterError, "", ExitCode.WORKERS, 503, "The cluster cannot be used"),
    _Rule(OutputError, "", ExitCode.OUTPUT, 500, "The result was not written"),
    _Rule(NoDicomError, "", ExitCode.USAGE, 422, "DICOM objects cannot be made"),
    _Rule(PacsError, "cds.pacs.query", ExitCode.SERVER, 502, "The PACS did not give what was asked for"),
    _Rule(PacsError, "", ExitCode.SERVER, 502, "The PACS did not take the files"),
    _Rule(AuditError, "", ExitCode.OUTPUT, 503, "The assessment could not be recorded"),
    _Rule(NotStoredError, "cds.store.off", ExitCode.USAGE, 404, "This service keeps nothing"),
    _Rule(NotStoredError, "", ExitCode.USAGE, 404, "There is nothing under this identifier"),
    _Rule(JobStoppedError, "", ExitCode.USAGE, 409, "The job was stopped"),
    _Rule(ConflictError, "", ExitCode.USAGE, 409, "The request contradicts what is stored"),
    _Rule(StoreError, "", ExitCode.OUTPUT, 503, "The store cannot be used"),
    _Rule(UnauthorisedError, "", ExitCode.USAGE, 401, "Access denied"),
    _Rule(LaunchRefusedError, "", ExitCode.USAGE, 400, "The login did not succeed"),
    _Rule(ForbiddenError, "", ExitCode.USAGE, 403, "Access denied"),
    _Rule(TooManyRequestsError, "", ExitCode.SERVER, 429, "Too much at once"),
    _Rule(TamperedAuditError, "", ExitCode.OUTPUT, 500, "The audit trail cannot be relied on"),
    _Rule(ModelStoreError, "", ExitCode.ARTIFACT, 503, "The models of this site cannot be used"),
    _Rule(FederationError, "cds.federation.server_lost", ExitCode.SERVER, 502, "The federation's server is away"),
    _Rule(FederationError, "cds.federation.too_few", ExitCode.SERVER, 503, "The federation has too few hospitals"),
    _Rule(FederationError, "cds.federation.state", ExitCode.OUTPUT, 503, "The federation's state cannot be used"),
    _Rule(FederationError, "", ExitCode.USAGE, 422, "The federation cannot go on like this"),
    _Rule(HookError, "cds.hooks.client", ExitCode.USAGE, 401, "The client is not known here"),
    _Rule(HookError, "cds.hooks.service", ExitCode.USAGE, 404, "There is no such service"),
    _Rule(HookError, "cds.hooks.data", ExitCode.RECORD, 412, "Patient data that are needed are missing"),
    _Rule(HookError, "cds.hooks.media_type", ExitCode.USAGE, 415, "The request has the wrong media type"),
    _Rule(HookError, "cds.hooks.feedback", ExitCode.OUTPUT, 503, "The feedback could not be kept"),
    _Rule(HookError, "", ExitCode.USAGE, 400, "The request cannot be used"),
)
"""First match wins: class, then the beginning of the code."""


def explain(error: Exception) -> Problem:
    """Turn any exception into a `Problem`.

    A known error speaks for itself. An unknown one is logged under a new reference with its class and frames; its
    message is dropped, since it may quote patient data.
    """
    rule = _rule_for(error)
    if rule is None:
        return _internal(error)
    return Problem(
        code=error_code(error),
        exit_code=rule.exit_code,
        http_status=rule.http_status,
        what=rule.what,
        why=str(error),
        remedy=str(getattr(error, "remedy", "")),
        retry_after_s=getattr(error, "retry_after_s", None),
    )


def error_code(error: Exception) -> str:
    """The dotted code of a known error, ``cds.internal`` for any other; logs nothing."""
    return INTERNAL_CODE if _rule_for(error) is None else str(getattr(error, "code", ""))


def _rule_for(error: Exception) -> _Rule | None:
    code = str(getattr(error, "code", ""))
    return next((r for r in _RULES if isinstance(error, r.error) and code.startswith(r.code_prefix)), None)


def _internal(error: Exception) -> Problem:
    reference = secrets.token_hex(4)
    _log.error("internal error %s\n%s", reference, safe_traceback(error))
    return Problem(
        code=INTERNAL_CODE,
        exit_code=ExitCode.INTERNAL,
        http_status=500,
        what="An internal error stopped the assessment",
        why="The program met a situation that it was not written for. No result was produced.",
        remedy=f"Report the reference {reference} to the maintainers; the log holds the place in the code.",
        reference=reference,
    )
