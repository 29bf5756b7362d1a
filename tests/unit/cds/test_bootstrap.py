"""Wiring: nothing heavy before it is used, each model once, a failure is tried again."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cds.audit import JsonLinesAuditTrail, NoAuditTrail
from cds.bootstrap import build_audit_trail, build_engines, for_one_case
from cds.following import Following, ModelWatch
from cds.learning.model_kinds import ModelKind
from cds.options import Runtime
from cds.settings import Settings

HEAVY = ("torch", "openvino", "xgboost", "pydicom", "fhir", "gradio", "fastapi", "pandas", "cv2")


def test_building_engines_imports_nothing_heavy() -> None:
    program = (
        "import sys; from cds.bootstrap import build_engines, load_settings; build_engines(load_settings());"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_part_is_built_once_by_many_threads() -> None:
    built: list[int] = []
    start = threading.Barrier(8)

    def build(folder: object) -> object:
        built.append(1)
        return object()

    lazy = Following(ModelKind.RISK, lambda: None, build, ModelWatch())

    def use(_: int) -> object:
        start.wait()
        return lazy.get()

    with ThreadPoolExecutor(8) as pool:
        parts = set(pool.map(use, range(8)))
    assert len(parts) == 1
    assert built == [1]


def test_a_failed_build_is_tried_again() -> None:
    outcomes = iter([OSError("missing"), None])

    def build(folder: object) -> str:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return "part"

    lazy = Following(ModelKind.RISK, lambda: None, build, ModelWatch())
    with pytest.raises(OSError, match="missing"):
        lazy.get()
    assert lazy.get() == "part"


def test_audit_trail_follows_the_settings() -> None:
    assert isinstance(build_audit_trail(Settings(audit_log=None)), NoAuditTrail)
    assert isinstance(build_audit_trail(Settings()), JsonLinesAuditTrail)


def test_one_case_is_not_worth_a_compilation_but_a_choice_is_a_choice() -> None:
    assert for_one_case(Settings(runtime=Runtime.AUTO)).runtime is Runtime.TORCH
    assert for_one_case(Settings(runtime=Runtime.OPENVINO)).runtime is Runtime.OPENVINO


def test_engines_can_be_built_twice() -> None:
    assert build_engines(Settings()).image is not build_engines(Settings()).image
