"""Numbers of an English sentence, written again as German prints them; their values stay what they are."""

import re

NUMBER = r"[<>]?[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
"""A number as the report prints it in English: 1,200 and 0.5 and <0.1 and -2.5 and 4.6e+06; no letter touches it."""
_PARTS = re.compile(r"([<>]?)([-−+]?)(\d+(?:,\d{3})*)(?:\.(\d+))?(?:e([+-]?\d+))?")
_GROUPED_FROM = 5
"""Digits from which groups of three are set apart: 1000 but 10.000."""
_PERCENT = re.compile(r"(\d) ?%")
_UNIT = re.compile(r"(\d) (mm|cm|kg|g|mg|µg|ml|nmol|mmol|Monate|Wochen|Jahre|Tage|Stunden)\b")
NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def german(number: str) -> str:
    """One English number in German: decimal comma, a point between groups of three, a true minus sign.

    Raises:
        ValueError: the text is no number of the form `NUMBER`.
    """
    found = _PARTS.fullmatch(number)
    if found is None:
        raise ValueError("no number as the report prints it")
    bound, sign, whole, decimals, power = found.groups()
    whole = whole.replace(",", "")
    if power is not None:
        whole, decimals = f"{float(f'{whole}.{decimals or 0}e{power}'):.0f}", None
    if len(whole) >= _GROUPED_FROM:
        whole = f"{int(whole):,}".replace(",", ".")
    text = whole if decimals is None else f"{whole},{decimals}"
    return f"{bound}{MINUS if sign == '-' else sign}{text}"


def kept_together(text: str) -> str:
    """The text with a no-break space between a number and its percent sign or unit."""
    return _UNIT.sub(rf"\1{NO_BREAK}\2", _PERCENT.sub(rf"\1{NO_BREAK}%", text))
