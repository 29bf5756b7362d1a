"""What one diagnosis code can mean to this engine."""

from dataclasses import dataclass

from fhir_adapters.patient import ConditionKind, DiabetesType, FractureSiteGroup, SmokingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureMeaning:
    """The code names a fracture."""

    site: FractureSiteGroup
    pathological: bool = False
    """Due to osteoporosis or another bone disease, or without adequate trauma."""
    past: bool = False
    """The code itself says that the fracture lies in the past (personal history, sequela)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisMeaning:
    """Everything one code says; an empty meaning says: known, and of no interest here."""

    kinds: tuple[ConditionKind, ...] = ()
    diabetes: DiabetesType | None = None
    fracture: FractureMeaning | None = None
    smoking: SmokingStatus | None = None
    past: bool = False
    """The code itself says 'in remission' or 'history of'."""


NOTHING = DiagnosisMeaning()
"""An exception inside a wider prefix: deliberately no meaning."""


def kind(*kinds: ConditionKind, past: bool = False) -> DiagnosisMeaning:
    """A disease, or several in one code."""
    return DiagnosisMeaning(kinds=kinds, past=past)


def diabetes(diabetes_type: DiabetesType, *kinds: ConditionKind) -> DiagnosisMeaning:
    """Diabetes mellitus, with what else the code names."""
    return DiagnosisMeaning(diabetes=diabetes_type, kinds=kinds)


def fracture(
    site: FractureSiteGroup, *kinds: ConditionKind, pathological: bool = False, past: bool = False
) -> DiagnosisMeaning:
    """A fracture, with the bone disease that the code names, if any."""
    meaning = FractureMeaning(site=site, pathological=pathological, past=past)
    return DiagnosisMeaning(kinds=kinds, fracture=meaning)


def smoking(status: SmokingStatus) -> DiagnosisMeaning:
    """Tobacco smoking."""
    return DiagnosisMeaning(smoking=status)
