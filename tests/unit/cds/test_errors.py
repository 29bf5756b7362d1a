"""One mapping from error to exit code, status and words; unknown errors say nothing of what they saw."""

import logging

import pytest

from cds.errors import (
    AuditError,
    CdsError,
    ClusterError,
    ExitCode,
    InputError,
    InputKind,
    InputTooLargeError,
    NothingToAssessError,
    OutputError,
    SettingsError,
    UnauthorisedError,
    WorkersDiedError,
    error_code,
    explain,
)
from fhir_adapters.errors import FhirError
from fusion.errors import EvidenceError, FusionError
from fusion.errors import InputError as FusionInputError
from imaging.errors import ImagingError, ModelFilesError, TruncatedFileError
from imaging.training.errors import TrainingDataError
from tabular.errors import CohortError, TabularError, WeightsMissingError

ALL: list[tuple[Exception, ExitCode, int]] = [
    (TruncatedFileError("x"), ExitCode.IMAGE, 422),
    (ImagingError("x"), ExitCode.IMAGE, 422),
    (ModelFilesError("x"), ExitCode.ARTIFACT, 503),
    (TrainingDataError("x", "y"), ExitCode.USAGE, 422),
    (FhirError("x"), ExitCode.RECORD, 422),
    (WeightsMissingError("x"), ExitCode.ARTIFACT, 503),
    (CohortError("x", remedy="y"), ExitCode.USAGE, 422),
    (EvidenceError("x", remedy="y"), ExitCode.ARTIFACT, 503),
    (FusionInputError("x", remedy="y"), ExitCode.USAGE, 422),
    (SettingsError("x", remedy="y"), ExitCode.USAGE, 500),
    (InputError("x", remedy="y"), ExitCode.USAGE, 422),
    (InputTooLargeError(InputKind.RADIOGRAPH, limit_bytes=1), ExitCode.IMAGE, 413),
    (InputTooLargeError(InputKind.RECORD, limit_bytes=1), ExitCode.RECORD, 413),
    (InputTooLargeError(InputKind.REQUEST, limit_bytes=1), ExitCode.USAGE, 413),
    (NothingToAssessError(), ExitCode.NOTHING_TO_ASSESS, 422),
    (OutputError("x", remedy="y"), ExitCode.OUTPUT, 500),
    (AuditError("x", remedy="y"), ExitCode.OUTPUT, 503),
    (WorkersDiedError(), ExitCode.WORKERS, 503),
    (ClusterError("x", remedy="y"), ExitCode.WORKERS, 503),
    (UnauthorisedError(), ExitCode.USAGE, 401),
    (KeyError("x"), ExitCode.INTERNAL, 500),
]


@pytest.mark.parametrize(("error", "exit_code", "status"), ALL, ids=lambda value: type(value).__name__)
def test_mapping(error: Exception, exit_code: ExitCode, status: int) -> None:
    problem = explain(error)
    assert (problem.exit_code, problem.http_status) == (exit_code, status)
    assert problem.code == error_code(error)
    assert problem.what
    assert problem.why
    assert problem.remedy


def subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(deeper for child in base.__subclasses__() for deeper in subclasses(child))]


@pytest.mark.parametrize("base", [ImagingError, FhirError, TabularError, FusionError, CdsError])
def test_every_error_has_a_code_of_its_own(base: type[Exception]) -> None:
    product = [kind for kind in subclasses(base) if not kind.__module__.startswith("test")]
    codes = [getattr(kind, "code", None) for kind in product]
    assert all(isinstance(code, str) and code for code in codes)
    assert len(set(codes)) == len(codes)


def test_unknown_error_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    def choke() -> None:
        given_name = "Planted Name"
        raise KeyError(given_name)

    with caplog.at_level(logging.ERROR):
        try:
            choke()
        except KeyError as error:
            problem = explain(error)
    assert problem.reference is not None
    assert problem.reference in caplog.text
    assert problem.reference in problem.remedy
    assert "builtins.KeyError" in caplog.text
    assert "in choke" in caplog.text
    assert "Planted" not in caplog.text + repr(problem)


def test_exit_codes_are_documented() -> None:
    from cds import errors

    assert errors.__doc__ is not None
    for code in ExitCode:
        assert f"\n{code.value} " in errors.__doc__
