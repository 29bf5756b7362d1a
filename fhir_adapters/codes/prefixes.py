"""Look-up in classifications where a longer code is a special case of a shorter one."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def longest_prefix(table: Mapping[str, T], code: str) -> T | None:
    """The entry of the longest prefix of `code` in `table`, or None."""
    for length in range(len(code), 0, -1):
        found = table.get(code[:length])
        if found is not None:
            return found
    return None


def compact(code: str) -> str:
    """An ICD or ATC code without its dot and spaces, in capitals: ``s52.501a`` to ``S52501A``."""
    return code.replace(".", "").replace(" ", "").upper()
