"""Which lines of NDJSON are worth parsing, told from their bytes.

Nine tenths of an exported record are claims, encounters, vital signs and laboratory values that this engine does not
read. Looking for a type and a code in the bytes of a line costs less than parsing it, and the reader then sees fewer
resources. The test errs on one side only: a line that the reader could use is always kept.
"""

import re

from fhir_adapters.bundle import READ_TYPES
from fhir_adapters.codes.observations import OBSERVABLES

_START = b'{"resourceType":"'
_RESOURCE_TYPE = re.compile(rb'"resourceType"\s*:\s*"([^"]*)"')
_BY_CODE = frozenset({b"Observation", b"DiagnosticReport"})
"""Types of which only those count whose code, or that of a component or a contained Observation, is read."""
_ALWAYS = frozenset(name.encode() for name in READ_TYPES | {"Bundle"}) - _BY_CODE
_CODE = re.compile(rb'"code"\s*:\s*"(?:' + b"|".join(re.escape(code.encode()) for code in sorted(OBSERVABLES)) + rb')"')


def relevant_codes() -> frozenset[str]:
    """The codes (LOINC and SNOMED CT) of the Observations that are read, for instance to ask a server for them."""
    return frozenset(OBSERVABLES)


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
        if name in _BY_CODE:
            return _CODE.search(line) is not None or _has_escape(line)
        return name in _ALWAYS or (b"\\" in name)
    if not line.lstrip().startswith(b"{"):
        return True  # no resource: the reader counts it
    names = _RESOURCE_TYPE.findall(line)
    if not names or not _ALWAYS.isdisjoint(names) or _has_escape(line) or len(names) != line.count(b'"resourceType"'):
        return True
    return not _BY_CODE.isdisjoint(names) and _CODE.search(line) is not None


def _has_escape(line: bytes) -> bool:
    """Whether characters may be written as code points; the search for one byte is the faster half."""
    return b"\\" in line and b"\\u" in line
