"""The models of this site: kept whole, one current and perhaps one shadow per kind; promoted and rolled back in a step.

Layout, below ``models`` in the data folder::

    state.json                    which is current, the history, how often each locked set decided
    .lock                         held by whoever changes anything
    <kind>/<model id>/            the whole weights folder as it was adopted
    <kind>/.incoming-...          a copy under way; left by a crash, removed by the next adoption
    scores/                       answers of models to locked sets, by digest
    reports/                      change reports

``state.json`` is written aside, flushed and renamed, so that a reader sees the old one or the new one, whatever died in
between. A model folder is copied aside, checked against its digests, and renamed; only then may it be named in the
state. No model is ever deleted.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from cds.errors import ModelStoreError
from cds.learning.model_kinds import SHIPPED, ModelKind, identify, is_pair, own_folder, sha256_of_file
from cds.learning.model_state import Event, KeptModel, KindState, State, from_json, to_json
from cds.settings import Settings

__all__ = ["SHIPPED", "ModelKind", "ModelStore", "model_store"]

STATE_NAME: Final = "state.json"
LOCK_NAME: Final = ".lock"
INCOMING: Final = ".incoming-"
FOLDER_NAME: Final = "models"


def model_store(settings: Settings) -> "ModelStore":
    """The store of a site: ``models`` in its data folder."""
    return ModelStore(settings.data_dir / FOLDER_NAME)


class ModelStore:
    """The models of a site. Safe with several processes at once; reading takes no lock.

    Args:
        folder: where it lies; made on the first change.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: tuple[object, State] | None = None

    @property
    def scores(self) -> Path:
        """Folder of the answers to locked sets."""
        return self.folder / "scores"

    @property
    def reports(self) -> Path:
        """Folder of the change reports."""
        return self.folder / "reports"

    def stamp(self) -> object:
        """Changes whenever the state does; costs one look at the file's entry."""
        try:
            entry = (self.folder / STATE_NAME).stat()
        except OSError:
            return None
        return entry.st_mtime_ns, entry.st_ino, entry.st_size

    def state(self) -> State:
        """What is decided; the shipped models where nothing was yet.

        Raises:
            ModelStoreError: ``state.json`` cannot be read.
        """
        stamp = self.stamp()
        if self._read is not None and self._read[0] == stamp:
            return self._read[1]
        try:
            state = from_json((self.folder / STATE_NAME).read_bytes())
        except FileNotFoundError:
            state = State()
        except (OSError, ValueError) as error:
            raise ModelStoreError(
                f"The state of the model store cannot be read ({type(error).__name__}).",
                remedy="Restore models/state.json in the data folder from its backup.",
            ) from None
        self._read = stamp, state
        return state

    def current(self, kind: ModelKind | str) -> Path | None:
        """Folder of the model in use; None for the shipped one.

        Raises:
            ModelStoreError: the state cannot be read.
        """
        return self._place(ModelKind(kind), self.state().of(kind).current)

    def shadow(self, kind: ModelKind | str) -> Path | None:
        """Folder of the model that runs silently; None for none.

        Raises:
            ModelStoreError: the state cannot be read.
        """
        return self._place(ModelKind(kind), self.state().of(kind).shadow)

    def path(self, kind: ModelKind | str, model_id: str) -> Path:
        """Folder of a kept model, checked against the digests that were taken when it was adopted.

        Raises:
            ModelStoreError: it was never adopted, or is damaged.
        """
        kept = self.state().models.get(kind, {}).get(model_id)
        if kept is None:
            raise ModelStoreError(
                f"No {ModelKind(kind).value} model of this id is kept: {model_id}.",
                remedy="See the ids with `cds learn models`, or promote a folder.",
            )
        folder = self.folder / kind / model_id
        if {name: _digest(folder / name) for name in kept.files} != dict(kept.files):
            raise ModelStoreError(
                f"The kept model {model_id} is damaged: a file is missing or was changed.",
                remedy="Restore its folder from a backup; the model in use was not changed.",
            )
        return folder

    def check_kept(self, kind: ModelKind | str, folder: Path | None) -> None:
        """Whether a model's folder is as it was adopted; one that lies elsewhere is not looked at.

        What loads a model passes over a part that is not there: a detector without its scope model refuses nothing.

        Args:
            kind: of the model.
            folder: what `chosen_folder` gave.

        Raises:
            ModelStoreError: a file of it is missing or was changed.
        """
        if folder is not None and folder.parent == self.folder / kind:
            self.path(kind, folder.name)

    def adopt(self, kind: ModelKind | str, folder: Path, *, by: str, why: str = "") -> str:
        """Keep a copy of a weights folder, and use it for nothing yet.

        The same folder again changes nothing.

        Args:
            kind: of the model.
            folder: what the setting of this kind accepts, provenance beside it.
            by: who decided.
            why: for the history.

        Returns:
            The model's id.

        Raises:
            ModelStoreError: the folder is missing or damaged, or another one was adopted under the same id;
                or it holds a pair of detectors.
        """
        kind = ModelKind(kind)
        model_id = identify(kind, folder)
        if not model_id or Path(model_id).name != model_id or model_id.startswith("."):
            raise ModelStoreError("The model's id cannot name a folder.", remedy="Give the model a plain name.")
        if is_pair(kind, folder):
            raise ModelStoreError(
                "This is a pair of detectors; the store keeps single ones.",
                remedy="Give its first detector, or name the pair's folder in FRACTURE_CDS_DETECTOR_DIR.",
            )
        files = _digests(folder)
        with self._changing() as state:
            kept = state.models.get(kind, {}).get(model_id)
            if kept is not None:
                _check_same(dict(kept.files), files)
            if kept is None or _missing(self.folder / kind / model_id, files):
                self._copy(kind, model_id, folder, files)
            if kept is None:
                entry = KeptModel(files=files, adopted=_now(), by=by)
                models = {**state.models, kind.value: {**state.models.get(kind, {}), model_id: entry}}
                event = self._event(state, "adopt", kind, model_id, by=by, why=why)
                self._write(replace(state, models=models).with_event(event))
        return model_id

    def promote(
        self,
        kind: ModelKind | str,
        model_id: str,
        *,
        by: str,
        why: str,
        report: Path | str | None = None,
        compared_with: tuple[str | None, ...] | None = None,
    ) -> None:
        """Use an adopted model from now on.

        Args:
            kind: of model.
            model_id: which.
            by: who decides.
            why: in words.
            report: the change report.
            compared_with: the store's current model when the candidate was judged, as a tuple of one; None does not
                check. Somebody else may have promoted another model meanwhile, which the candidate never met.

        Raises:
            ModelStoreError: it was never adopted, or is damaged, or was compared with another model than the one in
                use; the model in use stays.
        """
        kind = ModelKind(kind)
        self.path(kind, model_id)
        with self._changing() as state:
            now = state.of(kind)
            if compared_with is not None and now.current not in compared_with:
                raise ModelStoreError(
                    f"Another {kind.value} model came into use while this one was compared.",
                    remedy="Run `cds learn promote` again: it will meet the model that is in use now.",
                )
            event = self._event(state, "promote", kind, model_id, by=by, why=why, report=report)
            line = now.line if now.current == model_id else (*now.line, model_id)
            shadow = None if now.shadow == model_id else now.shadow
            changed = KindState(line=line, shadow=shadow, shadow_since=now.shadow_since if shadow else None)
            self._write(state.with_kind(kind, changed).with_event(event))

    def refuse(
        self, kind: ModelKind | str, model_id: str, *, by: str, why: str, report: Path | str | None = None
    ) -> None:
        """Note that the gate refused a model; nothing else changes."""
        kind = ModelKind(kind)
        with self._changing() as state:
            event = self._event(state, "refuse", kind, model_id, by=by, why=why, report=report)
            self._write(state.with_event(event))

    def rollback(self, kind: ModelKind | str, *, by: str, why: str) -> str | None:
        """Use the model that was in use before, one step back.

        Returns:
            Its id; None for the shipped one.

        Raises:
            ModelStoreError: there is nothing to go back to, or that model is damaged; the model in use stays.
        """
        kind = ModelKind(kind)
        with self._changing() as state:
            now = state.of(kind)
            if len(now.line) < 2:
                raise ModelStoreError(
                    f"The {kind.value} model in use is the first one; there is nothing to go back to.",
                    remedy="See `cds learn models`.",
                )
            before = now.line[-2]
            if before is not None:
                self.path(kind, before)
            event = self._event(state, "rollback", kind, before, by=by, why=why)
            self._write(state.with_kind(kind, replace(now, line=now.line[:-1])).with_event(event))
        return before

    def set_shadow(self, kind: ModelKind | str, model_id: str | None, *, by: str, why: str = "") -> None:
        """Let an adopted model run silently beside the current one; None ends that.

        Raises:
            ModelStoreError: it was never adopted, is damaged, or is the model in use.
        """
        kind = ModelKind(kind)
        if model_id is not None:
            self.path(kind, model_id)
        with self._changing() as state:
            now = state.of(kind)
            if model_id is not None and model_id == now.current:
                raise ModelStoreError(
                    "This model is the one in use; it cannot be its own shadow.", remedy="Give another model's id."
                )
            action = "shadow_stop" if model_id is None else "shadow_start"
            event = self._event(state, action, kind, model_id or now.shadow, by=by, why=why)
            changed = replace(now, shadow=model_id, shadow_since=None if model_id is None else event.when)
            self._write(state.with_kind(kind, changed).with_event(event))

    def count_look(self, data_sha256: str, candidate_id: str) -> int:
        """Count that a locked set decides on a candidate; the same one again tells nothing new and is not counted.

        Returns:
            On how many candidates it has decided, this one included.
        """
        with self._changing() as state:
            looks = state.looks.get(data_sha256, ())
            if candidate_id not in looks:
                looks = (*looks, candidate_id)
                self._write(replace(state, looks={**state.looks, data_sha256: looks}))
        return len(looks)

    def _place(self, kind: ModelKind, model_id: str | None) -> Path | None:
        return None if model_id is None else self.folder / kind / model_id

    def _event(
        self,
        state: State,
        action: str,
        kind: ModelKind,
        model_id: str | None,
        *,
        by: str,
        why: str,
        report: Path | str | None = None,
    ) -> Event:
        return Event(
            action=action,
            kind=kind.value,
            model_id=model_id,
            when=_now(),
            by=by,
            why=why,
            report=None if report is None else str(report),
            before=state.of(kind).current,
        )

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """One writer at a time; the state as it is once that writer is us.

        Raises:
            ModelStoreError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _not_written(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._read = None
            yield self.state()
        except OSError as error:
            raise _not_written(error) from None
        finally:
            os.close(descriptor)

    def _write(self, state: State) -> None:
        content = to_json(replace(state, generation=state.generation + 1))
        aside = self.folder / f"{STATE_NAME}.{uuid4().hex}"
        try:
            with aside.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(self.folder / STATE_NAME)
        finally:
            aside.unlink(missing_ok=True)
        _flush(self.folder)

    def _copy(self, kind: ModelKind, model_id: str, source: Path, files: Mapping[str, str]) -> None:
        """The whole folder, aside first; the lock is held, so what lies aside was left by a crash."""
        home = self.folder / kind
        home.mkdir(exist_ok=True, mode=0o700)
        for left in home.glob(f"{INCOMING}*"):
            shutil.rmtree(left)
        aside = home / f"{INCOMING}{uuid4().hex}"
        try:
            aside.mkdir(mode=0o700)
            for name in files:
                shutil.copyfile(source / name, aside / name)
                _flush(aside / name)
            if _missing(aside, files):
                raise ModelStoreError(
                    "The model folder changed while it was copied.", remedy="Wait until it is complete, and try again."
                )
            _flush(aside)
            target = home / model_id
            if target.exists():  # named by no state, or damaged: what takes its place was checked
                target.rename(home / f"{INCOMING}{uuid4().hex}")
            aside.rename(target)
            _flush(home)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def chosen_folder(kind: ModelKind, settings: Settings, store: ModelStore) -> Path | None:
    """The folder to use: what the settings name, else the store's current model, else None for the shipped one.

    Of detectors, the shipped pair is the shipped one where the settings ask for accuracy.

    Raises:
        ModelStoreError: the state cannot be read.
    """
    own = own_folder(kind, settings) or (store.current(kind) if settings.follow_models else None)
    if own is None and kind is ModelKind.DETECTOR and settings.accurate:
        from imaging.manifest import ACCURATE_WEIGHTS

        return ACCURATE_WEIGHTS
    return own


def with_current_models(settings: Settings) -> Settings:
    """The settings with the models that are in use now written out: for a run that must not change half-way.

    Raises:
        ModelStoreError: the state cannot be read.
    """
    store = model_store(settings)
    folders = {f"{kind.value}_dir": chosen_folder(kind, settings, store) for kind in ModelKind}
    return settings.model_copy(update={**folders, "follow_models": False})


def _digests(folder: Path) -> dict[str, str]:
    """File name to SHA-256, of every plain file; hidden ones, links and folders are no part of a model."""
    files = sorted(one for one in folder.iterdir() if one.is_file() and not one.is_symlink())
    return {one.name: sha256_of_file(one) for one in files if not one.name.startswith((".", "__"))}


def _digest(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None


def _missing(folder: Path, files: Mapping[str, str]) -> bool:
    return any(_digest(folder / name) != digest for name, digest in files.items())


def _check_same(kept: Mapping[str, str], given: Mapping[str, str]) -> None:
    if dict(kept) != dict(given):
        raise ModelStoreError(
            "Another folder was adopted under the same model id.",
            remedy="Give the candidate's manifest a new version, so that each id names one model.",
        )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _not_written(error: OSError) -> ModelStoreError:
    return ModelStoreError(
        f"The model store cannot be changed: {error.strerror or type(error).__name__}.",
        remedy="Check the data folder, its rights and its free space. The model in use was not changed.",
    )
