"""The bedside inputs as every entry point offers them: one wording, one way to read them from text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import UnionType
from typing import get_args, get_type_hints

from cds.errors import InputError
from fusion.context import ClinicalContext

YES_WORDS = frozenset({"yes", "true", "1"})
NO_WORDS = frozenset({"no", "false", "0"})
NOT_STATED_WORDS = frozenset({"", "not stated", "not_stated"})

LABELS: dict[str, tuple[str, str]] = {
    "site": ("Site", "The broken bone and its part."),
    "fracture_type": ("Pattern", "Pattern of the fracture as you read it."),
    "mechanism": ("Mechanism", "How the bone was broken."),
    "displaced": ("Displaced", "The fragments are displaced."),
    "intra_articular": ("Into a joint", "The fracture line enters a joint."),
    "open_wound": (
        "Open wound",
        "There is a wound over the fracture, which makes it open (compound); no radiograph shows this.",
    ),
    "gustilo": ("Gustilo grade", "Grade of an open fracture, which the surgeon sets at operation."),
    "vascular_deficit": ("Vascular deficit", "Perfusion beyond the injury is impaired."),
    "neurological_deficit": ("Neurological deficit", "New loss of sensation or power beyond the injury."),
    "compartment_signs": ("Compartment signs", "Signs of acute compartment syndrome."),
    "skin_threatened": ("Skin threatened", "The skin is tented, blanched or blistered."),
    "dislocation": ("Dislocation", "A joint is dislocated."),
    "clinical_suspicion_high": ("High suspicion", "The examination suggests a fracture."),
    "non_ambulant_infant": ("Pre-walking infant", "The patient is an infant who does not walk yet."),
    "operated": ("Operated", "The fracture was operated on: plate, nail or wires."),
    "growth_plate": ("Growth plate", "The fracture line enters a growth plate (Salter-Harris); children only."),
    "calcium_diet_mg_per_day": ("Calcium in the diet (mg/day)", "Calcium from food, mg per day."),
}
"""Field of `ClinicalContext` to its label and its explanation."""

MAX_DIETARY_CALCIUM_MG_PER_DAY = 10_000.0
"""More is a slip of the keyboard."""


class FieldKind(StrEnum):
    """How a field is asked for."""

    CHOICE = "choice"
    FLAG = "flag"
    """Yes, no or not stated."""
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class BedsideField:
    """One field of `ClinicalContext` as a person sees it."""

    name: str
    label: str
    explanation: str
    kind: FieldKind
    choices: type[StrEnum] | None = None
    """The members to choose from, for a choice."""


def _describe_fields() -> tuple[BedsideField, ...]:
    hints = get_type_hints(ClinicalContext)
    described: list[BedsideField] = []
    for item in fields(ClinicalContext):
        label, explanation = LABELS[item.name]
        kind, choices = _kind_of(hints[item.name])
        described.append(BedsideField(name=item.name, label=label, explanation=explanation, kind=kind, choices=choices))
    return tuple(described)


def _kind_of(hint: UnionType) -> tuple[FieldKind, type[StrEnum] | None]:
    (plain,) = (member for member in get_args(hint) if member is not type(None))
    if plain is bool:
        return FieldKind.FLAG, None
    if plain is float:
        return FieldKind.NUMBER, None
    return FieldKind.CHOICE, plain


BEDSIDE_FIELDS: tuple[BedsideField, ...] = _describe_fields()
"""Every field of `ClinicalContext`, in its order."""


def parse_context(values: Mapping[str, str | None]) -> ClinicalContext:
    """Read bedside inputs from text, as a web form sends them.

    Args:
        values: field name to text; a missing, None or empty entry means "not stated". A flag is ``yes`` or ``no``
            (or ``true``, ``false``), a choice one of its values, a number a finite decimal.

    Raises:
        InputError: an unknown field or a value that cannot be read; the value is not repeated.
    """
    known = {item.name: item for item in BEDSIDE_FIELDS}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(
            f"{len(unknown)} of the bedside inputs have unknown names.", remedy=f"Known names: {', '.join(known)}."
        )
    parsed = {name: _parse(known[name], text) for name, text in values.items()}
    return ClinicalContext(**parsed)  # type: ignore[arg-type]  # _parse gives each field its own type


def _parse(item: BedsideField, text: str | None) -> StrEnum | bool | float | None:
    word = "" if text is None else text.strip().lower()
    if word in NOT_STATED_WORDS:
        return None
    match item.kind:
        case FieldKind.FLAG if word in YES_WORDS:
            return True
        case FieldKind.FLAG if word in NO_WORDS:
            return False
        case FieldKind.CHOICE if item.choices is not None:
            for member in item.choices:
                if member.value.lower() == word:
                    return member
        case FieldKind.NUMBER:
            number = _finite(word)
            if number is not None and 0 <= number <= MAX_DIETARY_CALCIUM_MG_PER_DAY:
                return number
        case _:
            pass
    raise InputError(f"The value of '{item.name}' cannot be read.", remedy=f"Give {_accepted(item)}.")


def _finite(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _accepted(item: BedsideField) -> str:
    if item.choices is not None:
        return "one of " + ", ".join(member.value for member in item.choices)
    if item.kind is FieldKind.FLAG:
        return "'yes' or 'no', or leave it out"
    return f"a number from 0 to {MAX_DIETARY_CALCIUM_MG_PER_DAY:.0f}"
