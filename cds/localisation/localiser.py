"""A key and its values to a sentence in one language; numbers, percentages, dates and units as they are written there.

Formats are those of the CLDR, by babel. Units of doses are messages (``unit.dose``), since the CLDR has none for them.
"""

import re
from datetime import date, datetime

from babel import Locale
from babel.dates import format_date, format_time
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent

from cds.localisation.catalogue import COUNT, Catalogue, load_catalogue
from cds.localisation.errors import MessageValueError
from cds.localisation.language import Language

Value = str | int | float
"""What a placeholder takes; numbers are written as the language writes them, text is put in as it is."""

NO_BREAK = "\N{NO-BREAK SPACE}"
_DOSE_KEYS: dict[str, str] = {
    "mg/d": "unit.dose.mg_per_day",
    "g/d": "unit.dose.g_per_day",
    "ug/d": "unit.dose.ug_per_day",
    "[iU]/d": "unit.dose.iu_per_day",
    "g/kg/d": "unit.dose.g_per_kg_per_day",
}
"""UCUM to the message with its name."""


class Localiser:
    """Writes in one language."""

    def __init__(self, language: Language, catalogue: Catalogue | None = None) -> None:
        """Takes a language, and its messages where they are not those that ship with the code."""
        self.language = language
        self._catalogue = catalogue if catalogue is not None else load_catalogue(language)
        self._locale = Locale.parse(language.locale)

    @property
    def reviewed(self) -> bool:
        """Whether a clinician who is a native speaker has read the texts of this language."""
        return self._catalogue.reviewed

    def has(self, key: str) -> bool:
        """Whether there is a message under this key."""
        return key in self._catalogue

    def text(self, key: str, **values: Value) -> str:
        """A message with its values put in.

        Args:
            key: dotted key of the message.
            **values: by the names of its placeholders; ``count`` chooses the plural form.

        Raises:
            UnknownMessageError: there is no such key.
            MessageValueError: a value is missing, or is not asked for.
        """
        message = self._catalogue[key]
        if set(values) != message.placeholders:
            names = ", ".join(sorted(message.placeholders)) or "nothing"
            raise MessageValueError(f"The message {key!r} takes {names}.", remedy="Give exactly these values.")
        form = "other"
        if message.is_plural:
            count = values[COUNT]
            if isinstance(count, str):
                raise MessageValueError(f"'count' of {key!r} is no number.", remedy="Give a number.")
            form = self._locale.plural_form(count)
        written = {name: one if isinstance(one, str) else self.number(one) for name, one in values.items()}
        return message.forms[form].format_map(written)

    def number(self, value: float, *, decimals: int = 1) -> str:
        """A number with at most `decimals` digits after the decimal mark, for instance "1,200.5" or "1.200,5"."""
        return format_decimal(round(value, decimals), format=f"#,##0.{'#' * decimals}", locale=self._locale)

    def percent(self, share: float, *, decimals: int = 0) -> str:
        """A share, 0..1, for instance "80%" or "80 %"; never rounded to none or all unless it is.

        Args:
            share: 0..1.
            decimals: digits after the decimal mark.
        """
        least = 0.5 * 10.0 ** -(decimals + 2)
        # Exactly half a last digit is rounded to the even one, which may be none or all.
        if 0 < share <= least:
            return f"<{NO_BREAK}{self._percent(10.0 ** -(decimals + 2), decimals)}"
        if 1 - least <= share < 1:
            return f">{NO_BREAK}{self._percent(1 - 10.0 ** -(decimals + 2), decimals)}"
        return self._percent(share, decimals)

    def _percent(self, share: float, decimals: int) -> str:
        pattern = self._locale.percent_formats[None].pattern
        if decimals:
            pattern = pattern.replace("0", f"0.{'0' * decimals}")
        return format_percent(share, format=pattern, locale=self._locale)

    def date(self, value: date | datetime) -> str:
        """A day in words, for instance "12 March 2026" or "12. März 2026"."""
        return format_date(value, format="long", locale=self._locale)

    def moment(self, value: datetime) -> str:
        """A day and a time with its zone, for instance "12 March 2026, 09:30 UTC"."""
        clock = format_time(value, format="HH:mm", tzinfo=value.tzinfo, locale=self._locale)
        return f"{self.date(value)}, {clock} {value.tzname() or ''}".strip()

    def span(self, low: float, high: float, *, decimals: int = 1) -> str:
        """Two ends of a range, for instance "7 to 15"; one number where they are written alike."""
        first, last = self.number(low, decimals=decimals), self.number(high, decimals=decimals)
        return first if first == last else self.text("unit.range", low=first, high=last)

    def dose(self, low: float, high: float, ucum: str) -> str:
        """An amount a day with its unit in words, for instance "800 to 1,000 units (IU) a day".

        Raises:
            MessageValueError: no unit of doses has this code.
        """
        if ucum not in _DOSE_KEYS:
            raise MessageValueError(
                f"No unit of doses has the UCUM code {ucum!r}.", remedy=f"Known: {', '.join(_DOSE_KEYS)}."
            )
        return self.text(_DOSE_KEYS[ucum], amount=self.span(low, high))

    def millimetres(self, value: float) -> str:
        """A length, for instance "5.4 mm", its number and unit on one line."""
        return f"{self.number(value)}{NO_BREAK}mm"

    def listed(self, parts: list[str]) -> str:
        """Parts of a sentence in a row, for instance "a, b and c"."""
        return format_list(parts, style="standard", locale=self._locale)

    def capitalised(self, text: str) -> str:
        """The text with a capital first letter."""
        return re.sub(r"^\w", lambda first: first.group().upper(), text)
