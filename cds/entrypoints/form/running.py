"""One assessment with its progress: the engines tell when they begin."""

import html
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from cds.case import CaseResult
from cds.entrypoints.service import Service
from cds.errors import Problem
from cds.work.requests import RawCase
from cds.work.steps import Step, stepping

FETCHING = "Fetching from the servers"
STEPS: dict[Step, str] = {
    Step.READ_IMAGE: "Reading the X-ray",
    Step.FIND_FRACTURES: "Looking for fractures",
    Step.EXPLAIN: "Computing heat maps",
    Step.READ_RECORD: "Reading the patient record",
    Step.ESTIMATE_RISK: "Estimating the risk",
    Step.BONE_AGE: "Estimating skeletal age",
    Step.ASSESS: "Weighing it together",
    Step.KEEP: "Writing the report",
}
Tell = Callable[[str], None]
_END = object()


def run(
    service: Service, prepare: Callable[[Tell], RawCase], *, client: str
) -> Iterator[tuple[tuple[str, ...], CaseResult | Exception | None]]:
    """Assess in a thread.

    Args:
        service: with its engines.
        prepare: makes the inputs, which may ask servers.
        client: who asks.

    Yields:
        The steps begun so far and None; at last with the result, or with what went wrong.
    """
    said: queue.SimpleQueue[object] = queue.SimpleQueue()
    outcome: list[CaseResult | Exception] = []

    def begin(step: Step) -> None:
        said.put(STEPS[step])

    def work() -> None:
        try:
            own = replace(service, engines=stepping(service.engines, begin))
            result = own.assess(prepare(said.put), client=client, before_keeping=lambda: begin(Step.KEEP))
            outcome.append(result)
        except Exception as error:  # told to the reader by `explain`
            outcome.append(error)
        said.put(_END)

    threading.Thread(target=work, daemon=True).start()
    steps: tuple[str, ...] = ()
    while (word := said.get()) is not _END:
        steps = (*steps, str(word))
        yield steps, None
    yield steps, outcome[0]


def progress_panel(steps: tuple[str, ...]) -> str:
    """The steps: done, and the one that runs."""
    rows = "".join(f'<li class="done">{html.escape(step)}</li>' for step in steps[:-1])
    now = f'<li class="now">{html.escape(steps[-1])} \N{HORIZONTAL ELLIPSIS}</li>' if steps else ""
    return f'<div class="running" role="status" aria-live="polite"><ol>{rows}{now}</ol></div>'


def problem_panel(problem: Problem) -> str:
    """What went wrong, why, and what to do."""
    what, why, remedy, code = (html.escape(text) for text in (problem.what, problem.why, problem.remedy, problem.code))
    return (
        f'<div class="problem" role="alert"><strong>{what}</strong><p>{why}</p><p>{remedy}</p>'
        f"<small>{code}</small></div>"
    )
