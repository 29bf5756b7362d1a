"""The shadow: silent, after the answer, counted, erased with the case."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.entrypoints.service import Service
from cds.errors import ModelStoreError
from cds.learning.models import model_store
from cds.learning.shadow import Said, ShadowRunner, box_iou, hardness, said_by, said_in
from cds.learning.shadow_list import agreement_of, wilson
from cds.options import ReportFormat
from cds.outputs import render
from cds.settings import Settings
from cds.store.opening import Store, open_store
from cds.store.tables import ShadowDifferenceRow
from cds.work.requests import RawCase
from imaging.radiograph import Radiograph
from imaging.results import FractureCall, ImageFindings
from tests.support import cases
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.inputs import png_file
from tests.support.model_folders import detector_folder

CANDIDATE = "tiny@9+"


class Silent:
    """A candidate that sees nothing."""

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """No finding."""
        return replace(
            cases.findings(),
            model_id=CANDIDATE,
            call=FractureCall.NOT_SEEN,
            detections=(),
        )


class Broken:
    """A candidate that fails on every radiograph."""

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Never comes."""
        raise RuntimeError("broken")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Settings, Store]]:
    settings = Settings(data_dir=tmp_path / "data", audit_log=None)
    store = open_store(settings)
    yield settings, store
    store.close()


def start(settings: Settings, tmp_path: Path) -> str:
    models = model_store(settings)
    model_id = models.adopt("detector", detector_folder(tmp_path / "candidate", "9"), by="test")
    models.set_shadow("detector", model_id, by="test")
    return model_id


def assess(settings: Settings, store: Store) -> str:
    service = Service(settings=settings, engines=FakeParts().engines(), audit=RememberingAuditTrail(), store=store)
    raw = RawCase(image=png_file(64, 64), bundle=None, patient_id=None, frame=None, as_of=None, bedside={})
    return service.assess(raw, client="test").case_id


def runner(settings: Settings, store: Store, engine: object) -> ShadowRunner:
    parts = FakeParts()
    return ShadowRunner(
        settings,
        store,
        threading.Event(),
        load=lambda folder: engine,  # type: ignore[arg-type, return-value]  # stands for one
        read_image=parts.read_image,
    )


def rows(store: Store) -> int:
    with store.database.reading() as session:
        return session.scalar(select(func.count()).select_from(ShadowDifferenceRow)) or 0


def test_without_a_shadow_nothing_is_read(site: tuple[Settings, Store]) -> None:
    settings, store = site
    assess(settings, store)
    assert not runner(settings, store, Silent()).one()
    assert rows(store) == 0


def test_each_case_is_read_once_and_differs_as_it_should(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    model_id = start(settings, tmp_path)
    case_id = assess(settings, store)
    shadow = runner(settings, store, Silent())
    assert shadow.one()
    assert not shadow.one()
    found = agreement_of(store.database, model_id)
    assert (found.cases, found.disagreements, found.errors) == (1, 1, 0)
    (hard,) = found.hardest
    assert (hard.case_id, hard.current_call, hard.candidate_call) == (case_id, "definite", "not_seen")
    assert hard.hardness == 1.0
    assert hard.box_iou is None


def test_errors_are_counted_and_not_tried_for_ever(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    model_id = start(settings, tmp_path)
    assess(settings, store)
    shadow = runner(settings, store, Broken())
    assert shadow.one()
    assert not shadow.one()
    found = agreement_of(store.database, model_id)
    assert (found.cases, found.errors, found.hardest) == (0, 1, ())


def test_a_shadow_that_cannot_be_loaded_ends_quietly(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    start(settings, tmp_path)
    assess(settings, store)

    def load(folder: Path) -> object:
        raise ModelStoreError("broken", remedy="none")

    shadow = ShadowRunner(settings, store, threading.Event(), load=load)  # type: ignore[arg-type]  # fails
    assert not shadow.one()
    assert not shadow.one()
    assert rows(store) == 0


def test_cases_from_before_the_shadow_are_left_alone(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    assess(settings, store)
    model_id = start(settings, tmp_path)
    models = model_store(settings)
    with models._changing() as state:
        later = replace(state.of("detector"), shadow_since="2999-01-01T00:00:00+00:00")
        models._write(state.with_kind("detector", later))
    assert model_id
    assert not runner(settings, store, Silent()).one()


def test_the_difference_is_erased_with_the_case(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    start(settings, tmp_path)
    case_id = assess(settings, store)
    assert runner(settings, store, Silent()).one()
    assert rows(store) == 1
    with store.database.transaction() as session:
        from cds.store.tables import CaseRow

        session.delete(session.get(CaseRow, case_id))
    assert rows(store) == 0


def test_the_thread_waits_while_the_worker_is_busy(site: tuple[Settings, Store], tmp_path: Path) -> None:
    settings, store = site
    start(settings, tmp_path)
    assess(settings, store)
    shadow = runner(settings, store, Silent())
    shadow._busy.set()
    looks = iter([False, False, False, True])
    shadow._over.wait = lambda timeout=None: next(looks)  # type: ignore[method-assign]
    shadow._run()
    assert rows(store) == 0
    shadow._busy.clear()
    looks = iter([False, True])
    shadow._run()
    assert rows(store) == 1


def test_a_kept_report_says_the_same_as_the_findings() -> None:
    import json

    result = cases.full_case()
    assert result.findings is not None
    kept = said_in(json.loads(render(result, ReportFormat.JSON)))
    told = said_by(result.findings)
    assert kept is not None
    assert (kept.model_id, kept.call, kept.probability) == (told.model_id, told.call, told.probability)
    assert kept.box == pytest.approx(told.box)
    assert said_in({}) is None


def test_overlap_and_hardness() -> None:
    assert box_iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert box_iou((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert box_iou((0, 0, 10, 10), (0, 0, 5, 10)) == 0.5
    assert box_iou(None, (0, 0, 1, 1)) is None
    one = Said(model_id="a", call="suspected", probability=0.3, box=(0, 0, 10, 10))
    assert hardness(one, one) == 0
    assert hardness(one, replace(one, call="definite")) == 0.5
    assert hardness(one, replace(one, call="cannot_judge")) == 0.5
    assert hardness(one, replace(one, probability=0.9)) == pytest.approx(0.6)
    assert hardness(one, replace(one, box=(20, 20, 30, 30))) == 0.5


def test_the_interval_of_a_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 50)
    assert (round(low, 3), round(high, 3)) == (0.043, 0.214)


def test_the_command_says_that_no_shadow_runs(site: tuple[Settings, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(site[0].data_dir))
    told = CliRunner().invoke(app, ["learn", "shadow", "list"])
    assert told.exit_code == 0 and told.output.startswith("No shadow runs")
    assert "answered no case yet" in CliRunner().invoke(app, ["learn", "shadow", "list", "--model", "x"]).output
