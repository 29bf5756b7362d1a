"""What one diagnosis code can mean to this engine."""

from dataclasses import dataclass

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, FractureSiteGroup, SmokingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureMeaning:
    """The code names a fracture."""

    site: FractureSiteGroup
    pathological: bool = False
    """Due to osteoporosis or another bone disease, or without adequate trauma."""
    past: bool = False
    """The code itself says that the fracture lies in the past (personal history, sequela)."""
    neoplastic: bool = False
    """Due to a tumour of the bone, which is no osteoporosis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisMeaning:
    """Everything one code says; an empty meaning says: known, and of no interest here."""

    kinds: tuple[ConditionKind, ...] = ()
    diabetes: DiabetesType | None = None
    fracture: FractureMeaning | None = None
    smoking: SmokingStatus | None = None
    takes: DrugClass | None = None
    """The code says that a drug is taken for long (ICD-10-CM Z79)."""
    parent_broke_hip: bool = False
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
    site: FractureSiteGroup,
    *kinds: ConditionKind,
    pathological: bool = False,
    past: bool = False,
    neoplastic: bool = False,
) -> DiagnosisMeaning:
    """A fracture, with the bone disease that the code names, if any."""
    meaning = FractureMeaning(site=site, pathological=pathological, past=past, neoplastic=neoplastic)
    return DiagnosisMeaning(kinds=kinds, fracture=meaning)


def takes(drug_class: DrugClass) -> DiagnosisMeaning:
    """Long-term use of a drug."""
    return DiagnosisMeaning(takes=drug_class)


def smoking(status: SmokingStatus) -> DiagnosisMeaning:
    """Tobacco smoking."""
    return DiagnosisMeaning(smoking=status)
