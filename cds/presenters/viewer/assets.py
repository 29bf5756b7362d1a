"""Scripts and style of the viewer, as text."""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def script(*names: str) -> str:
    """Some scripts one after the other.

    Args:
        names: ``viewer``, ``workspace``, ``history``.
    """
    return "\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in names)


@cache
def style() -> str:
    """The style sheet."""
    return (_HERE / "viewer.css").read_text(encoding="utf-8")
