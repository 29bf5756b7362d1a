"""The model store: whole folders, one atomic state, one step back, and nothing lost to a crash."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cds.errors import ModelStoreError
from cds.learning.model_kinds import ModelKind, identify
from cds.learning.models import ModelStore, chosen_folder, model_store, with_current_models
from cds.settings import Settings
from tests.support.model_folders import healing_folder

HEALING = ModelKind.HEALING


def adopted(store: ModelStore, tmp_path: Path, name: str) -> str:
    return store.adopt(HEALING, healing_folder(tmp_path / name, name), by="test")


def test_the_shipped_model_is_in_use_until_another_is_promoted(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert store.current(HEALING) is None
    first = adopted(store, tmp_path, "first")
    assert store.current(HEALING) is None
    store.promote(HEALING, first, by="A", why="better", report="report.html")
    assert store.current(HEALING) == tmp_path / "models" / "healing" / first
    event = store.state().history[-1]
    assert (event.action, event.model_id, event.by, event.report, event.before) == (
        "promote",
        first,
        "A",
        "report.html",
        None,
    )


def test_rollback_goes_one_step_back_and_ends_at_the_shipped_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first, second = (adopted(store, tmp_path, name) for name in ("first", "second"))
    for one in (first, second):
        store.promote(HEALING, one, by="A", why="")
    assert store.rollback(HEALING, by="B", why="worse at night") == first
    assert store.rollback(HEALING, by="B", why="") is None
    assert store.current(HEALING) is None
    with pytest.raises(ModelStoreError, match="nothing to go back to"):
        store.rollback(HEALING, by="B", why="")
    assert (store.folder / "healing" / second).is_dir()


def test_promoting_the_model_in_use_again_adds_no_step(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first = adopted(store, tmp_path, "first")
    for _ in range(2):
        store.promote(HEALING, first, by="A", why="")
    assert store.rollback(HEALING, by="A", why="") is None


def test_a_damaged_model_is_not_promoted_nor_gone_back_to(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first, second = (adopted(store, tmp_path, name) for name in ("first", "second"))
    store.promote(HEALING, first, by="A", why="")
    store.promote(HEALING, second, by="A", why="")
    (store.folder / "healing" / first / "model.ubj").write_bytes(b"other")
    with pytest.raises(ModelStoreError, match="damaged"):
        store.rollback(HEALING, by="A", why="")
    with pytest.raises(ModelStoreError, match="damaged"):
        store.promote(HEALING, first, by="A", why="")
    assert store.current(HEALING) == store.folder / "healing" / second


def test_adopting_again_mends_a_damaged_copy(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first = adopted(store, tmp_path, "first")
    (store.folder / "healing" / first / "model.ubj").unlink()
    assert store.adopt(HEALING, tmp_path / "first", by="test") == first
    store.promote(HEALING, first, by="A", why="")
    assert [event.action for event in store.state().history] == ["adopt", "promote"]


@pytest.mark.parametrize("damage", ["missing", "no_manifest", "other_bytes", "not_json", "list"])
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, damage: str) -> None:
    store, folder = ModelStore(tmp_path / "models"), healing_folder(tmp_path / "first", "first")
    manifest = folder / "manifest.json"
    if damage == "missing":
        folder = tmp_path / "nowhere"
    elif damage == "no_manifest":
        manifest.unlink()
    elif damage == "other_bytes":
        (folder / "model.ubj").write_bytes(b"other")
    else:
        manifest.write_text("{" if damage == "not_json" else "[]")
    with pytest.raises(ModelStoreError) as caught:
        store.adopt(HEALING, folder, by="test")
    assert caught.value.remedy
    assert store.state().generation == 0


@pytest.mark.parametrize("model_id", ["../../outside", ".hidden", "a/b"])
def test_an_id_that_leads_out_of_the_store_is_refused(tmp_path: Path, model_id: str) -> None:
    folder = healing_folder(tmp_path / "first", model_id)
    with pytest.raises(ModelStoreError, match="cannot name a folder"):
        ModelStore(tmp_path / "models").adopt(HEALING, folder, by="test")


def test_one_id_names_one_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    adopted(store, tmp_path, "first")
    (tmp_path / "first" / "extra.json").write_text("{}")
    with pytest.raises(ModelStoreError, match="same model id"):
        store.adopt(HEALING, tmp_path / "first", by="test")


def test_a_shadow_is_another_model_than_the_one_in_use_and_ends_when_promoted(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first = adopted(store, tmp_path, "first")
    with pytest.raises(ModelStoreError, match="No healing model"):
        store.set_shadow(HEALING, "unknown", by="A")
    store.set_shadow(HEALING, first, by="A")
    assert store.shadow(HEALING) == store.folder / "healing" / first
    store.promote(HEALING, first, by="A", why="")
    assert store.shadow(HEALING) is None
    with pytest.raises(ModelStoreError, match="own shadow"):
        store.set_shadow(HEALING, first, by="A")


def test_a_state_that_cannot_be_read_is_an_error_not_the_shipped_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    adopted(store, tmp_path, "first")
    for content in ("{", "[]", json.dumps({"schema": "another"}), ""):
        (store.folder / "state.json").write_text(content)
        with pytest.raises(ModelStoreError, match="state"):
            store.current(HEALING)


def test_another_process_sees_a_change_by_the_stamp(tmp_path: Path) -> None:
    reader, writer = ModelStore(tmp_path / "models"), ModelStore(tmp_path / "models")
    before = reader.stamp()
    first = adopted(writer, tmp_path, "first")
    writer.promote(HEALING, first, by="A", why="")
    assert reader.stamp() != before
    assert reader.current(HEALING) is not None


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    names = [f"model{number}" for number in range(12)]
    folders = {name: healing_folder(tmp_path / name, name) for name in names}
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: ModelStore(folder).adopt(HEALING, folders[name], by=name), names))
    state = ModelStore(folder).state()
    assert set(state.models["healing"]) == set(names)
    assert state.generation == len(state.history) == len(names)


def test_a_locked_set_counts_each_candidate_once(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert [store.count_look("digest", one) for one in ("a", "b", "a", "c")] == [1, 2, 2, 3]
    assert store.count_look("other", "a") == 1


KILLED = """
import sys, time
from pathlib import Path
from cds.learning import models
from cds.learning.models import ModelStore
store, folder, where = ModelStore(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
def hang(*_):
    print("here", flush=True)
    time.sleep(60)
if where == "copy":
    real = models._missing
    models._missing = lambda place, files: hang() if ".incoming" in str(place) else real(place, files)
else:
    models.ModelStore._write = hang
store.adopt("healing", folder, by="killed")
"""


@pytest.mark.parametrize("where", ["copy", "state"])
def test_a_kill_between_copy_and_rename_leaves_a_valid_state(tmp_path: Path, where: str) -> None:
    store = ModelStore(tmp_path / "models")
    first = adopted(store, tmp_path, "first")
    store.promote(HEALING, first, by="A", why="")
    healing_folder(tmp_path / "second", "second")
    arguments = [sys.executable, "-c", KILLED, str(store.folder), str(tmp_path / "second"), where]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    after = ModelStore(store.folder)
    assert after.current(HEALING) == store.folder / "healing" / first
    assert set(after.state().models["healing"]) == {"first"}
    began = time.monotonic()
    assert after.adopt(HEALING, tmp_path / "second", by="B") == "second"  # the lock died with its holder
    assert time.monotonic() - began < 5
    assert not list((store.folder / "healing").glob(".incoming-*")) or where == "state"
    after.promote(HEALING, "second", by="A", why="")


def test_settings_win_over_the_store_and_can_switch_it_off(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, audit_log=None)
    store = model_store(settings)
    first = adopted(store, tmp_path, "first")
    store.promote(HEALING, first, by="A", why="")
    kept = store.folder / "healing" / first
    assert chosen_folder(HEALING, settings, store) == kept
    own = settings.model_copy(update={"healing_dir": tmp_path / "own"})
    assert chosen_folder(HEALING, own, store) == tmp_path / "own"
    assert chosen_folder(HEALING, settings.model_copy(update={"follow_models": False}), store) is None
    fixed = with_current_models(settings)
    assert (fixed.healing_dir, fixed.follow_models) == (kept, False)


def test_the_models_of_the_package_name_themselves() -> None:
    from cds.learning.model_kinds import shipped_folder

    for kind in (ModelKind.DETECTOR, ModelKind.RISK, ModelKind.BONE_AGE):
        folder = shipped_folder(kind)
        assert folder is not None
        assert "@" in identify(kind, folder)


def test_a_model_that_was_compared_with_another_than_the_one_in_use_is_not_promoted(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    first, second = (adopted(store, tmp_path, name) for name in ("first", "second"))
    store.promote(HEALING, first, by="A", why="", compared_with=(None,))
    with pytest.raises(ModelStoreError, match="came into use"):
        store.promote(HEALING, second, by="B", why="", compared_with=(None,))
    assert store.state().of(HEALING).current == first
