"""The engine of many machines: Ray Data hands the same tasks to the workers of a cluster.

Ray Data rather than bare Ray tasks: it keeps only as many tasks in flight as there are cores however many partitions
there are, lets a growing cluster join in, and starts a task again when its worker or its machine dies. It does that
without end, so tries are counted in the run folder. Only numbers of tasks and failures pass through Ray; patient data
stay in the run folder, which every machine must see under the same path.
"""

import importlib
import importlib.util
import logging
import os
import pickle
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from cds.batch.carry import Failure, attempt
from cds.batch.local import THREADS
from cds.batch.run import S
from cds.errors import ClusterError, SettingsError, WorkersDiedError
from cds.logs import configure_logging
from cds.version import engine_version

MOST_TRIES = 4
"""How often a task is started whose worker died each time."""
STARTS = 5
"""How often a cluster of this machine is started anew when it does not come up: Ray itself waits half a minute."""
PROBE_SECONDS = 300.0
"""A machine of the cluster that does not answer within this time is given up."""
_OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Ray's shared memory on one machine; only numbers of tasks lie in it."""
_SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_USAGE_DISABLED": "1", "RAY_DISABLE_IMPORT_WARNING": "1"}
"""Environment of this process while it is connected: nothing is told to the makers of Ray."""
_LOCAL = {
    # Off a cluster Ray listens on the loopback address only; on Linux this variable is the way to say so.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    **dict.fromkeys(THREADS, "1"),
}
"""Environment of a cluster of this machine, which its workers inherit."""
_ADDRESS = "RAY_ADDRESS"


class RayExecutor:
    """Runs tasks on a Ray cluster: that of ``RAY_ADDRESS``, else one of this machine that ends with the run.

    A context manager; a cluster that was joined by the caller (``ray.init``) is used and left running.
    """

    name = "ray"

    def __init__(self, workers: int | None = None, *, address: str | None = None, log_level: str = "WARNING") -> None:
        """Choose the cluster; nothing is started before the first task.

        Args:
            workers: Tasks that run at the same time, one core each; all cores by default.
            address: Of an existing cluster; ``RAY_ADDRESS`` by default.
            log_level: For the logs of the workers.

        Raises:
            SettingsError: Ray is not installed.
        """
        if importlib.util.find_spec("ray") is None:
            raise SettingsError(
                "The engine 'ray' is not installed.", remedy="Install the extra 'cluster', or use --engine local."
            )
        self._asked = workers
        self.workers = workers or os.cpu_count() or 1
        self._address = address or os.environ.get(_ADDRESS) or None
        self.logs: str | None = None
        """Folder of Ray's logs, of a cluster that was started here."""
        self._log_level = log_level
        self._closing = ExitStack()
        self._connected = False
        self._alone = False
        self._probed: set[str] = set()

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster, and end one that was started here."""
        self.close()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, and its logs go."""
        self._closing.close()
        self._connected = False

    def run(self, function: Callable[[S], Path], specs: Sequence[S]) -> Iterator[S]:
        """Run a function on each spec; see `cds.batch.run.Executor`.

        Raises:
            ClusterError: The cluster does not answer, lacks this program, or does not share the run folder.
            WorkersDiedError: The worker of one task died at every try.
        """
        ray = self._connect()
        self._probe(ray, specs[0])
        token = secrets.token_hex(4)
        given = {"function": function, "specs": ray.put(list(specs)), "token": token, "log_level": self._log_level}
        data = importlib.import_module("ray.data")
        _quiet(data)
        numbers = data.from_items([{"number": number} for number in range(len(specs))], override_num_blocks=len(specs))
        pool = data.TaskPoolStrategy(size=self._asked and min(self._asked, len(specs)))
        worked = numbers.map(_work, fn_kwargs=given, num_cpus=1, compute=pool)
        try:
            for batch in worked.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
                for one in batch.to_pylist():
                    if one["failure"]:
                        failure: Failure = pickle.loads(one["failure"])
                        failure.throw()
                    yield specs[one["number"]]
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"The Ray cluster broke off the work ({type(error).__name__}).",
                remedy="Look at the state of the cluster and repeat the command: what is finished is not done again.",
            ) from None

    def _connect(self) -> ModuleType:
        """Ray, with a connection."""
        if self._connected:
            return importlib.import_module("ray")
        self._closing.enter_context(_environment(_SILENT | ({} if self._address else _LOCAL)))
        ray = importlib.import_module("ray")
        if not ray.is_initialized():
            self._start(ray)
            self._stay_at_home(ray)
        self._connected = True
        self.workers = self._asked or int(ray.cluster_resources().get("CPU", 1))
        return ray

    def _start(self, ray: ModuleType) -> None:
        settings: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if self._address:
            settings |= {"address": self._address, "runtime_env": {"env_vars": dict.fromkeys(THREADS, "1")}}
        else:
            self._alone = True
            # In a folder of its own, so that no log of a worker outlives the run.
            logs = tempfile.TemporaryDirectory(prefix="cds-ray-", ignore_cleanup_errors=True)
            self.logs = logs.name
            self._closing.callback(logs.cleanup)
            settings |= {
                "address": "local",
                "num_cpus": self.workers,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": logs.name,
            }
        self._closing.callback(ray.shutdown)  # before the logs go, and also after a start that failed
        for start in range(STARTS):
            try:
                ray.init(**settings)
            except Exception as error:  # Ray raises no narrower class when a busy machine is slow to start it
                ray.shutdown()
                if start == STARTS - 1 or self._address:
                    raise ClusterError(
                        f"{'The Ray cluster cannot be joined' if self._address else 'Ray cannot be started'}"
                        f" ({type(error).__name__}).",
                        remedy="Check RAY_ADDRESS and RAY_AUTH_TOKEN, and that the same versions of Ray and Python run"
                        " there, or use --engine local.",
                    ) from None
            else:
                return

    def _stay_at_home(self, ray: ModuleType) -> None:
        if self._alone and not ip_address(ray.util.get_node_ip_address()).is_loopback:
            raise ClusterError(
                "Ray would listen beyond this machine: it was imported before its settings were made.",
                remedy="Make the RayExecutor before anything imports ray, or join a cluster of your own.",
            )

    def _probe(self, ray: ModuleType, spec: S) -> None:
        """Make sure that every machine sees the run folder and the input, and runs this version.

        Raises:
            ClusterError: One does not.
        """
        if self._alone or spec.folder in self._probed:
            return
        token = secrets.token_hex(8)
        question = Path(spec.folder) / f"probe-{token}"
        question.write_text(token)
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        ask = ray.remote(_answer).options
        asked = [
            ask(
                num_cpus=1,
                max_retries=2,
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=False),
            ).remote(spec.folder, spec.plan.root, token, number, engine_version())
            for number, node in enumerate(nodes)
        ]
        try:
            answers = ray.get(asked, timeout=PROBE_SECONDS)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"A machine of the Ray cluster cannot run this program ({type(error).__name__}).",
                remedy="Install the same version of fracture-cds with the extra 'cluster' on every machine.",
            ) from None
        finally:
            question.unlink(missing_ok=True)
        for number, told in enumerate(answers):
            answer = Path(f"{question}-{number}")
            if told == "" and not answer.exists():
                told = _NOT_SHARED
            answer.unlink(missing_ok=True)
            if told:
                raise ClusterError(told, remedy=_MEND[told])
        self._probed.add(spec.folder)


_NOT_SHARED = "A machine of the Ray cluster does not see the folder of the output."
_NO_INPUT = "A machine of the Ray cluster does not see the input."
_OTHER_VERSION = "A machine of the Ray cluster runs another version of this program."
_MEND = {
    _NOT_SHARED: "Give an --output on a file system that every machine of the cluster has under the same path.",
    _NO_INPUT: "Give an input on a file system that every machine of the cluster has under the same path.",
    _OTHER_VERSION: "Install the same version of fracture-cds on every machine.",
}


def _answer(folder: str, root: str, token: str, number: int, version: str) -> str:
    """On a machine of the cluster: what is wrong there; nothing if all is well."""
    if engine_version() != version:
        return _OTHER_VERSION
    question = Path(folder) / f"probe-{token}"
    try:
        if question.read_text() != token:
            return _NOT_SHARED
        question.with_name(f"{question.name}-{number}").touch()
    except OSError:
        return _NOT_SHARED
    if not Path(root).exists():
        return _NO_INPUT
    return ""


def _work(
    row: dict[str, int], function: Callable[[S], Path], specs: Any, token: str, log_level: str
) -> dict[str, int | bytes]:
    """One task in a worker: its number, and its failure if it failed."""
    configure_logging(log_level)
    spec: S = _specs(specs)[row["number"]]
    tries = Path(spec.folder) / f"{spec.task.name}.{token}"
    failure = Failure.of(WorkersDiedError()) if _try_number(tries) > MOST_TRIES else attempt(function, spec)
    tries.unlink(missing_ok=True)
    return {"number": row["number"], "failure": b"" if failure is None else pickle.dumps(failure)}


_read: dict[Any, Sequence[Any]] = {}


def _specs(reference: Any) -> Sequence[Any]:
    """The list of specs, read once in each worker."""
    if reference not in _read:
        _read.clear()
        _read[reference] = importlib.import_module("ray").get(reference)
    return _read[reference]


def _try_number(path: Path) -> int:
    """Which try of the task this is, from 1."""
    with path.open("ab") as stream:
        stream.write(b".")
        return stream.tell()


def _quiet(data: ModuleType) -> None:
    """No bars and no notes of Ray's own: the command has its own progress."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
