"""The error tree and the warnings say what they promise."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import imaging
from imaging import errors
from imaging.errors import ImagingError
from imaging.warnings import WARNINGS

SOURCES = Path(imaging.__file__).parent
READING = ("reader.py", "raster.py", "grey.py", "limits.py", "codestream.py", "dicom", "phantom")


def every_error() -> list[type[ImagingError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ImagingError) and value.__module__ == errors.__name__
    ]


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_codes_are_distinct_dotted_and_drawn_in_the_docstring() -> None:
    found = every_error()
    codes = [error.code for error in found]
    assert len(set(codes)) == len(codes)
    for error in found:
        assert re.fullmatch(r"imaging(\.[a-z_]+)+", error.code)
        assert f"{error.__name__} " in (errors.__doc__ or "") and error.code in (errors.__doc__ or "")


def test_every_error_has_a_remedy_and_survives_a_process_border() -> None:
    for kind in every_error():
        error = pickle.loads(pickle.dumps(kind("What is wrong.", remedy="Do this.")))
        assert (type(error), str(error), error.remedy) == (kind, "What is wrong.", "Do this.")
        assert kind("x").remedy.endswith((".", "!"))


def test_every_warning_raised_by_the_reader_is_explained() -> None:
    raised = set()
    for name in READING:
        path = SOURCES / name
        for source in [path] if path.is_file() else sorted(path.glob("*.py")):
            raised |= {
                text.split(":")[0] for text in strings(source) if re.fullmatch(r"imaging(\.[a-z_]+){2,}:?", text)
            }
    modules = {text for text in raised if (SOURCES.parent / (text.replace(".", "/") + ".py")).is_file()}
    assert raised - modules <= set(WARNINGS)
    assert all(sentence.endswith(".") and len(sentence) < 200 for sentence in WARNINGS.values())
