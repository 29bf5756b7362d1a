"""Recommended and highest daily intake of calcium and vitamin D by age and sex."""

from dataclasses import dataclass

from fhir_adapters.patient import Sex
from fusion.facts import CaseFacts
from fusion.statements import Writer, plain

_INFANT_MONTHS = 6
"""Last completed month of the first infant band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A daily amount; a range where the age or the sex that decides is not known closely enough."""

    low: float
    high: float
    unit: str
    evidence: tuple[str, ...]

    @property
    def words(self) -> str:
        """The amount with its unit."""
        unit = "IU" if self.unit == "[iU]/d" else "mg"
        amount = plain(self.low) if self.low == self.high else f"{plain(self.low)} to {plain(self.high)}"
        return f"{amount} {unit} a day"


def _intake(writer: Writer, unit: str, *ids: str) -> Intake:
    values = [writer.value(one) for one in ids]
    return Intake(low=min(values), high=max(values), unit=unit, evidence=ids)


def _bands(bands: tuple[tuple[int, str], ...], age: int) -> str:
    """Name of the last band whose first year is reached."""
    return next(name for first, name in reversed(bands) if age >= first)


def _infant_bands(facts: CaseFacts) -> tuple[str, ...]:
    months = facts.age_months
    if months is None:
        return "age_0_6m", "age_7_12m"
    return ("age_0_6m",) if months <= _INFANT_MONTHS else ("age_7_12m",)


def calcium_target(facts: CaseFacts, writer: Writer) -> Intake | None:
    """Calcium from all sources: the fracture guideline from 50 years with a fracture or osteoporosis, else the RDA.

    Returns:
        None when the age is not known.
    """
    age = facts.age_years
    if age is None:
        return None
    prefix = "care.calcium.rda."
    if age == 0:
        return _intake(writer, "mg/d", *(prefix + one for one in _infant_bands(facts)))
    if facts.bone_health_case:
        return _intake(writer, "mg/d", *_guideline_calcium(age, facts.sex))
    if 51 <= age <= 70:
        return _intake(writer, "mg/d", *_of_sex(facts.sex, prefix + "age_51_70y_f", prefix + "age_51_70y_m"))
    bands = ((1, "age_1_3y"), (4, "age_4_8y"), (9, "age_9_18y"), (19, "age_19_50y"), (71, "age_71y"))
    return _intake(writer, "mg/d", prefix + _bands(bands, age))


def _guideline_calcium(age: int, sex: Sex | None) -> tuple[str, ...]:
    men = "care.calcium.bhof_men_71" if age > 70 else "care.calcium.bhof_men_50_70"
    # The guideline starts at 51 for women; at 50 a woman has the adult recommended intake.
    women = "care.calcium.bhof_women_51" if age > 50 else "care.calcium.rda.age_19_50y"
    return _of_sex(sex, women, men)


def _of_sex(sex: Sex | None, women: str, men: str) -> tuple[str, ...]:
    """The entry of a sex, or both when the sex is not known."""
    return (women,) if sex is Sex.FEMALE else (men,) if sex is Sex.MALE else (women, men)


def calcium_limit(facts: CaseFacts, writer: Writer) -> Intake | None:
    """The tolerable upper intake of calcium; None when the age is not known."""
    age = facts.age_years
    if age is None:
        return None
    prefix = "care.calcium.ul."
    if age == 0:
        return _intake(writer, "mg/d", *(prefix + one for one in _infant_bands(facts)))
    bands = ((1, "age_1_8y"), (9, "age_9_18y"), (19, "age_19_50y"), (51, "age_51y"))
    return _intake(writer, "mg/d", prefix + _bands(bands, age))


def vitamin_d_target(facts: CaseFacts, writer: Writer) -> Intake | None:
    """The recommended intake of vitamin D; None when the age is not known."""
    age = facts.age_years
    if age is None:
        return None
    bands = ((0, "age_0_12m"), (1, "age_1_70y"), (71, "age_71y"))
    return _intake(writer, "[iU]/d", f"care.vitamin_d.rda.{_bands(bands, age)}")


def vitamin_d_limit(facts: CaseFacts, writer: Writer) -> Intake | None:
    """The tolerable upper intake of vitamin D; None when the age is not known."""
    age = facts.age_years
    if age is None:
        return None
    prefix = "care.vitamin_d.ul."
    if age == 0:
        return _intake(writer, "[iU]/d", *(prefix + one for one in _infant_bands(facts)))
    bands = ((1, "age_1_3y"), (4, "age_4_8y"), (9, "age_9y"))
    return _intake(writer, "[iU]/d", prefix + _bands(bands, age))
