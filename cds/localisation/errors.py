"""What can go wrong here.

    LocalisationError              cds.localisation.error
    +-- CatalogueError             cds.localisation.catalogue   a file of messages is missing or breaks its schema
    +-- UnknownMessageError        cds.localisation.unknown     no message under this key
    +-- MessageValueError          cds.localisation.value       a placeholder without its value, or a value without one

Messages name files, keys and placeholders, never a value: it may come from a record.
"""


class LocalisationError(Exception):
    """Base of all errors of this package."""

    code: str = "cds.localisation.error"

    def __init__(self, message: str, *, remedy: str) -> None:
        """Keeps what is wrong (`message`) and how to mend it (`remedy`)."""
        super().__init__(message)
        self.remedy = remedy


class CatalogueError(LocalisationError):
    """A file of messages is missing, is no YAML or breaks the schema."""

    code = "cds.localisation.catalogue"


class UnknownMessageError(LocalisationError):
    """A key that the catalogue does not hold."""

    code = "cds.localisation.unknown"


class MessageValueError(LocalisationError):
    """The values given are not those that the message names."""

    code = "cds.localisation.value"
