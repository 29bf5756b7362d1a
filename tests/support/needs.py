"""What a test needs of the machine: missing at home it is skipped, missing where CI runs it fails."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip, or fail under ``CI=true``: `.ci/run` installs what the fuller tests need."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: .ci/run should have seen to it")
    pytest.skip(what)
