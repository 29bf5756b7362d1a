"""Which lines of NDJSON are worth parsing, told from their bytes.

Nine tenths of an exported record are claims, encounters, vital signs and laboratory values that this engine does not
read. Looking for a type and a code in the bytes of a line costs less than parsing it, and the reader then sees fewer
resources. The test errs on one side only: a line that the reader could use is always kept.
"""

import re
from collections.abc import Iterable, Mapping

from fhir_adapters.bundle import READ_TYPES
from fhir_adapters.codes.observations import OBSERVABLES
from fhir_adapters.codes.scans import SCANS

_START = b'{"resourceType":"'
_RESOURCE_TYPE = re.compile(rb'"resourceType"\s*:\s*"([^"]*)"')


def _any_of(codes: Iterable[str]) -> re.Pattern[bytes]:
    return re.compile(rb'"code"\s*:\s*"(?:' + b"|".join(re.escape(code.encode()) for code in sorted(codes)) + rb')"')


_BY_CODE: Mapping[bytes, re.Pattern[bytes]] = {
    b"Observation": _any_of(OBSERVABLES),
    b"DiagnosticReport": _any_of({*OBSERVABLES, *SCANS}),
    b"Procedure": _any_of(SCANS),
}
"""Types of which only those count whose code, or that of a component or a contained Observation, is read."""
_ALWAYS = frozenset(name.encode() for name in READ_TYPES | {"Bundle"}).difference(_BY_CODE)


def relevant_codes() -> frozenset[str]:
    """The codes (LOINC and SNOMED CT) of the Observations that are read, for instance to ask a server for them."""
    return frozenset(OBSERVABLES)


def scan_codes() -> frozenset[str]:
    """The codes of the Procedures that are read: bone density scans."""
    return frozenset(SCANS)


def is_relevant_line(line: bytes) -> bool:
    r"""Whether the reader could use the resource on a line of NDJSON.

    Args:
        line: One JSON object in UTF-8, with or without its line end. The object must not repeat a key.

    Returns:
        False only if `read_resources` gives the same snapshot without this line. That holds for the latest version of
        each resource, which is what FHIR Bulk Data exports: a newer version whose code is of no interest would have
        replaced an older one whose code is. A line that is unusual (no type, escapes of the form ``\u0041``) is kept.
    """
    if line.startswith(_START):
        start = len(_START)
        name = line[start : line.find(b'"', start)]
        if (code := _BY_CODE.get(name)) is not None:
            return code.search(line) is not None or _has_escape(line)
        return name in _ALWAYS or (b"\\" in name)
    if not line.lstrip().startswith(b"{"):
        return True  # no resource: the reader counts it
    names = _RESOURCE_TYPE.findall(line)
    if not names or not _ALWAYS.isdisjoint(names) or _has_escape(line) or len(names) != line.count(b'"resourceType"'):
        return True
    return any(name in _BY_CODE and _BY_CODE[name].search(line) is not None for name in names)


def _has_escape(line: bytes) -> bool:
    """Whether characters may be written as code points; the search for one byte is the faster half."""
    return b"\\" in line and b"\\u" in line
