"""Who may import whom. The walk reads the source; the subprocesses see what really gets loaded."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("imaging", "tabular", "fhir_adapters", "fusion", "cds")

ALLOWED: dict[str, frozenset[str]] = {
    "imaging": frozenset(),
    "tabular": frozenset(),
    "fhir_adapters": frozenset(),
    "fusion": frozenset({"imaging.results", "imaging.labels", "tabular.results", "fhir_adapters.patient"}),
    "cds": frozenset({"imaging", "tabular", "fhir_adapters", "fusion"}),
}
"""Package to the modules of other packages that it may import; a package name allows all of its modules."""

FUSION_LIBRARIES = frozenset({"yaml"})
"""What `fusion` may import beside the standard library."""

HEAVY = (
    "torch",
    "torchvision",
    "openvino",
    "xgboost",
    "sklearn",
    "pandas",
    "pydicom",
    "cv2",
    "PIL",
    "fhir",
    "pydantic",
)
HEAVY_ENTRY = ("gradio", "fastapi", "uvicorn")

LIGHT_MODULES = (
    *PACKAGES,
    "fusion.engine",
    "fusion.results",
    "fusion.context",
    "imaging.results",
    "imaging.labels",
    "imaging.errors",
    "tabular.results",
    "tabular.features",
    "tabular.errors",
    "fhir_adapters.patient",
    "fhir_adapters.errors",
    "cds.errors",
    "cds.entrypoints.cli",
)

Import = tuple[Path, int, str]


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(package: str) -> Iterator[Import]:
    """File, line and full dotted name of everything a package imports, wherever the statement stands."""
    for path in source_files(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield path, node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno} imports relatively"
                for alias in node.names:
                    yield path, node.lineno, f"{node.module}.{alias.name}"


def is_allowed(name: str, allowed: frozenset[str]) -> bool:
    return any(name == entry or name.startswith(entry + ".") for entry in allowed)


@pytest.mark.parametrize("package", PACKAGES)
def test_directions(package: str) -> None:
    others = tuple(other for other in PACKAGES if other != package)
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, line, name in imports_of(package)
        if name.split(".")[0] in others and not is_allowed(name, ALLOWED[package])
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_product_does_not_import_its_tests(package: str) -> None:
    assert [name for _, _, name in imports_of(package) if name.split(".")[0] in {"tests", "pytest", "hypothesis"}] == []


def test_the_walk_sees_something() -> None:
    for package in PACKAGES:
        assert len(source_files(package)) > 3
        assert len(list(imports_of(package))) > 3


def test_fusion_knows_no_framework() -> None:
    known = sys.stdlib_module_names | FUSION_LIBRARIES | set(PACKAGES)
    assert sorted({name for _, _, name in imports_of("fusion") if name.split(".")[0] not in known}) == []


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_load_no_framework(module: str) -> None:
    program = f"import sys, {module};print([name for name in {(*HEAVY, *HEAVY_ENTRY)!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_holds(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert "Map" in docstring
