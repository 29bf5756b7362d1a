"""Failures come home from workers: the known ones whole, the unknown ones without what they say."""

import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cds.batch.carry import Failure, TaskFailedError, attempt
from cds.batch.local import LocalExecutor
from cds.errors import InputKind, InputTooLargeError, ScreeningInputError, WorkersDiedError
from imaging.errors import ModelFilesError
from tabular.errors import CohortError, WeightsMissingError


def refuse(spec: Any) -> Path:
    raise ScreeningInputError(f"Task {spec} is damaged.", remedy="Send it again.")


@pytest.mark.parametrize(
    "error",
    [
        ScreeningInputError("x", remedy="y"),
        InputTooLargeError(InputKind.RECORD, limit_bytes=1),
        WorkersDiedError(),
        CohortError("x", remedy="y"),
        WeightsMissingError("x"),
        ModelFilesError("x", remedy="y"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_known_error_keeps_all_its_parts(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        pickle.loads(pickle.dumps(Failure.of(error))).throw()
    assert str(caught.value) == str(error)
    assert caught.value.__dict__ == error.__dict__
    assert getattr(caught.value, "code", "") == getattr(error, "code", "")


def test_an_unknown_error_leaves_its_words_behind(caplog: pytest.LogCaptureFixture) -> None:
    def choke(spec: SimpleNamespace) -> Path:
        raise KeyError("Planted Name")

    failure = pickle.loads(pickle.dumps(attempt(choke, SimpleNamespace())))
    with caplog.at_level(logging.ERROR), pytest.raises(TaskFailedError):
        failure.throw()
    assert "builtins.KeyError" in caplog.text
    assert "in choke" in caplog.text
    assert "Planted" not in caplog.text + repr(failure)


def test_the_local_engine_does_not_take_a_failure_for_a_dead_worker() -> None:
    with pytest.raises(ScreeningInputError, match="damaged") as caught:
        list(LocalExecutor(2).run(refuse, [1, 2]))  # type: ignore[type-var]
    assert caught.value.remedy == "Send it again."
