"""What the reader of a record is told about it: one code, one sentence.

A warning travels as ``code`` or ``code:detail``; the detail names a resource (``Observation/12``) or a count,
never patient data.
"""

from enum import StrEnum


class FhirWarning(StrEnum):
    """Every warning this package raises; the value is the code without its detail."""

    BUNDLE_PAGED = "fhir.bundle.paged"
    BUNDLE_ENTRY_UNREADABLE = "fhir.bundle.entry_unreadable"
    SUBJECT_MISSING = "fhir.subject.missing"
    SUBJECT_UNRESOLVED = "fhir.subject.unresolved"
    MODIFIER_UNKNOWN = "fhir.modifier.unknown"
    STATUS_MISSING = "fhir.status.missing"
    DATE_AFTER_AS_OF = "fhir.date.after_as_of"
    DATE_BEFORE_BIRTH = "fhir.date.before_birth"
    DATE_MISSING = "fhir.date.missing"
    DATE_UNREADABLE = "fhir.date.unreadable"
    PATIENT_BIRTH_DATE_MISSING = "fhir.patient.birth_date_missing"
    PATIENT_BIRTH_DATE_PARTIAL = "fhir.patient.birth_date_partial"
    PATIENT_BIRTH_DATE_IMPLAUSIBLE = "fhir.patient.birth_date_implausible"
    PATIENT_SEX_MISSING = "fhir.patient.sex_missing"
    PATIENT_BIRTH_SEX_DIFFERS = "fhir.patient.birth_sex_differs"
    PATIENT_SEX_AT_BIRTH_USED = "fhir.patient.sex_at_birth_used"
    PATIENT_MODIFIER = "fhir.patient.modifier"
    PATIENT_DECEASED = "fhir.patient.deceased"
    PATIENT_REPLACED = "fhir.patient.replaced"
    UNIT_MISSING = "fhir.unit.missing"
    UNIT_UNKNOWN = "fhir.unit.unknown"
    UNIT_CONFLICT = "fhir.unit.conflict"
    UNIT_FROM_CODE = "fhir.unit.from_code"
    VALUE_MISSING = "fhir.value.missing"
    VALUE_IMPLAUSIBLE = "fhir.value.implausible"
    VALUE_CONTRADICTION = "fhir.value.contradiction"
    VALUE_CONFLICT = "fhir.value.conflict"
    VALUE_FROM_TEXT = "fhir.value.from_text"
    VALUE_BOUND = "fhir.value.bound"
    VALUE_BOUND_UNUSABLE = "fhir.value.bound_unusable"
    VALUE_PRELIMINARY = "fhir.value.preliminary"
    VALUE_CODE_UNKNOWN = "fhir.value.code_unknown"
    SMOKING_CONTRADICTION = "fhir.smoking.contradiction"
    ALCOHOL_DRINK_SIZE = "fhir.alcohol.drink_size"
    FALLS_OUTDATED = "fhir.falls.outdated"
    T_SCORE_SITE_UNKNOWN = "fhir.t_score.site_unknown"
    SCAN_UNDATED = "fhir.scan.undated"
    CONDITION_UNCONFIRMED = "fhir.condition.unconfirmed"
    CONDITION_DIFFERENTIAL = "fhir.condition.differential"
    CONDITION_LIFELONG_INACTIVE = "fhir.condition.lifelong_inactive"
    CONDITION_REFUTED_ELSEWHERE = "fhir.condition.refuted_elsewhere"
    FRACTURE_DATED_BY_RECORD = "fhir.fracture.dated_by_record"
    FAMILY_CONFLICT = "fhir.family.conflict"
    BMI_CONTRADICTION = "fhir.bmi.contradiction"
    DIABETES_CONFLICT = "fhir.diabetes.conflict"
    MEDICATION_ROUTE_UNKNOWN = "fhir.medication.route_unknown"
    MEDICATION_UNRESOLVED = "fhir.medication.unresolved"
    MEDICATION_UNCODED = "fhir.medication.uncoded"
    MEDICATION_UNCLASSIFIED = "fhir.medication.unclassified"


WARNINGS: dict[str, str] = {
    FhirWarning.BUNDLE_PAGED: "The record is one page of a longer search result; the other pages were not read.",
    FhirWarning.BUNDLE_ENTRY_UNREADABLE: "Some entries of the record are not FHIR resources and were left out.",
    FhirWarning.SUBJECT_MISSING: "Some entries do not say which patient they belong to and were left out.",
    FhirWarning.SUBJECT_UNRESOLVED: "Some entries belong to a patient who is not in the record and were left out.",
    FhirWarning.MODIFIER_UNKNOWN: "An entry carries a modifier that may change its meaning and was left out.",
    FhirWarning.STATUS_MISSING: "An entry has no status, so whether it is valid is unknown; it was left out.",
    FhirWarning.DATE_AFTER_AS_OF: "Some entries are dated after the time of the assessment and were left out.",
    FhirWarning.DATE_BEFORE_BIRTH: "Some entries are dated before the patient's birth; they were treated as undated.",
    FhirWarning.DATE_MISSING: "A value has no date; it was used because no dated value was found.",
    FhirWarning.DATE_UNREADABLE: "An entry has a date that cannot be read; it was treated as undated.",
    FhirWarning.PATIENT_BIRTH_DATE_MISSING: "The record has no date of birth, so the age is unknown.",
    FhirWarning.PATIENT_BIRTH_DATE_PARTIAL: "Only the year or month of birth is recorded; the age may be one year off.",
    FhirWarning.PATIENT_BIRTH_DATE_IMPLAUSIBLE: "The date of birth is unreadable or impossible, so the age is unknown.",
    FhirWarning.PATIENT_SEX_MISSING: "The record does not give the patient's sex.",
    FhirWarning.PATIENT_BIRTH_SEX_DIFFERS: "Recorded gender and sex at birth differ; the recorded gender was used.",
    FhirWarning.PATIENT_SEX_AT_BIRTH_USED: "The gender is not female or male; the recorded sex at birth was used.",
    FhirWarning.PATIENT_MODIFIER: "The patient entry carries a modifier unknown to this software; check who it is.",
    FhirWarning.PATIENT_DECEASED: "The patient is recorded as deceased.",
    FhirWarning.PATIENT_REPLACED: "The patient entry is marked as replaced by another; the record may be incomplete.",
    FhirWarning.UNIT_MISSING: "A value has no unit and was left out.",
    FhirWarning.UNIT_UNKNOWN: "A value has a unit that does not fit what was measured and was left out.",
    FhirWarning.UNIT_CONFLICT: "A value has a coded and a printed unit that contradict each other; it was left out.",
    FhirWarning.UNIT_FROM_CODE: "A unit was incomplete and was completed from the definition of the test.",
    FhirWarning.VALUE_MISSING: "The newest result holds no value; an older one was used if there is one.",
    FhirWarning.VALUE_IMPLAUSIBLE: "A value is outside the range that is physiologically possible and was left out.",
    FhirWarning.VALUE_CONTRADICTION: "A result holds a value and a reason why it has none; it was left out.",
    FhirWarning.VALUE_CONFLICT: "Two results of the same time contradict each other; only one of them was used.",
    FhirWarning.VALUE_FROM_TEXT: "A value was recorded as text; the number in it was used.",
    FhirWarning.VALUE_BOUND: "A result was reported only as a bound, such as 'above 60'; the bound was used.",
    FhirWarning.VALUE_BOUND_UNUSABLE: "The newest result is a bound that cannot be used safely; the value is unknown.",
    FhirWarning.VALUE_PRELIMINARY: "A value comes from a preliminary report.",
    FhirWarning.VALUE_CODE_UNKNOWN: "A coded answer is not known to this software and was left out.",
    FhirWarning.SMOKING_CONTRADICTION: "The newest entry says never smoked, an earlier one smoked; the newer counts.",
    FhirWarning.ALCOHOL_DRINK_SIZE: "Alcohol is recorded in drinks; one was taken as 14 g of ethanol (1.75 units).",
    FhirWarning.FALLS_OUTDATED: "The number of falls was recorded more than a year ago and was left out.",
    FhirWarning.T_SCORE_SITE_UNKNOWN: "A bone density T-score does not say where it was measured.",
    FhirWarning.SCAN_UNDATED: "A bone density scan is recorded without a usable date and was left out.",
    FhirWarning.CONDITION_UNCONFIRMED: "A diagnosis is recorded as unconfirmed or provisional; it was counted.",
    FhirWarning.CONDITION_DIFFERENTIAL: "A diagnosis is recorded as one of several possibilities; it was not counted.",
    FhirWarning.CONDITION_LIFELONG_INACTIVE: "A lifelong disease is recorded as resolved or inactive; it was counted.",
    FhirWarning.CONDITION_REFUTED_ELSEWHERE: "A diagnosis that was counted is recorded as refuted in another entry.",
    FhirWarning.FRACTURE_DATED_BY_RECORD: "A fracture has no date; that of the encounter that recorded it was used.",
    FhirWarning.FAMILY_CONFLICT: "Entries on hip fractures of the parents contradict each other; it was counted.",
    FhirWarning.BMI_CONTRADICTION: "The body mass index differs from that of weight and height by over a tenth.",
    FhirWarning.DIABETES_CONFLICT: "The record holds both type 1 and type 2 diabetes; the most recent entry was used.",
    FhirWarning.MEDICATION_ROUTE_UNKNOWN: "A drug whose effect depends on its route has no route; not counted.",
    FhirWarning.MEDICATION_UNRESOLVED: "A medication entry refers to a drug that is not in the record; left out.",
    FhirWarning.MEDICATION_UNCODED: "Some current drugs are named in text only, without a usable code; not judged.",
    FhirWarning.MEDICATION_UNCLASSIFIED: "Some current drugs have codes this software does not know; not judged.",
}
"""Code without detail to one sentence for the reader of a report."""
