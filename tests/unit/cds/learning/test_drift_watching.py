"""Drift in a real store: what is kept, what is refused, what raises an alarm, what erasure leaves."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select, text, update
from typer.testing import CliRunner

from cds.case import CaseInput
from cds.entrypoints.cli import app
from cds.entrypoints.drift_commands import EXIT_ALARM
from cds.errors import InputError, StoreUnavailableError
from cds.learning.drift import records, watching
from cds.learning.drift.alarms import RaisedAlarm
from cds.learning.drift.comparison import training_reference
from cds.learning.drift.monitors import BY_NAME, MONITORS
from cds.learning.drift.observation import NOT_RECORDED, observe
from cds.learning.drift.outcomes import judged, outcome_numbers
from cds.learning.drift.records import DriftRecords
from cds.learning.drift.watching import MONITOR_LEVEL, YEARLY_LEVEL, State, Timed, judge, watch
from cds.metrics import Metrics
from cds.presenters.drift_page import OUTLIVED, render_drift_html, render_drift_json, said
from cds.settings import Settings
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.store.opening import Store, open_store
from cds.store.tables import CaseRow, DriftObservationRow, DriftReferenceRow, FeedbackRow
from cds.work.keeping import keep
from cds.work.requests import RawCase
from imaging.results import FractureCall
from tests.support import cases

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
RAW = RawCase(image=b"image", bundle=None, patient_id=None, frame=None, as_of=None, bedside={})
CASE = CaseInput(image=b"image", as_of=NOW)
FEW = 40
DETECTOR = "detector@1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, audit_log=None)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(records, "REFERENCE_CASES", FEW)
    monkeypatch.setattr(watching, "REFERENCE_CASES", FEW)
    opened = open_store(settings)
    yield opened
    opened.close()


def kept(store: Store, number: int, *, patient: str | None = None) -> str:
    result = replace(cases.full_case(), case_id=f"case-{number}", patient=None, source_image=None)
    assert result.radiograph is not None
    result = replace(result, radiograph=replace(result.radiograph, dicom=None))
    return keep(store, RAW, CASE, result, actor="test", request_key=None, patient_key=patient or f"p{number}").id


def filled(
    store: Store,
    count: int,
    *,
    moved_from: int | None = None,
    start: datetime = NOW,
    model: str = DETECTOR,
    name: str = "c",
) -> None:
    """`count` cases, two a day; from one on, twice as bright."""
    draw = np.random.default_rng(5)
    rows = []
    for number in range(count):
        created = start + timedelta(hours=12 * number)
        rows.append((f"{name}{number:04d}", created, float(draw.normal(0.3, 0.05))))
    with store.database.transaction() as session:
        for case_id, created, _ in rows:
            case = kept_row(case_id, created)
            session.add(case)
        session.flush()
        for place, (case_id, created, value) in enumerate(rows):
            off = 0.0 if moved_from is None or place < moved_from else 0.3
            numbers = {"exposure": value + off, "positive": float(place % 3 == 0), "probability": 0.3, "abstained": 0.0}
            session.add(
                DriftObservationRow(
                    case_id=case_id,
                    created=created,
                    model=model,
                    repeated=False,
                    numbers=numbers,
                    categories={"region": "hand_arm", "device": NOT_RECORDED, "modality": "DX", "sex": "female"},
                )
            )


def kept_row(name: str, created: datetime) -> CaseRow:
    return CaseRow(
        id=name,
        created=created,
        actor="test",
        patient_key=name,
        title="A case.",
        severity="none",
        urgency="routine",
        engine_version="1",
        model_versions=["detector@1"],
        context={},
    )


# --- what is kept


def test_a_kept_case_is_observed_and_erased_with_it(store: Store) -> None:
    case_id = kept(store, 1)
    model = DriftRecords(store.database).model()
    assert model is not None
    (one,) = DriftRecords(store.database).all(model)
    assert one.case_id == case_id
    assert set(one.observation.numbers) <= set(BY_NAME)
    assert set(one.observation.categories) <= set(BY_NAME)
    store.privacy.erase_patient("p1", actor="test")
    with store.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(DriftObservationRow)) == 0


def test_an_observation_names_nobody() -> None:
    result = cases.full_case()
    found = observe(result)
    assert found is not None
    assert result.patient is not None
    written = json.dumps([dict(found.numbers), dict(found.categories)])
    for secret in (result.patient.patient_id, result.case_id, str(result.patient.birth_date)):
        assert secret not in written
    assert found.numbers["age"] % 10 == 0


def test_without_a_radiograph_nothing_is_observed() -> None:
    assert observe(replace(cases.full_case(), radiograph=None, findings=None)) is None


def test_what_cannot_be_judged_counts_as_abstention_alone() -> None:
    result = cases.full_case()
    assert result.findings is not None
    refused = replace(result.findings, call=FractureCall.CANNOT_JUDGE, fracture_probability=None, detections=())
    found = observe(replace(result, findings=refused))
    assert found is not None
    assert found.numbers["abstained"] == 1.0
    assert not {"positive", "suspected", "boxes", "probability"} & set(found.numbers)


def test_a_second_radiograph_of_a_patient_is_not_counted_again(store: Store) -> None:
    kept(store, 1, patient="same")
    kept(store, 2, patient="same")
    records_ = DriftRecords(store.database)
    assert len(records_.all(records_.model() or "")) == 1


# --- what is said


def test_too_few_cases_say_nothing(store: Store) -> None:
    filled(store, FEW - 1)
    report = watch(store, now=NOW + timedelta(days=30))
    assert report.state is State.TOO_FEW
    assert report.reference is None
    assert {one.state for one in report.monitors} == {State.TOO_FEW}
    with pytest.raises(InputError, match="needs 40 cases"):
        DriftRecords(store.database).set_reference(actor="test")


def test_an_empty_store_says_nothing(store: Store) -> None:
    report = watch(store)
    assert report.model is None
    assert "not enough cases" in render_drift_html(report)


def test_nothing_new_is_quiet_and_a_shift_is_not(store: Store) -> None:
    filled(store, 240, moved_from=140)
    end = NOW + timedelta(days=121)
    with store.database.transaction() as session:
        session.execute(text("DELETE FROM cases WHERE id >= 'c0140'"))
    assert watch(store, now=end).state is State.QUIET


def test_a_shift_raises_an_alarm_until_a_new_reference(store: Store) -> None:
    filled(store, 240, moved_from=140)
    end = NOW + timedelta(days=121)
    report = watch(store, now=end)
    assert [one.monitor.name for one in report.alarms] == ["exposure"]
    (alarm,) = report.alarms
    assert alarm.since is not None
    assert NOW + timedelta(days=70) < alarm.since < NOW + timedelta(days=90)
    page = render_drift_html(report)
    assert "radiographers" in page
    assert "<script" not in page
    assert json.loads(render_drift_json(report))["alarms"] == ["exposure"]
    DriftRecords(store.database).set_reference(actor="test", since=NOW + timedelta(days=70))
    assert watch(store, now=end).state is State.QUIET


def test_a_reference_outlives_its_cases(store: Store) -> None:
    filled(store, 240, moved_from=140)
    kept(store, 1)  # of another detector: it completes nothing
    with store.database.transaction() as session:
        records._complete(session, "detector@1")
        session.execute(delete(DriftObservationRow).where(DriftObservationRow.model != "detector@1"))
    end = NOW + timedelta(days=121)
    before = watch(store, now=end)
    assert [one.monitor.name for one in before.alarms] == ["exposure"]
    assert before.reference is not None and before.reference.set_by is None
    store.privacy.apply_retention(days=45, actor="test", now=end)
    after = watch(store, now=end)
    assert after.observed < 100
    assert after.reference == before.reference
    assert [one.monitor.name for one in after.alarms] == ["exposure"], "nothing but the drifted cases is left"
    assert [one.reference for one in after.monitors] == [one.reference for one in before.monitors]


def test_the_last_case_of_a_reference_completes_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "REFERENCE_CASES", 2)
    names = [kept(store, 1)]
    seen = DriftRecords(store.database)
    model = seen.model() or ""
    assert seen.figures(model) is None
    names.append(kept(store, 2))
    figures = seen.figures(model)
    assert figures is not None and len(figures.numbers["size"]) == 2
    kept(store, 3)
    with store.database.reading() as session:
        (row,) = session.scalars(select(DriftReferenceRow))
        assert not any(name in json.dumps(row.figures) for name in names)


def test_the_first_verdicts_outlive_their_cases(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "OUTCOME_REFERENCE_CASES", 2)
    filled(store, FEW)
    with store.database.transaction() as session:
        records._complete(session, "detector@1")
    for number in (0, 1, 2, 39):  # the detector saw a fracture in every third case
        store.feedback.add(f"c{number:04d}", FeedbackKind.REJECT, author="a", role="clinician")
    before = {one.monitor.name: one for one in watch(store).monitors}
    assert before["agreement"].reference.mean == pytest.approx(0.5)
    store.privacy.apply_retention(days=10, actor="test", now=NOW + timedelta(days=20))
    after = {one.monitor.name: one for one in watch(store).monitors}
    assert after["agreement"].reference == before["agreement"].reference
    assert before["agreement"].recent.cases == 2
    assert after["agreement"].recent.cases == 1


def test_looking_twice_says_the_same(store: Store) -> None:
    filled(store, 120)
    end = NOW + timedelta(days=60)
    assert watch(store, now=end) == watch(store, now=end)


def test_the_look_that_finds_an_alarm_says_what_later_ones_say(store: Store) -> None:
    moved(store)
    assert watch(store).monitors == watch(store).monitors


def test_levels_add_up() -> None:
    assert pytest.approx(YEARLY_LEVEL) == MONITOR_LEVEL * len(MONITORS)


def test_a_figure_that_few_cases_have_is_not_compared() -> None:
    few = [Timed(case_id=str(n), moment=NOW, value=float(n)) for n in range(3)]
    found = judge(BY_NAME["age"], few, few, since=NOW, wanted=30)
    assert (found.state, found.needed) == (State.TOO_FEW, 27)


# --- alarms outlive their cases


def moved(store: Store) -> None:
    """A complete reference, and as many cases again as raise an alarm of the exposure, from the 13th of May on."""
    filled(store, 220, moved_from=140)
    completed(store)


def completed(store: Store, model: str = DETECTOR) -> None:
    with store.database.transaction() as session:
        records._complete(session, model)


def only_alarm(store: Store, now: datetime | None = None) -> watching.Watched:
    (alarm,) = watch(store, now=now).alarms
    assert alarm.monitor.name == "exposure"
    return alarm


END = NOW + timedelta(days=110)


def test_an_alarm_outlives_retention_until_a_new_reference(store: Store) -> None:
    moved(store)
    before = only_alarm(store)
    assert not before.outlived
    assert OUTLIVED not in said(before)
    store.privacy.apply_retention(days=3, actor="test", now=END)
    report = watch(store)
    assert report.observed == 6
    after = only_alarm(store)
    assert after.outlived
    assert (after.since, after.evidence) == (before.since, before.evidence)
    assert (after.reference, after.needed) == (before.reference, 0)
    assert report.state is State.ALARM
    assert OUTLIVED in said(after)
    assert render_drift_html(report).count(OUTLIVED) == 2  # at the top, and beside the monitor
    told = json.loads(render_drift_json(report))
    assert (told["state"], told["alarms"]) == ("alarm", ["exposure"])
    assert [one["outlived"] for one in told["monitors"] if one["monitor"]["name"] == "exposure"] == [True]
    filled(store, FEW, start=END, name="d")
    assert only_alarm(store).outlived, "quiet cases do not end it"
    DriftRecords(store.database).set_reference(actor="test")
    assert watch(store).alarms == ()


def test_an_alarm_outlives_a_right_to_erasure(store: Store) -> None:
    filled(store, 170, moved_from=140)
    completed(store)
    before = only_alarm(store)
    for number in range(145, 170):
        store.privacy.erase_patient(f"c{number:04d}", actor="test")
    after = only_alarm(store)
    assert (after.outlived, after.since) == (True, before.since)


def test_an_alarm_outlives_every_case_of_its_detector(store: Store) -> None:
    moved(store)
    before = watch(store)
    store.privacy.apply_retention(days=1, actor="test", now=END + timedelta(days=10))
    after = watch(store)
    assert (after.model, after.observed, after.reference) == (DETECTOR, 0, before.reference)
    assert only_alarm(store).outlived


def test_what_is_kept_of_an_alarm_names_no_case_and_no_moment(store: Store) -> None:
    moved(store)
    watch(store)
    with store.database.reading() as session:
        (row,) = session.scalars(select(DriftReferenceRow))
    assert row.figures is not None
    kept = row.figures["alarms"]["exposure"]
    assert set(kept) == {"since", "evidence"}
    since = datetime.fromisoformat(kept["since"])
    assert since.timetz() == datetime.min.replace(tzinfo=UTC).timetz()
    assert "c0" not in json.dumps(kept)


def test_an_alarm_is_one_of_its_detector(store: Store) -> None:
    moved(store)
    watch(store)
    filled(store, FEW + 30, start=END, model="detector@2", name="d")
    completed(store, "detector@2")
    assert watch(store).alarms == ()
    store.privacy.apply_retention(days=1, actor="test", now=END)
    filled(store, 2, start=END + timedelta(days=90), name="e")  # the first one again
    assert only_alarm(store).outlived


def test_an_alarm_against_an_older_reference_is_not_kept(store: Store) -> None:
    moved(store)
    seen = DriftRecords(store.database)
    older = seen.reference(DETECTOR)
    newer = seen.set_reference(actor="test")
    raised = {"exposure": RaisedAlarm(since=NOW, evidence=3.0)}
    for one in (older, None):
        seen.keep_alarms(DETECTOR, one, raised)
        assert seen.alarms(DETECTOR) == {}
    seen.keep_alarms(DETECTOR, newer, raised)
    assert set(seen.alarms(DETECTOR)) == {"exposure"}


def test_the_first_look_that_keeps_an_alarm_is_believed(store: Store) -> None:
    moved(store)
    seen = DriftRecords(store.database)
    reference = seen.reference(DETECTOR)
    for evidence in (3.0, 9.0):  # two workers that look at once
        seen.keep_alarms(DETECTOR, reference, {"exposure": RaisedAlarm(since=NOW, evidence=evidence)})
    assert seen.alarms(DETECTOR)["exposure"].evidence == 3.0


def test_an_alarm_before_the_first_reference_stands_when_that_completes(store: Store) -> None:
    filled(store, FEW - 1)
    seen = DriftRecords(store.database)
    assert seen.reference(DETECTOR) is None
    seen.keep_alarms(DETECTOR, None, {"agreement": RaisedAlarm(since=NOW, evidence=3.0)})
    assert seen.reference(DETECTOR) is None
    for number in (0, 1):
        report = watch(store)
        assert [(one.monitor.name, one.outlived) for one in report.alarms] == [("agreement", True)]
        assert (report.reference is None) == (number == 0)
        if number == 0:
            filled(store, 1, start=END, name="d")
            completed(store)
    with store.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(DriftReferenceRow)) == 1
    filled(store, 1, start=END + timedelta(days=1), name="e")
    seen.set_reference(actor="test")
    assert watch(store).alarms == ()


def test_an_alarm_stands_beside_a_reference_without_figures(store: Store) -> None:
    moved(store)
    with store.database.transaction() as session:
        session.execute(update(DriftReferenceRow).values(figures=None))  # of an earlier version
    only_alarm(store)
    assert DriftRecords(store.database).figures(DETECTOR) is None
    with store.database.transaction() as session:
        session.execute(delete(DriftObservationRow).where(DriftObservationRow.case_id >= "c0140"))
    assert only_alarm(store).outlived


@pytest.mark.parametrize(
    "damage",
    [None, "2026", {}, {"since": "yesterday", "evidence": 3.0}],
)
@pytest.mark.parametrize("erased", [False, True])
def test_a_damaged_alarm_stands_without_its_day(store: Store, damage: object, erased: bool) -> None:
    moved(store)
    found = only_alarm(store)
    damaged(store, {"exposure": damage})
    if erased:
        store.privacy.apply_retention(days=3, actor="test", now=END)
    after = only_alarm(store)
    assert after.since == (None if erased else found.since)
    assert ("alarm of an unknown day" in said(after)) is erased
    report = watch(store)
    assert "Something has moved" in render_drift_html(report)
    assert json.loads(render_drift_json(report))["alarms"] == ["exposure"]


def test_damaged_alarms_are_kept_anew(store: Store) -> None:
    moved(store)
    found = only_alarm(store)
    damaged(store, ["exposure"])
    assert only_alarm(store).since == found.since
    assert DriftRecords(store.database).alarms(DETECTOR)["exposure"].since == found.since


def damaged(store: Store, alarms: object) -> None:
    with store.database.transaction() as session:
        (row,) = session.scalars(select(DriftReferenceRow))
        row.figures = {**(row.figures or {}), "alarms": alarms}


def test_a_store_that_takes_nothing_withholds_no_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "OUTCOME_REFERENCE_CASES", 1)
    moved(store)
    store.feedback.add("c0150", FeedbackKind.AGREE, author="a", role="clinician")

    def full(*_: object) -> None:
        raise StoreUnavailableError("full", remedy="Make room.")

    with monkeypatch.context() as context:
        context.setattr(DriftRecords, "keep_alarms", full)
        context.setattr(DriftRecords, "keep_outcomes", full)
        first = watch(store)
    assert [one.monitor.name for one in first.alarms] == ["exposure"]
    assert DriftRecords(store.database).alarms(DETECTOR) == {}
    assert watch(store).monitors == first.monitors
    assert set(DriftRecords(store.database).alarms(DETECTOR)) == {"exposure"}


def test_a_look_back_sees_what_was_there_and_keeps_nothing(store: Store) -> None:
    moved(store)
    seen = DriftRecords(store.database)
    early, late = NOW + timedelta(days=69), END
    assert watch(store, now=early).state is State.QUIET
    assert watch(store, now=early).observed == 139
    alarm = only_alarm(store, late)
    assert seen.alarms(DETECTOR) == {}
    assert only_alarm(store).since == alarm.since
    assert alarm.since is not None
    assert watch(store, now=early).alarms == (), "it had not been raised yet"
    assert only_alarm(store).since == alarm.since, "a look back ends nothing"
    store.privacy.apply_retention(days=3, actor="test", now=END)
    assert only_alarm(store, late).outlived
    assert watch(store, now=early).alarms == ()


def test_a_look_back_before_the_first_case_sees_nothing(store: Store) -> None:
    moved(store)
    assert watch(store, now=NOW - timedelta(days=1)).model is None


# --- outcomes


def judged_as(store: Store, *said: tuple[FeedbackKind, dict[str, object]]) -> bool | None:
    """The verdict of one kept case that the detector called fractured, with two findings."""
    case_id = kept(store, 1)
    for kind, words in said:
        told: dict[str, object] = {"author": "a", "role": "clinician", **words}
        store.feedback.add(case_id, kind, **told)  # type: ignore[arg-type]
    found = {one.case_id: one.fracture for one in judged(store, {case_id: True})}
    return found.get(case_id)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([(FeedbackKind.AGREE, {})], True),
        ([(FeedbackKind.REJECT, {})], False),
        ([(FeedbackKind.REJECT, {"role": "service"})], None),
        ([(FeedbackKind.OWN_READ, {"content": FeedbackContent(fracture=True)})], True),
        ([(FeedbackKind.AGREE, {}), (FeedbackKind.REJECT, {"author": "b"})], None),
        (
            [
                (FeedbackKind.AGREE, {}),
                (FeedbackKind.REJECT, {"author": "b"}),
                (FeedbackKind.ADJUDICATION, {"author": "c", "content": FeedbackContent(fracture=True)}),
            ],
            True,
        ),
    ],
)
def test_feedback_to_one_verdict(
    store: Store, words: list[tuple[FeedbackKind, dict[str, object]]], expected: bool | None
) -> None:
    assert judged_as(store, *words) is expected


def spoken(store: Store, *said: tuple[str, FeedbackKind, str]) -> None:
    """Feedback on cases, (case, kind, author), a day apart."""
    for case_id, kind, author in said:
        with store.database.reading() as session:
            before = session.scalar(select(func.count()).select_from(FeedbackRow)) or 0
        content = FeedbackContent(fracture=False) if kind is FeedbackKind.ADJUDICATION else None
        one = store.feedback.add(case_id, kind, author=author, role="radiologist", content=content)
        with store.database.transaction() as session:
            session.execute(
                update(FeedbackRow).where(FeedbackRow.id == one.id).values(created=NOW + timedelta(days=before))
            )


def series(store: Store, until: datetime | None = None) -> list[tuple[str, int, bool]]:
    """The verdicts: case, day, fracture."""
    positive: Mapping[str, bool] = {f"c{number:04d}": True for number in range(FEW)}
    return [(one.case_id, (one.moment - NOW).days, one.fracture) for one in judged(store, positive, until=until)]


def test_a_verdict_that_comes_late_goes_to_the_end(store: Store) -> None:
    filled(store, FEW)
    reject, agree, settle = FeedbackKind.REJECT, FeedbackKind.AGREE, FeedbackKind.ADJUDICATION
    own = FeedbackContent(unsure=True)
    spoken(store, ("c0000", reject, "a"))
    store.feedback.add("c0001", FeedbackKind.OWN_READ, author="a", role="radiologist", content=own)
    spoken(store, ("c0002", reject, "a"), ("c0003", reject, "a"))
    before = series(store)
    assert before == [("c0000", 0, False), ("c0002", 2, False), ("c0003", 3, False)]
    spoken(store, ("c0001", settle, "b"), ("c0002", reject, "b"))  # what is said again keeps its place
    assert series(store) == [*before, ("c0001", 4, False)]
    spoken(store, ("c0000", agree, "b"))  # of no meaning here: the machine's read was not kept
    assert series(store)[: len(before)] == before


def test_a_verdict_that_is_settled_anew_is_news_of_that_day(store: Store) -> None:
    case_id = kept(store, 1)
    agree, reject, settle = FeedbackKind.AGREE, FeedbackKind.REJECT, FeedbackKind.ADJUDICATION
    spoken(store, (case_id, agree, "a"), (case_id, reject, "b"), (case_id, settle, "c"), (case_id, reject, "d"))

    def verdict(day: int | None) -> list[tuple[int, bool]]:
        until = None if day is None else NOW + timedelta(days=day, hours=1)
        return [((one.moment - NOW).days, one.fracture) for one in judged(store, {case_id: True}, until=until)]

    assert [verdict(day) for day in range(4)] == [[(0, True)], [], [(2, False)], [(2, False)]]
    assert verdict(None) == [(2, False)]


def test_late_verdicts_leave_the_evidence_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "OUTCOME_REFERENCE_CASES", 10)
    filled(store, FEW)
    completed(store)
    spoken(store, *((f"c{number:04d}", FeedbackKind.REJECT, "a") for number in range(1, 31)))
    before = {one.monitor.name: one for one in watch(store).monitors}["agreement"]
    assert before.weeks
    spoken(store, *((f"c{number:04d}", FeedbackKind.REJECT, "a") for number in (0, 31, 32)))  # cases of weeks ago
    after = {one.monitor.name: one for one in watch(store).monitors}["agreement"]
    assert after.reference == before.reference
    assert after.weeks[: len(before.weeks) - 1] == before.weeks[:-1]
    back = {one.monitor.name: one for one in watch(store, now=NOW + timedelta(days=29, hours=1)).monitors}["agreement"]
    assert back.weeks == before.weeks


def test_one_finding_rejected_of_several_says_nothing(store: Store) -> None:
    findings = cases.full_case().findings
    assert findings is not None and len(findings.detections) > 1
    assert judged_as(store, (FeedbackKind.REJECT, {"finding": 0})) is None


def test_outcome_monitors_read_what_they_may() -> None:
    assert outcome_numbers(called=False, probability=0.25, fracture=True) == {
        "agreement": 0.0,
        "missed": 1.0,
        "calibration": 0.75,
    }
    assert outcome_numbers(called=True, probability=None, fracture=False) == {"agreement": 0.0, "false_alarm": 1.0}


def test_feedback_reaches_the_page(store: Store) -> None:
    filled(store, FEW + 5)
    store.feedback.add("c0000", FeedbackKind.REJECT, author="a", role="clinician")
    assert watch(store).judged == 1


# --- where it is shown


def test_the_command(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(settings.data_dir))
    filled(store, 240, moved_from=140)
    runner, page = CliRunner(), tmp_path / "drift.html"
    told = runner.invoke(app, ["learn", "drift", "--html", str(page)])
    assert told.exit_code == 0, told.output
    assert "Exposure" in told.output
    assert "Something has moved" in page.read_text()
    assert runner.invoke(app, ["learn", "drift", "--fail-on-alarm"]).exit_code == EXIT_ALARM
    printed = runner.invoke(app, ["learn", "drift", "--json"])
    assert json.loads(printed.output)["state"] == "alarm"
    begun = ["learn", "drift", "--set-reference", "--since", "2026-05-20", "--fail-on-alarm"]
    assert runner.invoke(app, begun).exit_code == 0


def test_the_command_says_that_an_alarm_outlived_its_cases(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(settings.data_dir))
    moved(store)
    runner = CliRunner()
    assert runner.invoke(app, ["learn", "drift", "--fail-on-alarm"]).exit_code == EXIT_ALARM
    store.privacy.apply_retention(days=3, actor="test", now=END)
    told = runner.invoke(app, ["learn", "drift", "--fail-on-alarm"])
    assert told.exit_code == EXIT_ALARM
    assert OUTLIVED in " ".join(told.output.split())


def test_the_gauges() -> None:
    metrics = Metrics()
    metrics.watch_drift(lambda: {"exposure": (3.5, True, True), "age": (0.0, None, False)})
    shown = metrics.text().decode()
    assert 'fracture_cds_drift_evidence{monitor="exposure"} 3.5' in shown
    assert 'fracture_cds_drift_alarm{monitor="exposure"} 1.0' in shown
    assert 'fracture_cds_drift_alarm{monitor="age"} NaN' in shown
    assert 'fracture_cds_drift_alarm_outlived{monitor="exposure"} 1.0' in shown
    assert 'fracture_cds_drift_alarm_outlived{monitor="age"} 0.0' in shown


def test_the_page_of_the_service(store: Store, settings: Settings) -> None:
    from fastapi import FastAPI

    from cds.audit import NoAuditTrail
    from cds.bootstrap import build_engines
    from cds.entrypoints.auth import install_access
    from cds.entrypoints.drift_web import mount_drift
    from cds.entrypoints.service import Service
    from cds.security.access import build_gate

    moved(store)
    service = Service(settings=settings, engines=build_engines(settings), audit=NoAuditTrail(), store=store)
    web = FastAPI()
    mount_drift(web, service)
    install_access(web, build_gate(settings, store.database), requests_per_minute=1000)
    client = TestClient(web, base_url="http://localhost", client=("127.0.0.1", 5000))
    assert "Drift" in client.get("/drift").text
    store.privacy.apply_retention(days=3, actor="test", now=END)
    assert OUTLIVED in client.get("/drift").text
    assert 'fracture_cds_drift_alarm{monitor="exposure"} 1.0' in service.metrics.text().decode()
    assert 'fracture_cds_drift_alarm_outlived{monitor="exposure"} 1.0' in service.metrics.text().decode()
    assert client.get("/api/drift", params={"since": "2026-03-01"}).json()["observed"] == 6
    assert client.get("/api/drift", params={"since": "yesterday"}).status_code == 422


def test_the_shipped_figures_belong_to_monitors() -> None:
    found = training_reference()
    assert set(found.summaries) <= set(BY_NAME)
    assert all(one.cases > 100 for one in found.summaries.values())
