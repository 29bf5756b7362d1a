"""Parts that follow a choice: taken up between cases, loaded beside the old one, kept where the new one is broken."""

import threading
from pathlib import Path

import pytest

from cds.errors import ModelStoreError
from cds.following import RETRY_S, Following, ModelWatch
from cds.learning.model_kinds import ModelKind

OLD, NEW = Path("old"), Path("new")


class Site:
    """A choice, and models that load as told."""

    def __init__(self) -> None:
        self.choice: Path | None = OLD
        self.unreadable = False
        self.broken: set[Path | None] = set()
        self.loads: list[Path | None] = []
        self.watch = ModelWatch()
        self.part = Following(ModelKind.RISK, self.choose, self.load, self.watch)

    def choose(self) -> Path | None:
        if self.unreadable:
            raise ModelStoreError("unreadable", remedy="mend it")
        return self.choice

    def load(self, folder: Path | None) -> str:
        self.loads.append(folder)
        if folder in self.broken:
            raise OSError("broken")
        return f"model of {folder}"


def test_a_change_is_taken_up_by_the_next_case_and_loaded_once() -> None:
    site = Site()
    assert [site.part.get() for _ in range(3)] == ["model of old"] * 3
    site.choice = NEW
    assert [site.part.get() for _ in range(3)] == ["model of new"] * 3
    site.choice = None
    assert site.part.get() == "model of None"
    assert site.loads == [OLD, NEW, None]


def test_a_broken_model_leaves_the_old_one_and_is_counted_once_until_the_choice_changes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, told = Site(), []
    site.watch.tell = told.append
    site.part.get()
    site.choice, site.broken = NEW, {NEW}
    assert [site.part.get() for _ in range(5)] == ["model of old"] * 5
    assert site.watch.failures == {"risk": 1}
    assert told == ["risk"]
    assert set(site.watch.kept) == {"risk"}
    assert "cannot be used" in caplog.text
    site.broken = set()
    clock = site.part._failed[1] if site.part._failed else 0.0
    monkeypatch.setattr("cds.following.time.monotonic", lambda: clock + RETRY_S + 1)
    assert site.part.get() == "model of new"
    assert site.watch.kept == {}


def test_going_back_to_the_old_choice_clears_the_trouble() -> None:
    site = Site()
    site.part.get()
    site.choice, site.broken = NEW, {NEW}
    site.part.get()
    site.choice = OLD
    assert site.part.get() == "model of old"
    assert site.watch.kept == {}
    assert site.loads == [OLD, NEW]


def test_a_state_that_cannot_be_read_keeps_the_model_but_does_not_start_one() -> None:
    site = Site()
    site.unreadable = True
    with pytest.raises(ModelStoreError):
        site.part.get()
    site.unreadable = False
    site.part.get()
    site.unreadable = True
    assert [site.part.get() for _ in range(3)] == ["model of old"] * 3
    assert site.watch.failures == {"risk": 1}


def test_other_cases_do_not_wait_while_one_loads_the_new_model() -> None:
    site, loading, go_on = Site(), threading.Event(), threading.Event()
    site.part.get()
    quick = site.load

    def slow(folder: Path | None) -> str:
        loading.set()
        assert go_on.wait(10)
        return quick(folder)

    site.part._build = slow
    site.choice = NEW
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(site.part.get()))
    thread.start()
    assert loading.wait(10)
    assert site.part.get() == "model of old"
    go_on.set()
    thread.join()
    assert answers == ["model of new"]
    assert site.part.get() == "model of new"
