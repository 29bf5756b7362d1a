"""The Patient resource: birth, age, sex, death."""

from dataclasses import dataclass
from datetime import date, datetime

from fhir_adapters.bundle import Entry
from fhir_adapters.dates import first_moment, parse_moment
from fhir_adapters.patient import Sex
from fhir_adapters.reading import Notes
from fhir_adapters.shapes import JsonObject, as_list, as_text
from fhir_adapters.warnings import FhirWarning

OLDEST_YEARS = 130

_SEXES = {sex.value: sex for sex in Sex}
_BIRTH_SEX = frozenset(
    {
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-sex",
    }
)
_BIRTH_SEXES = {"F": Sex.FEMALE, "M": Sex.MALE, "248152002": Sex.FEMALE, "248153007": Sex.MALE}
"""HL7 v3 and SNOMED CT codes of the two extensions."""
_BINARY = frozenset({Sex.FEMALE, Sex.MALE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Demographics:
    """Who the patient is, as far as risk depends on it."""

    birth_date: date | None
    """None unless the day is recorded."""
    age_years: int | None
    sex: Sex | None


def read_demographics(patient: Entry, as_of: datetime, notes: Notes) -> Demographics:
    """Birth date, completed years at `as_of` and administrative gender, with warnings for what is missing."""
    resource = patient.resource
    birth_date, age_years = _birth(resource, as_of, notes)
    if "modifierExtension" in resource or "implicitRules" in resource:
        notes.add(FhirWarning.PATIENT_MODIFIER)
    sex = _sex(resource, notes)
    if _is_deceased(resource, as_of):
        notes.add(FhirWarning.PATIENT_DECEASED)
    if any(isinstance(link, dict) and link.get("type") == "replaced-by" for link in as_list(resource.get("link"))):
        notes.add(FhirWarning.PATIENT_REPLACED)
    return Demographics(birth_date=birth_date, age_years=age_years, sex=sex)


def completed_years(born: date, on: date) -> int:
    """Birthdays that have passed; someone born on 29 February has theirs on 1 March in other years."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def _birth(resource: JsonObject, as_of: datetime, notes: Notes) -> tuple[date | None, int | None]:
    """Birth date and age. Of a year or month alone the middle is taken, which errs by at most one year either way."""
    text = as_text(resource.get("birthDate"))
    if text is None:
        notes.add(FhirWarning.PATIENT_BIRTH_DATE_MISSING)
        return None, None
    moment = parse_moment(text)
    if moment is None:
        notes.add(FhirWarning.PATIENT_BIRTH_DATE_IMPLAUSIBLE)
        return None, None
    day = moment.start.date()
    partial = len(text) < len("2000-01-01")
    if partial:
        day = day.replace(month=7) if len(text) == len("2000") else day.replace(day=15)
    age = completed_years(day, as_of.date())
    if partial and age < 0:
        age = 0 if moment.start <= as_of else age
    if not 0 <= age <= OLDEST_YEARS:
        notes.add(FhirWarning.PATIENT_BIRTH_DATE_IMPLAUSIBLE)
        return None, None
    if partial:
        notes.add(FhirWarning.PATIENT_BIRTH_DATE_PARTIAL)
    return (None if partial else day), age


def _sex(resource: JsonObject, notes: Notes) -> Sex | None:
    """Administrative gender; where that is neither female nor male, the recorded sex at birth, with a warning."""
    sex = _SEXES.get(as_text(resource.get("gender")) or "")
    at_birth = _birth_sex(resource)
    if sex in _BINARY:
        if at_birth not in {None, sex}:
            notes.add(FhirWarning.PATIENT_BIRTH_SEX_DIFFERS)
    elif at_birth is not None:
        notes.add(FhirWarning.PATIENT_SEX_AT_BIRTH_USED)
        return at_birth
    elif sex is None:
        notes.add(FhirWarning.PATIENT_SEX_MISSING)
    return sex


def _birth_sex(resource: JsonObject) -> Sex | None:
    for extension in as_list(resource.get("extension")):
        if isinstance(extension, dict) and as_text(extension.get("url")) in _BIRTH_SEX:
            found = _BIRTH_SEXES.get(as_text(extension.get("valueCode")) or "")
            if found is not None:
                return found
    return None


def _is_deceased(resource: JsonObject, as_of: datetime) -> bool:
    if resource.get("deceasedBoolean") is True:
        return True
    died, unreadable = first_moment(resource, "deceasedDateTime")
    return unreadable or (died is not None and not died.is_after(as_of))
