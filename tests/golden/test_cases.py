"""The written cases, from bytes to report: what a clinician would read, compared with what was read and corrected.

``UPDATE_GOLDEN=1`` rewrites ``expected.txt``; read the difference as a surgeon and as a pharmacist before keeping it.
"""

import pytest

from tests.golden.cases.load import case_names, load, report, run
from tests.support.golden import assert_golden


@pytest.mark.parametrize("name", case_names())
def test_report(name: str) -> None:
    case = load(name)
    assert_golden(f"cases/{name}/expected.txt", report(case, run(case)))
