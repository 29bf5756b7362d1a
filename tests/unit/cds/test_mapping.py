"""The mapping from record to risk row: silence stays None, the present fracture does not count, thresholds hold."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.mapping import PRESENT_FRACTURE_WINDOW, is_present_fracture, map_features
from cds.warnings import WARNINGS
from fhir_adapters.patient import (
    ConditionEntry,
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    PriorFracture,
    Sex,
    SmokingStatus,
    Sourced,
)
from tabular.features import RiskFeatures

AS_OF = datetime(2026, 3, 4, tzinfo=UTC)


def snapshot(**values: object) -> PatientSnapshot:
    basis = {
        "patient_id": "p",
        "as_of": AS_OF,
        "birth_date": date(1958, 9, 1),
        "age_years": 67,
        "sex": Sex.FEMALE,
    }
    return PatientSnapshot(**{**basis, **values})  # type: ignore[arg-type]


def said(value: object) -> Sourced[object]:
    return Sourced(value=value, resource="Observation/1")


def features(**values: object) -> RiskFeatures:
    return map_features(snapshot(**values)).features


def fracture(site: FractureSiteGroup = FractureSiteGroup.HIP, days: int | None = 1000, **more: Any) -> PriorFracture:
    onset = None if days is None else AS_OF - timedelta(days=days)
    return PriorFracture(site=site, code="s|c", resource="Condition/1", onset=onset, **more)


def condition(kind: ConditionKind, *, active: bool = True) -> ConditionEntry:
    return ConditionEntry(kind=kind, code="s|c", resource="Condition/2", active=active)


def test_silence_is_none_everywhere() -> None:
    row = map_features(PatientSnapshot(patient_id="p", as_of=AS_OF)).features
    assert all(getattr(row, item.name) is None for item in fields(RiskFeatures))


def test_problem_list_without_a_disease_is_not_a_no() -> None:
    row = features(conditions=(condition(ConditionKind.STROKE),))
    assert row.rheumatoid_arthritis is None
    assert row.osteoporosis_diagnosed is None
    assert row.secondary_osteoporosis is None
    assert row.glucocorticoids is None
    assert row.prior_fragility_fracture is None


def test_stated_values_pass_through() -> None:
    row = features(
        weight_kg=said(61.0),
        height_cm=said(160.0),
        bmi_kg_m2=said(23.8),
        parental_hip_fracture=said(False),
        t_score_femoral_neck=said(-2.6),
        vitamin_d_nmol_l=said(34.0),
        hba1c_percent=said(7.1),
        falls_last_year=said(0),
    )
    assert (row.age_years, row.female) == (67.0, True)
    assert (row.weight_kg, row.height_cm, row.bmi_kg_m2) == (61.0, 160.0, 23.8)
    assert row.parental_hip_fracture is False
    assert (row.femoral_neck_t_score, row.vitamin_d_nmol_l, row.hba1c_percent) == (-2.6, 34.0, 7.1)
    assert row.falls_last_year == 0


@pytest.mark.parametrize(
    ("sex", "female"),
    [(Sex.FEMALE, True), (Sex.MALE, False), (Sex.OTHER, None), (Sex.UNKNOWN, None), (None, None)],
)
def test_sex(sex: Sex | None, female: bool | None) -> None:
    assert features(sex=sex).female is female


def test_body_mass_index_is_the_readers() -> None:
    # The reader computes it from a weight and a height of about the same time; two values of any age are no index.
    assert features(weight_kg=said(61.0), height_cm=said(160.0)).bmi_kg_m2 is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (SmokingStatus.CURRENT, (True, False)),
        (SmokingStatus.FORMER, (False, True)),
        (SmokingStatus.NEVER, (False, False)),
        (SmokingStatus.UNKNOWN, (None, None)),
    ],
)
def test_smoking(status: SmokingStatus, expected: tuple[bool | None, bool | None]) -> None:
    row = features(smoking=said(status))
    assert (row.current_smoker, row.former_smoker) == expected


@pytest.mark.parametrize(("units", "heavy"), [(0.0, False), (20.9, False), (21.0, True), (60.0, True)])
def test_alcohol_threshold_is_three_units_a_day(units: float, heavy: bool) -> None:
    assert features(alcohol_units_per_week=said(units)).alcohol_3_or_more_units_per_day is heavy


@pytest.mark.parametrize(
    ("units", "comparator", "heavy"),
    [(14.0, "<", False), (30.0, "<", None), (30.0, ">", True), (14.0, ">", None), (21.0, ">=", True)],
)
def test_alcohol_bound_may_leave_the_threshold_undecided(units: float, comparator: str, heavy: bool | None) -> None:
    stated = Sourced(value=units, resource="Observation/1", comparator=comparator)
    assert features(alcohol_units_per_week=stated).alcohol_3_or_more_units_per_day is heavy


def test_alcohol_disorder_without_amount_stays_unknown_and_says_so() -> None:
    mapped = map_features(snapshot(conditions=(condition(ConditionKind.ALCOHOL_USE_DISORDER),)))
    assert mapped.features.alcohol_3_or_more_units_per_day is None
    assert mapped.warnings == ("cds.alcohol.quantity_missing:Condition/2",)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (DiabetesType.TYPE_1, (True, False, True)),
        (DiabetesType.TYPE_2, (False, True, None)),
        (DiabetesType.UNSPECIFIED, (None, None, None)),
    ],
)
def test_diabetes(kind: DiabetesType, expected: tuple[bool | None, ...]) -> None:
    row = features(diabetes=said(kind))
    assert (row.diabetes_type_1, row.diabetes_type_2, row.secondary_osteoporosis) == expected


def test_disease_on_the_list_counts_even_when_inactive() -> None:
    row = features(conditions=(condition(ConditionKind.RHEUMATOID_ARTHRITIS, active=False),))
    assert row.rheumatoid_arthritis is True


def test_statement_wins_over_the_list() -> None:
    row = features(rheumatoid_arthritis=said(False), conditions=(condition(ConditionKind.RHEUMATOID_ARTHRITIS),))
    assert row.rheumatoid_arthritis is False


@pytest.mark.parametrize(
    ("kind", "active", "expected"),
    [
        (ConditionKind.HYPERTHYROIDISM, True, True),
        (ConditionKind.HYPERTHYROIDISM, False, None),
        (ConditionKind.MALABSORPTION, True, True),
        (ConditionKind.CHRONIC_LIVER_DISEASE, True, True),
        (ConditionKind.HYPOGONADISM, True, True),
        (ConditionKind.OSTEOGENESIS_IMPERFECTA, False, True),
        (ConditionKind.OSTEOPENIA, True, None),
        (ConditionKind.CHRONIC_KIDNEY_DISEASE, True, None),
    ],
)
def test_secondary_osteoporosis(kind: ConditionKind, active: bool, expected: bool | None) -> None:
    assert features(conditions=(condition(kind, active=active),)).secondary_osteoporosis is expected


def drug(start_days: int | None, end_days: int | None, *, active: bool) -> MedicationEntry:
    def ago(days: int | None) -> datetime | None:
        return None if days is None else AS_OF - timedelta(days=days)

    return MedicationEntry(
        drug_class=DrugClass.SYSTEMIC_GLUCOCORTICOID,
        code="s|c",
        resource="MedicationRequest/1",
        start=ago(start_days),
        end=ago(end_days),
        active=active,
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (drug(5, None, active=True), True),
        (drug(500, 400, active=False), True),
        (drug(500, 490, active=False), None),
        (drug(500, None, active=False), None),
        (drug(None, None, active=False), None),
    ],
)
def test_glucocorticoids_now_or_for_three_months(entry: MedicationEntry, expected: bool | None) -> None:
    assert features(medications=(entry,)).glucocorticoids is expected


@pytest.mark.parametrize("site", [FractureSiteGroup.SKULL, FractureSiteGroup.HAND, FractureSiteGroup.FOOT])
def test_skull_fingers_and_toes_do_not_count(site: FractureSiteGroup) -> None:
    mapped = map_features(snapshot(prior_fractures=(fracture(site),)))
    assert mapped.features.prior_fragility_fracture is None
    assert mapped.warnings == ()


def test_adult_fracture_counts() -> None:
    row = features(prior_fractures=(fracture(FractureSiteGroup.FOREARM),))
    assert row.prior_fragility_fracture is True
    assert row.recent_fracture_2y is None


@pytest.mark.parametrize(("days", "recent"), [(200, True), (730, True), (731, None)])
def test_recent_means_two_years(days: int, recent: bool | None) -> None:
    assert features(prior_fractures=(fracture(days=days),)).recent_fracture_2y is recent


def test_recent_minor_site_is_not_a_major_fracture() -> None:
    row = features(prior_fractures=(fracture(FractureSiteGroup.RIB, days=200),))
    assert (row.prior_fragility_fracture, row.recent_fracture_2y) == (True, None)


@pytest.mark.parametrize(("days", "counts"), [(0, None), (180, None), (181, True)])
def test_active_and_recent_is_the_present_fracture(days: int, counts: bool | None) -> None:
    mapped = map_features(snapshot(prior_fractures=(fracture(days=days, active=True),)))
    assert mapped.features.prior_fragility_fracture is counts
    assert mapped.warnings == (() if counts else ("cds.fracture.present:Condition/1",))


def test_pathological_present_fracture_does_not_count_either() -> None:
    row = features(prior_fractures=(fracture(days=3, active=True, pathological=True),))
    assert row.prior_fragility_fracture is None


def test_childhood_fracture_does_not_count() -> None:
    born = date(1958, 9, 1)
    day_before_18 = datetime(1976, 8, 31, tzinfo=UTC)
    before = PriorFracture(site=FractureSiteGroup.FOREARM, code="s|c", resource="Condition/1", onset=day_before_18)
    after = replace(before, onset=day_before_18 + timedelta(days=1))
    assert features(birth_date=born, prior_fractures=(before,)).prior_fragility_fracture is None
    assert features(birth_date=born, prior_fractures=(after,)).prior_fragility_fracture is True


def test_age_at_fracture_from_age_when_birth_date_is_partial() -> None:
    old = fracture(days=round(55 * 365.25))
    assert features(birth_date=None, prior_fractures=(old,)).prior_fragility_fracture is None
    assert features(birth_date=None, prior_fractures=(fracture(),)).prior_fragility_fracture is True


def test_undated_fracture_is_not_guessed() -> None:
    mapped = map_features(snapshot(prior_fractures=(fracture(days=None),)))
    assert mapped.features.prior_fragility_fracture is None
    assert mapped.warnings == ("cds.fracture.undated:Condition/1",)


def test_unknown_site_is_not_guessed() -> None:
    mapped = map_features(snapshot(prior_fractures=(fracture(FractureSiteGroup.OTHER),)))
    assert mapped.features.prior_fragility_fracture is None
    assert mapped.warnings == ("cds.fracture.site_unknown:Condition/1",)


def test_fracture_due_to_bone_disease_counts_at_any_site_without_a_date() -> None:
    row = features(prior_fractures=(fracture(FractureSiteGroup.OTHER, days=None, pathological=True),))
    assert row.prior_fragility_fracture is True


@given(
    st.lists(
        st.builds(
            fracture,
            st.sampled_from(FractureSiteGroup),
            st.none() | st.integers(0, 20000),
            active=st.booleans(),
            pathological=st.booleans(),
        ),
        max_size=5,
    )
)
def test_present_fractures_never_move_the_row(fractures: list[PriorFracture]) -> None:
    """Whatever the history, adding a present fracture leaves the row as it was."""
    present = fracture(days=1, active=True)
    with_present = features(prior_fractures=(present, *fractures))
    assert with_present == features(prior_fractures=tuple(fractures))
    assert is_present_fracture(present, AS_OF)
    assert timedelta(days=90) < PRESENT_FRACTURE_WINDOW


def test_every_warning_has_words() -> None:
    mapped = map_features(
        snapshot(
            prior_fractures=(
                fracture(days=None),
                fracture(days=1, active=True),
                fracture(FractureSiteGroup.OTHER),
                fracture(pathological=True, neoplastic=True),
                replace(fracture(days=None), recorded=AS_OF - timedelta(days=900)),
            ),
            conditions=(condition(ConditionKind.ALCOHOL_USE_DISORDER), condition(ConditionKind.REPEATED_FALLS)),
            medications=(steroid(start=30),),
            diabetes=said(DiabetesType.UNSPECIFIED),
        )
    )
    told = {code.partition(":")[0] for code in mapped.warnings}
    assert told == {
        "cds.fracture.undated",
        "cds.fracture.present",
        "cds.fracture.site_unknown",
        "cds.fracture.neoplastic",
        "cds.fracture.dated_by_record",
        "cds.alcohol.quantity_missing",
        "cds.falls.count_missing",
        "cds.glucocorticoids.recent",
        "cds.diabetes.type_unknown",
    }
    assert told <= set(WARNINGS)


def steroid(
    start: int | None = None, end: int | None = None, *, active: bool = True, single_dose: bool = False
) -> MedicationEntry:
    """A systemic glucocorticoid begun and ended so many days before the snapshot."""
    return MedicationEntry(
        drug_class=DrugClass.SYSTEMIC_GLUCOCORTICOID,
        code="s|c",
        resource="MedicationRequest/1",
        start=None if start is None else AS_OF - timedelta(days=start),
        end=None if end is None else AS_OF - timedelta(days=end),
        active=active,
        single_dose=single_dose,
    )


@pytest.mark.parametrize(
    ("courses", "expected", "warned"),
    [
        ((steroid(400),), True, False),
        ((steroid(),), True, False),
        ((steroid(30),), True, True),
        ((steroid(30), steroid(400)), True, False),
        ((steroid(2, single_dose=True),), None, False),
        ((steroid(400, 310, active=False),), True, False),
        ((steroid(400, 311, active=False),), None, False),
        # Three months in three prescriptions that follow each other; with a gap they are three courses.
        (tuple(steroid(days, days - 30, active=False) for days in (400, 370, 340)), True, False),
        (tuple(steroid(days, days - 28, active=False) for days in (400, 365, 330)), True, False),
        (tuple(steroid(days, days - 28, active=False) for days in (400, 300, 200)), None, False),
        ((steroid(400, active=False),), None, False),
    ],
)
def test_glucocorticoids_in_one_course_or_several(
    courses: tuple[MedicationEntry, ...], expected: bool | None, warned: bool
) -> None:
    mapped = map_features(snapshot(medications=courses))
    assert mapped.features.glucocorticoids is expected
    assert ("cds.glucocorticoids.recent:MedicationRequest/1" in mapped.warnings) is warned


def test_a_fracture_through_a_tumour_is_no_fragility_fracture() -> None:
    mapped = map_features(snapshot(prior_fractures=(fracture(pathological=True, neoplastic=True),)))
    assert mapped.features.prior_fragility_fracture is None
    assert mapped.warnings == ("cds.fracture.neoplastic:Condition/1",)


@pytest.mark.parametrize(("years", "counted"), [(3, True), (49, True), (50, None), (60, None)])
def test_an_undated_fracture_counts_when_it_was_recorded_in_adult_life_but_is_never_recent(
    years: int, counted: bool | None
) -> None:
    recorded = AS_OF - timedelta(days=round(years * 365.25))
    mapped = map_features(snapshot(prior_fractures=(replace(fracture(days=None), recorded=recorded),)))
    assert mapped.features.prior_fragility_fracture is counted
    assert mapped.features.recent_fracture_2y is None
    told = {code.partition(":")[0] for code in mapped.warnings}
    assert told == {"cds.fracture.dated_by_record" if counted else "cds.fracture.undated"}


def test_malnutrition_is_a_secondary_cause() -> None:
    assert features(conditions=(condition(ConditionKind.MALNUTRITION),)).secondary_osteoporosis is True
    assert features(conditions=(condition(ConditionKind.MALNUTRITION, active=False),)).secondary_osteoporosis is None
