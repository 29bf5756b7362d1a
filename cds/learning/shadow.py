"""A candidate that reads every kept radiograph after the answer was given; what it says reaches nobody.

It runs in the worker processes, in a thread of lowest priority, and only while the worker has no job. It takes cases
from the store, so that it sees those of the form, the API, jobs and the listener alike, and stores the difference to
what was answered; its errors are kept as codes and counted. A case that is erased takes its difference along.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import exists, select

from cds.errors import ConflictError, StoreError, error_code
from cds.learning.model_kinds import ModelKind
from cds.learning.models import ModelStore, model_store
from cds.pipeline import ImageEngine, ImageReader
from cds.settings import Settings
from cds.store.opening import Store
from cds.store.tables import CaseRow, ShadowDifferenceRow
from cds.work.keeping import kept_request
from imaging.results import FractureCall, ImageFindings

_log = logging.getLogger(__name__)

LOOKS_EVERY_S: Final = 2.0
LOWEST_PRIORITY: Final = 19
REPORT: Final = "report.json"
STEPS: Final = {FractureCall.NOT_SEEN.value: 0, FractureCall.SUSPECTED.value: 1, FractureCall.DEFINITE.value: 2}
CANNOT_JUDGE_APART: Final = 0.5
"""Of a case that only one of the two can judge."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one model says of a radiograph."""

    model_id: str
    call: str
    probability: float | None
    """Of a fracture, 0..1; None where none is told."""
    box: Box | None
    """The best one: x1, y1, x2, y2 in pixels of the radiograph."""


def said_by(findings: ImageFindings) -> Said:
    """The part of findings that is compared."""
    best = max(findings.detections, key=lambda one: one.score, default=None)
    box = None if best is None else best.box
    return Said(
        model_id=findings.model_id,
        call=findings.call.value,
        probability=None if findings.fracture_probability is None else findings.fracture_probability.value,
        box=None if box is None else (box.x1, box.y1, box.x2, box.y2),
    )


def said_in(report: Mapping[str, Any]) -> Said | None:
    """The same from a kept JSON report; None where it has no findings.

    Raises:
        KeyError, TypeError, ValueError: it is no such report.
    """
    findings = report.get("findings")
    if findings is None:
        return None
    probability = findings.get("fracture_probability")
    best = max(findings["detections"], key=lambda one: float(one["score"]), default=None)
    return Said(
        model_id=str(findings["model_id"]),
        call=str(findings["call"]),
        probability=None if probability is None else float(probability["value"]),
        box=None if best is None else tuple(float(best["box"][name]) for name in ("x1", "y1", "x2", "y2")),  # type: ignore[arg-type]  # four
    )


def box_iou(first: Box | None, second: Box | None) -> float | None:
    """Intersection over union, 0..1; None where there is no pair."""
    if first is None or second is None:
        return None
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (first, second)) - shared
    return shared / both if both > 0 else 0.0


def hardness(current: Said, candidate: Said) -> float:
    """How far two answers are apart, 0..1: the largest of three distances.

    Half a point per step between not seen, suspected and definite; the difference of the probabilities; half of what
    the best boxes do not share.
    """
    steps = (STEPS.get(current.call), STEPS.get(candidate.call))
    calls = 0.0
    if current.call != candidate.call:
        known = steps[0] is not None and steps[1] is not None
        calls = abs((steps[0] or 0) - (steps[1] or 0)) / 2 if known else CANNOT_JUDGE_APART
    chances = 0.0
    if current.probability is not None and candidate.probability is not None:
        chances = abs(current.probability - candidate.probability)
    overlap = box_iou(current.box, candidate.box)
    return max(calls, chances, 0.0 if overlap is None else (1 - overlap) / 2)


class ShadowRunner:
    """Runs the shadow of one worker process, if the site has one.

    Args:
        settings: where the models are, and how to run them.
        store: the cases.
        busy: set while the worker has a job.
        load: loads a detector; the real one by default.
        read_image: reads a radiograph; the real reader by default.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        busy: threading.Event,
        *,
        load: Callable[[Path], ImageEngine] | None = None,
        read_image: ImageReader | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._busy = busy
        self._load = load or self._real
        self._read_image = read_image
        self._models: ModelStore = model_store(settings)
        self._loaded: tuple[str, ImageEngine] | None = None
        self._broken: str | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, daemon=True, name="shadow").start()

    def stop(self) -> None:
        """Take no further case."""
        self._over.set()

    def one(self) -> bool:
        """Read one case that the shadow has not read yet; False where there is none, or no shadow.

        Raises:
            StoreError: the store cannot be asked, or not be written.
        """
        state = self._models.state().of(ModelKind.DETECTOR)
        if state.shadow is None or state.shadow == self._broken:
            self._loaded = None
            return False
        found = self._waiting(state.shadow, state.shadow_since)
        if found is None:
            return False
        engine = self._engine(state.shadow)
        if engine is None:
            return False
        self._keep(found, state.shadow, engine)
        return True

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # on Linux a thread has a priority of its own, and hands it on
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        more = False
        while not self._over.wait(0.05 if more else LOOKS_EVERY_S):
            if self._busy.is_set():
                more = False
                continue
            try:
                more = self.one()
            except Exception as error:
                more = False
                _log.warning("the shadow could not read a case [%s]", error_code(error))

    def _real(self, folder: Path) -> ImageEngine:
        from cds.bootstrap import load_image_engine

        return load_image_engine(self._settings, folder)

    def _engine(self, model_id: str) -> ImageEngine | None:
        if self._loaded is None or self._loaded[0] != model_id:
            try:
                self._loaded = model_id, self._load(self._models.path(ModelKind.DETECTOR, model_id))
            except Exception as error:
                _log.error("the shadow model cannot be loaded [%s]", error_code(error))
                self._broken, self._loaded = model_id, None
                return None
        return self._loaded[1]

    def _waiting(self, candidate: str, since: str | None) -> str | None:
        """The oldest case with a radiograph since the shadow began that it has not read."""
        read = exists().where(ShadowDifferenceRow.case_id == CaseRow.id, ShadowDifferenceRow.candidate == candidate)
        query = select(CaseRow.id).where(CaseRow.image_sha256.is_not(None), CaseRow.call.is_not(None), ~read)
        if since is not None:
            query = query.where(CaseRow.created >= datetime.fromisoformat(since))
        with self._store.database.reading() as session:
            return session.scalar(query.order_by(CaseRow.created, CaseRow.id).limit(1))

    def _keep(self, case_id: str, model_id: str, engine: ImageEngine) -> None:
        current, candidate, error = self._both(case_id, engine)
        known = current or Said(model_id="unknown", call="unknown", probability=None, box=None)
        row = ShadowDifferenceRow(
            case_id=case_id,
            candidate=model_id,
            current=known.model_id,
            created=datetime.now(UTC),
            current_call=known.call,
            candidate_call=None if candidate is None else candidate.call,
            current_probability=known.probability,
            candidate_probability=None if candidate is None else candidate.probability,
            box_iou=None if candidate is None else box_iou(known.box, candidate.box),
            hardness=0.0 if candidate is None else hardness(known, candidate),
            error=error,
        )
        # Another worker's shadow was quicker, or the case was erased meanwhile.
        with contextlib.suppress(ConflictError), self._store.database.transaction() as session:
            session.add(row)

    def _both(self, case_id: str, engine: ImageEngine) -> tuple[Said | None, Said | None, str | None]:
        """What was answered, what the shadow says, and the code of its error."""
        current: Said | None = None
        try:
            current = said_in(json.loads(self._store.cases.file(case_id, REPORT)[0]))
            raw = kept_request(self._store, case_id)
            read = self._read_image or _real_reader()
            radiograph = read(raw.image or b"", frame=int(raw.frame or 1))
            return current, said_by(engine.analyse(radiograph)), None
        except StoreError as error:
            return current, None, error.code
        except Exception as error:
            return current, None, error_code(error)


def _real_reader() -> ImageReader:
    from imaging.reader import read_radiograph

    return read_radiograph
