"""Parts that follow the site's choice of model: a new one is taken up between two cases, without a restart.

The choice is looked at once per case, which costs one look at a file's entry. A new model is loaded beside the old one
by the case that meets it first; others go on with the old one meanwhile, and whoever holds a part keeps it to the end
of the case. One that cannot be loaded leaves the old one in place: that is logged, counted, and told by ``/readyz``.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from cds.errors import ModelStoreError, error_code
from cds.learning.model_kinds import ModelKind

_log = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_S: Final = 60.0
"""A model that could not be loaded is tried again after so long, or when the choice changes."""


class ModelWatch:
    """What became of new models in one process."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.failures: Counter[str] = Counter()
        """Kind to how often a new model could not be taken up."""
        self.tell: Callable[[str], None] = lambda kind: None
        """Called with the kind whenever that happens."""
        self._kept: dict[str, str] = {}

    @property
    def kept(self) -> dict[str, str]:
        """Kinds whose new model cannot be used, so that the old one answers, to the code of the reason."""
        return dict(self._kept)

    def failed(self, kind: ModelKind, error: Exception) -> None:
        """A new model cannot be used."""
        code = error_code(error)
        _log.error("the %s model that was chosen cannot be used; the one before answers [%s]", kind.value, code)
        self.failures[kind.value] += 1
        self._kept[kind.value] = code
        self.tell(kind.value)

    def well(self, kind: ModelKind) -> None:
        """The chosen model answers."""
        self._kept.pop(kind.value, None)


class Following(Generic[T]):
    """One part of one kind of model.

    Args:
        kind: of model.
        choose: the folder to use now; None for the shipped one.
        build: loads the part from a folder.
        watch: hears of models that cannot be used.
    """

    def __init__(
        self,
        kind: ModelKind,
        choose: Callable[[], Path | None],
        build: Callable[[Path | None], T],
        watch: ModelWatch,
    ) -> None:
        self._kind = kind
        self._choose = choose
        self._build = build
        self._watch = watch
        self._lock = threading.Lock()
        self._loaded: tuple[Path | None, T] | None = None
        self._failed: tuple[Path | None, float] | None = None
        self._unreadable = False

    def get(self) -> T:
        """The part of the model to use now.

        Raises:
            Exception: whatever `build` raises, where there is no model before to go on with.
        """
        return self.now()[1]

    def now(self) -> tuple[Path | None, T]:
        """The same with the folder that it came from.

        Raises:
            Exception: as `get`.
        """
        loaded = self._loaded
        try:
            wanted = self._choose()
        except ModelStoreError as error:
            if loaded is None:
                raise
            if not self._unreadable:
                self._unreadable = True
                self._watch.failed(self._kind, error)
            return loaded
        self._unreadable = False
        if loaded is None:
            return self._first(wanted)
        if loaded[0] == wanted:
            self._failed = None
            self._watch.well(self._kind)
            return loaded
        return self._next(loaded, wanted)

    def _first(self, wanted: Path | None) -> tuple[Path | None, T]:
        """Several threads may ask at once, and one builds. A failed build is not remembered: the next use tries."""
        with self._lock:
            if self._loaded is None:
                self._loaded = wanted, self._build(wanted)
            return self._loaded

    def _next(self, loaded: tuple[Path | None, T], wanted: Path | None) -> tuple[Path | None, T]:
        failed = self._failed
        if failed is not None and failed[0] == wanted and time.monotonic() - failed[1] < RETRY_S:
            return loaded
        if not self._lock.acquire(blocking=False):  # another case loads it; this one does not wait
            return loaded
        try:
            if self._loaded is not None and self._loaded[0] == wanted:
                return self._loaded
            try:
                self._loaded = wanted, self._build(wanted)
            except Exception as error:
                self._failed = wanted, time.monotonic()
                self._watch.failed(self._kind, error)
                return loaded
            self._failed = None
            self._watch.well(self._kind)
            _log.info("the %s model was replaced", self._kind.value)
            return self._loaded
        finally:
            self._lock.release()
