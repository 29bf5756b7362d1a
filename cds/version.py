"""The version of this application."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def engine_version() -> str:
    """Version of the installed distribution; ``0+source`` when run from a folder that was never installed."""
    try:
        return version("fracture-cds")
    except PackageNotFoundError:
        return "0+source"
