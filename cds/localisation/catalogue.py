"""The messages of one language: read from its YAML file and checked before the first text is made.

A file holds ``schema``, ``language``, ``reviewed`` (whether a clinician who is a native speaker has read it) and
``messages``, a tree whose leaves are texts. A branch whose keys are plural categories is one message.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter

import yaml
from babel import Locale

from cds.localisation.errors import CatalogueError, UnknownMessageError
from cds.localisation.language import Language

SCHEMA = "fracture-cds.messages/1"
MESSAGES_DIR = Path(__file__).resolve().parent / "messages"
COUNT = "count"
"""The value that chooses the plural form."""
_OTHER = "other"
_FORMS = frozenset({"zero", "one", "two", "few", "many", _OTHER})
"""Plural categories of the CLDR; no branch of the tree may be named so."""
_FIELDS = frozenset({"schema", "language", "reviewed", "messages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message."""

    forms: Mapping[str, str]
    """Plural category (CLDR) to text; ``other`` alone for a message without plural forms."""
    placeholders: frozenset[str]
    """Names of the values it takes."""

    @property
    def is_plural(self) -> bool:
        """Whether `COUNT` chooses among its forms."""
        return len(self.forms) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All messages of one language."""

    language: Language
    reviewed: bool
    """Whether a clinician who is a native speaker has read the texts."""
    messages: Mapping[str, Message]
    """Dotted key to message."""

    def __getitem__(self, key: str) -> Message:
        """One message by its key.

        Raises:
            UnknownMessageError: there is no such key.
        """
        try:
            return self.messages[key]
        except KeyError:
            raise UnknownMessageError(
                f"There is no message {key!r} in {self.language.value}.yaml.",
                remedy="Correct the key, or add the message in every language.",
            ) from None

    def __contains__(self, key: object) -> bool:
        """Whether a key is known."""
        return key in self.messages


@lru_cache(maxsize=8)
def load_catalogue(language: Language, folder: Path = MESSAGES_DIR) -> Catalogue:
    """Read and check the file of one language; the result is kept for the next call.

    Raises:
        CatalogueError: the file is missing, is no YAML or breaks the schema.
    """
    path = folder / f"{language.value}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise _broken(path.name, "cannot be read as YAML") from None
    if not isinstance(content, dict) or set(content) != _FIELDS:
        raise _broken(path.name, f"must hold {', '.join(sorted(_FIELDS))} and nothing else")
    if content["schema"] != SCHEMA or content["language"] != language.value:
        raise _broken(path.name, f"must name the schema {SCHEMA} and the language {language.value}")
    if not isinstance(content["reviewed"], bool):
        raise _broken(path.name, "must say true or false under 'reviewed'")
    tags = frozenset(Locale.parse(language.locale).plural_form.tags) | {_OTHER}
    found: dict[str, Message] = {}
    for key, forms in _leaves(content["messages"], "", path.name):
        if key in found:
            raise _broken(path.name, f"holds {key} twice")
        found[key] = _message(key, forms, tags, path.name)
    return Catalogue(language=language, reviewed=content["reviewed"], messages=found)


def _leaves(branch: object, prefix: str, file: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every message with its dotted key."""
    if not isinstance(branch, dict) or not branch:
        raise _broken(file, f"has no texts under {prefix or 'messages'}")
    for name, value in branch.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if not isinstance(name, str):
            raise _broken(file, f"has a key that is no text: {key}")
        if isinstance(value, str):
            yield key, {_OTHER: value}
        elif isinstance(value, dict) and (_FORMS & value.keys()):
            yield key, value
        else:
            yield from _leaves(value, key, file)


def _message(key: str, forms: Mapping[str, str], tags: frozenset[str], file: str) -> Message:
    """One checked message: the plural forms of its language, simple placeholders, the same ones in every form."""
    if set(forms) != {_OTHER} and set(forms) != tags:
        raise _broken(file, f"needs the plural forms {', '.join(sorted(tags))} at {key}")
    named = []
    for text in forms.values():
        if not isinstance(text, str) or not text.strip() or text != text.strip():
            raise _broken(file, f"has an empty or badly trimmed text at {key}")
        named.append(_placeholders(key, text, file))
    every = frozenset().union(*named)
    # "one" may spell its number out, so that only the other values have to be the same in every form.
    if any(one - {COUNT} != every - {COUNT} for one in named) or (len(forms) > 1 and COUNT not in every):
        raise _broken(file, f"has different placeholders in the plural forms of {key}")
    return Message(forms=dict(forms), placeholders=every)


def _placeholders(key: str, text: str, file: str) -> frozenset[str]:
    try:
        parts = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(text) if name is not None]
    except ValueError:
        raise _broken(file, f"has an unpaired brace at {key}") from None
    if any(not name.isidentifier() or form or conversion for name, form, conversion in parts):
        raise _broken(file, f"has a placeholder that is no plain name at {key}")
    return frozenset(name for name, _, _ in parts)


def _broken(file: str, what: str) -> CatalogueError:
    return CatalogueError(f"The file of messages {file} {what}.", remedy="Correct the file; its schema is documented.")
