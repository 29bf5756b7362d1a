"""Careful access to JSON whose shape nobody has checked: what is not as FHIR has it reads as empty.

Reading goes through plain dictionaries instead of model classes because a screening list holds thousands of records and
a model validates every field of every resource, also the nine tenths that are not read.
"""

from collections.abc import Iterator

JsonObject = dict[str, object]

_EMPTY: JsonObject = {}


def as_object(value: object) -> JsonObject:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def as_list(value: object) -> list[object]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """The value if it is a non-empty JSON string, else None."""
    return value if isinstance(value, str) and value else None


def as_number(value: object) -> float | None:
    """The value if it is a JSON number (a boolean is none), else None."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def codings(concept: object) -> Iterator[tuple[str, str]]:
    """System and code of each coding of a CodeableConcept that has both."""
    if not isinstance(concept, dict):
        return
    found = concept.get("coding")
    if not isinstance(found, list):
        return
    for coding in found:
        if isinstance(coding, dict):
            system, code = coding.get("system"), coding.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code


def codes(concept: object) -> set[str]:
    """The bare codes of a CodeableConcept bound to a required value set, where the system adds nothing.

    A bare string is taken as the code: older FHIR releases had one in the place of some of these concepts.
    """
    if isinstance(concept, str):
        return {concept}
    return {
        coding["code"]
        for coding in as_list(as_object(concept).get("coding"))
        if isinstance(coding, dict) and isinstance(coding.get("code"), str)
    }
