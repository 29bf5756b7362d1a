"""Where unlabelled studies come from: the store of this site, or a folder of images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from cds.errors import CdsError, InputError
from cds.learning.selection import Candidate, entropy
from cds.store.cases import IMAGE, MAX_PAGE, CaseQuery, StoredCase
from cds.store.feedback import Feedback, FeedbackKind
from cds.store.opening import Store
from cds.store.tables import ShadowDifferenceRow
from cds.work.keeping import kept_request
from imaging.attributes.pooling import pool_statistics
from imaging.engine import REPORTED, FractureEngine, Look
from imaging.errors import ImagingError
from imaging.radiograph import Radiograph
from imaging.reader import read_radiograph

MOST_LOOKED_AT: Final = 300
"""Stored studies, the most doubtful by what is kept of them, that go through the detector again for their features."""
MOST_JUDGED: Final = 100
"""Newest judged studies that suggestions should be unlike."""
ENDINGS: Final = frozenset({".dcm", ".png", ".jpg", ".jpeg"})


class RememberingEngine(FractureEngine):
    """Remembers its last look, so that findings and features come from one pass of the network."""

    last: Look

    def look(self, pixels: NDArray[np.float32]) -> Look:
        """One pass of the network over a radiograph [H, W] in 0..1, bone bright."""
        self.last = super().look(pixels)
        return self.last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unlabelled:
    """What there is to choose from."""

    candidates: tuple[Candidate, ...]
    judged: NDArray[np.float32] | None
    """[m, D] features of the newest judged studies; None without any."""
    left_out: int
    """Studies that were refused, cannot be judged, or cannot be read."""
    timed_seconds: tuple[float, ...] = ()
    """What own reads took."""


def from_store(store: Store, engine: RememberingEngine) -> Unlabelled:
    """Unjudged studies of the store, one per patient; erased ones are not there any more.

    Args:
        store: open.
        engine: the detector; it looks at every study that comes into question.

    Raises:
        StoreError: the store does not answer.
    """
    feedback = store.feedback.all()
    known = {one.case_id for one in feedback if one.kind is not FeedbackKind.OUTCOME}
    open_cases, judged_cases, unfit = [], [], 0
    for one in _stored(store):
        if one.id in known:
            judged_cases.append(one)
        elif one.call in {call.value for call in REPORTED}:
            open_cases.append(one)
        elif one.call is not None:
            unfit += 1
    shadow = _shadow(store)
    doubtful = sorted(_one_per_patient(open_cases), key=lambda one: -_doubt(one, shadow))
    found = [_seen(store, engine, one, shadow.get(one.id)) for one in doubtful[:MOST_LOOKED_AT]]
    near = [_seen(store, engine, one) for one in judged_cases[:MOST_JUDGED]]
    vectors = [one.vector for one in near if one is not None]
    return Unlabelled(
        candidates=tuple(one for one in found if one is not None),
        judged=np.stack(vectors) if vectors else None,
        left_out=unfit + sum(one is None for one in found),
        timed_seconds=_timed(feedback),
    )


def from_folder(folder: Path, engine: RememberingEngine) -> Unlabelled:
    """Radiographs of a folder and its subfolders, named by their path in it.

    Raises:
        InputError: there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise InputError("The folder holds no radiograph.", remedy="Give a folder with DICOM, PNG or JPEG files.")
    found = [_of_bytes(engine, str(path.relative_to(folder)), path) for path in paths]
    candidates = tuple(one for one in found if one is not None)
    return Unlabelled(candidates=candidates, judged=None, left_out=len(found) - len(candidates))


def candidate(engine: RememberingEngine, name: str, radiograph: Radiograph) -> Candidate | None:
    """A radiograph as a candidate; None where the detector would not judge it."""
    findings = engine.analyse(radiograph)
    if findings.call not in REPORTED:
        return None
    look, probability = engine.last, findings.fracture_probability
    return Candidate(
        id=name,
        vector=pool_statistics(look.features, look.transform).numpy(),
        score=look.max_score,
        probability=None if probability is None else probability.value,
    )


def _stored(store: Store) -> Iterator[StoredCase]:
    """Every case, the newest first."""
    cursor: str | None = None
    while True:
        page = store.cases.find(CaseQuery(limit=MAX_PAGE, cursor=cursor))
        yield from page.cases
        cursor = page.next_cursor
        if cursor is None:
            return


def _one_per_patient(cases: Sequence[StoredCase]) -> list[StoredCase]:
    """The newest of each patient; a study without a patient stands for itself."""
    seen: set[str] = set()
    found = []
    for one in cases:
        key = one.patient_key or one.study_uid or one.id
        if key not in seen:
            seen.add(key)
            found.append(one)
    return found


def _shadow(store: Store) -> dict[str, float]:
    """What the newest shadow model said of each case, as a probability."""
    wanted = select(ShadowDifferenceRow).where(ShadowDifferenceRow.candidate_probability.is_not(None))
    with store.database.reading() as session:
        rows = session.scalars(wanted.order_by(ShadowDifferenceRow.created))
        return {row.case_id: row.candidate_probability for row in rows if row.candidate_probability is not None}


def _doubt(case: StoredCase, shadow: Mapping[str, float]) -> float:
    """By what is kept of a case: how even its odds are, and how far the shadow model is off."""
    own = case.probability or 0.0
    return entropy(own) + abs(shadow.get(case.id, own) - own)


def _seen(store: Store, engine: RememberingEngine, case: StoredCase, shadow: float | None = None) -> Candidate | None:
    try:
        frame = kept_request(store, case.id).frame
        image, _ = store.cases.file(case.id, IMAGE)
        found = candidate(engine, case.id, read_radiograph(image, frame=int(frame or 1)))
    except (CdsError, ImagingError, ValueError):
        return None  # counted as left out: a damaged or erased file is no study to label
    return None if found is None else replace(found, shadow_probability=shadow)


def _of_bytes(engine: RememberingEngine, name: str, path: Path) -> Candidate | None:
    try:
        return candidate(engine, name, read_radiograph(path))
    except (ImagingError, OSError):
        return None


def _timed(feedback: Sequence[Feedback]) -> tuple[float, ...]:
    reads = (one.content.seconds for one in feedback if one.kind is FeedbackKind.OWN_READ)
    return tuple(seconds for seconds in reads if seconds is not None)
