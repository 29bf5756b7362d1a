"""One look-up for drugs, whatever terminology they come in."""

from dataclasses import dataclass
from functools import lru_cache

from fhir_adapters.codes import atc, rxnorm
from fhir_adapters.codes.prefixes import compact, longest_prefix
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.patient import DrugClass


@dataclass(frozen=True, slots=True, kw_only=True)
class DrugMeaning:
    """What one drug code says."""

    classes: tuple[DrugClass, ...] = ()
    """Empty: known, and in none of the classes of this engine."""
    needs_systemic_route: bool = False
    """Counts as a systemic glucocorticoid only with a route that reaches the whole body."""
    oral_or_intravenous: bool = False
    """A bisphosphonate whose class depends on the route."""


@lru_cache(maxsize=8192)
def drug(system_uri: str, code: str) -> DrugMeaning | None:
    """What a drug code means here; None when this engine does not know the code at all."""
    system = system_of(system_uri)
    if system is CodeSystem.ATC:
        return _from_atc(compact(code))
    if system is CodeSystem.RXNORM:
        return _from_rxnorm(code)
    return None


def _from_atc(code: str) -> DrugMeaning | None:
    if code == atc.IBANDRONATE:
        return DrugMeaning(oral_or_intravenous=True)
    # Below the fifth level every ATC code is specific enough to say that it is none of our classes.
    classes = longest_prefix(atc.CLASSES, code)
    if classes is None and len(code) < 7:
        return None
    return DrugMeaning(classes=classes or ())


def _from_rxnorm(code: str) -> DrugMeaning | None:
    if code == rxnorm.IBANDRONATE:
        return DrugMeaning(oral_or_intravenous=True)
    if code in rxnorm.ROUTE_DECIDES:
        return DrugMeaning(classes=(DrugClass.SYSTEMIC_GLUCOCORTICOID,), needs_systemic_route=True)
    classes = rxnorm.CLASSES.get(code)
    if classes is None and code not in rxnorm.NO_CLASS:
        return None
    return DrugMeaning(classes=classes or ())


LOCAL_ROUTES: frozenset[str] = frozenset(
    {"6064005", "54485002", "46713006", "10547007", "16857009", "447694001", "18679011000001101"}
)
"""SNOMED CT: topical, ophthalmic, nasal, otic, vaginal, respiratory tract, inhalation."""

INTRAVENOUS_ROUTE = "47625008"
ORAL_ROUTE = "26643006"
SYSTEMIC_ROUTES: frozenset[str] = frozenset({ORAL_ROUTE, INTRAVENOUS_ROUTE, "78421000", "34206005"})
"""SNOMED CT: oral, intravenous, intramuscular, subcutaneous."""

LOCAL_DOES_NOT_COUNT: frozenset[DrugClass] = frozenset(
    {
        DrugClass.SYSTEMIC_GLUCOCORTICOID,
        DrugClass.NSAID,
        DrugClass.TETRACYCLINE,
        DrugClass.QUINOLONE,
        DrugClass.HORMONE_REPLACEMENT,
        DrugClass.ANTICOAGULANT,
    }
)
"""Classes whose effect meant here is that on the whole body."""
