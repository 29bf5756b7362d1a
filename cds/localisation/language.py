"""Which languages there are."""

from enum import StrEnum


class Language(StrEnum):
    """A language of the texts; the value is its ISO 639-1 code, the name of its file of messages."""

    EN = "en"
    """British English, the language that the texts are written in."""
    DE = "de"
    """German as written in Germany."""

    @property
    def locale(self) -> str:
        """Language and territory, which decide how numbers, dates and units are written."""
        return _LOCALES[self]

    @property
    def tag(self) -> str:
        """BCP 47 tag, for the attribute ``lang`` of a page."""
        return self.locale.replace("_", "-")


_LOCALES: dict[Language, str] = {Language.EN: "en_GB", Language.DE: "de_DE"}
