"""Text in tables that a spreadsheet would run as a formula.

After OWASP's advice on CSV injection: a cell that begins with ``= + - @``, a tabulator or a carriage return is given an
apostrophe, which spreadsheets show as text. Numbers are left alone, negative ones too.
"""

import re

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def harmless(value: object) -> object:
    """A value for a cell: text that would run gets an apostrophe, everything else stays as it is."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_STARTS) or _NUMBER.fullmatch(value):
        return value
    return "'" + value
