"""The engine of a cluster: the same bytes as the local one, and nothing is lost when a worker is killed.

One local cluster of two workers serves all tests, since starting one takes most of the time.
"""

import importlib.util
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from cds.batch.journal import Stage, Task
from cds.batch.local import LocalExecutor
from cds.batch.ray import RayExecutor, _answer
from cds.batch.run import ScreenRequest, screen
from cds.errors import ClusterError, ScreeningInputError, SettingsError
from cds.version import engine_version
from tests.unit.cds.batch.conftest import AS_OF, population, write_export


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """A spec of a task that may fail."""

    folder: str
    number: int
    deed: str = ""

    @property
    def task(self) -> Task:
        return Task(Stage.PART, self.number)

    @property
    def plan(self) -> SimpleNamespace:
        return SimpleNamespace(root=self.folder)


def do(spec: Toy) -> Path:
    """Leaves a file; dies, or fails, if told so."""
    folder = Path(spec.folder)
    if spec.deed == "die once":
        try:
            (folder / "died").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    if spec.deed == "refuse":
        raise ScreeningInputError("It is damaged.", remedy="Send it again.")
    done = folder / f"done-{spec.number}"
    done.write_text(os.environ.get("OMP_NUM_THREADS", ""))
    return done


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with RayExecutor(2) as started:
            yield started


def test_a_killed_worker_loses_nothing(tmp_path: Path, executor: RayExecutor) -> None:
    specs = [Toy(folder=str(tmp_path), number=number, deed="die once" if number == 1 else "") for number in range(4)]
    assert sorted(spec.number for spec in executor.run(do, specs)) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()
    assert {(tmp_path / f"done-{number}").read_text() for number in range(4)} == {"1"}
    assert not list(tmp_path.glob("part-*")), "counts of tries are cleared away"


def test_the_list_is_that_of_the_local_engine(tmp_path: Path, executor: RayExecutor) -> None:
    source = write_export(tmp_path / "in", population(40))

    def run_it(name: str, engine: LocalExecutor | RayExecutor) -> bytes:
        request = ScreenRequest(
            source=source, output=tmp_path / name, as_of=AS_OF, model_id="test-model@1", engine_version="1"
        )
        result = screen(request, engine)
        assert result.report["engine"] == engine.name
        return result.output.read_bytes() + result.rejects_file.read_bytes()

    assert run_it("ray.csv", executor) == run_it("local.csv", LocalExecutor(1))
    assert executor.workers == 2


def test_the_cluster_stays_on_this_machine(executor: RayExecutor) -> None:
    import ray

    assert ray.util.get_node_ip_address() == "127.0.0.1"  # type: ignore[no-untyped-call]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_logs_hold_no_patient(executor: RayExecutor) -> None:
    assert executor.logs is not None
    logs = [path for path in Path(executor.logs).rglob("*") if path.is_file()]
    assert logs
    assert not any(b"p39" in path.read_bytes() or b"263102004" in path.read_bytes() for path in logs)


def test_a_known_failure_comes_home_whole(tmp_path: Path, executor: RayExecutor) -> None:
    with pytest.raises(ScreeningInputError, match="damaged") as caught:
        list(executor.run(do, [Toy(folder=str(tmp_path), number=0, deed="refuse")]))
    assert caught.value.remedy == "Send it again."


def test_a_folder_that_is_not_shared_is_refused(tmp_path: Path, executor: RayExecutor) -> None:
    spec = Toy(folder=str(tmp_path), number=0)
    (tmp_path / "probe-1").write_text("1")
    assert _answer(spec.folder, spec.folder, "1", 0, engine_version()) == ""
    assert "folder of the output" in _answer(str(tmp_path / "elsewhere"), spec.folder, "1", 0, engine_version())
    assert "the input" in _answer(spec.folder, str(tmp_path / "gone"), "1", 0, engine_version())
    assert "version" in _answer(spec.folder, spec.folder, "1", 0, "0.0")
    joined = RayExecutor(2)  # a cluster that somebody else started is asked
    assert [done.number for done in joined.run(do, [spec])] == [0]
    with pytest.raises(ClusterError, match="the input") as caught:
        list(joined.run(do, [_Elsewhere(folder=str(_made(tmp_path / "x")), number=0)]))
    assert "same path" in caught.value.remedy


class _Elsewhere(Toy):
    @property
    def plan(self) -> SimpleNamespace:
        return SimpleNamespace(root="/nowhere/at/all")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        RayExecutor()
    assert "cluster" in caught.value.remedy
