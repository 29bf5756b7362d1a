"""From a candidate folder to a decision: score both models, compare, write the change report, promote or refuse."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cds.errors import InputError
from cds.learning.change_report import ChangeReport, page, write_report
from cds.learning.gate import ROUNDS, compare
from cds.learning.margins import read_margins
from cds.learning.model_kinds import SHIPPED, ModelKind, identify, own_folder, shipped_folder
from cds.learning.models import ModelStore, chosen_folder
from cds.learning.provenance import read_provenance
from cds.learning.scoring import score
from cds.learning.verdict import Verdict
from cds.settings import Settings

__all__ = ["Decision", "decide", "page"]

DETECTOR_PARTS: Final = ("attributes.json", "scope.json")
"""Files beside a detector's weights without which a service would say less, or refuse less."""
FACTS: Final = ("name", "version", "description", "intended_use", "validation")
"""Entries of a manifest that a change report quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of a candidate."""

    verdict: Verdict
    report: Path
    """HTML page; the same as JSON lies beside it."""
    in_use: bool
    """Whether the candidate is the current model now; never after a dry run."""
    overruled_by_setting: bool
    """A setting names a folder for this kind and wins over the store, so that services do not follow."""


def decide(
    store: ModelStore,
    settings: Settings,
    kind: ModelKind,
    candidate: Path,
    locked: Path,
    *,
    by: str,
    split: str = "all",
    split_list: Path | None = None,
    margins: Path | None = None,
    why: str | None = None,
    dry_run: bool = False,
    labels_checked: bool = False,
    rounds: int = ROUNDS,
    out: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Decision:
    """Put a candidate through the gate, and use it from now on if it passes.

    Args:
        store: the models of this site.
        settings: which model is in use, where they overrule the store.
        kind: of model.
        candidate: its weights folder, with ``provenance.json``.
        locked: see `cds.learning.scoring`.
        by: who decides.
        split: of the locked set.
        split_list: CSV file of ``cds data split``.
        margins: YAML file; the defaults where None.
        why: why the change is wanted; what the provenance says where None.
        labels_checked: `by` has looked at the labels of a round that was called suspicious.
        dry_run: change nothing but the count of looks at the locked set: it was looked at.
        rounds: bootstrap draws.
        out: folder for a second copy of the report.
        report: receives progress lines.

    Raises:
        CdsError, ImagingError, TabularError: a model, the locked set or the store cannot be used; nothing was changed.
    """
    limits = read_margins(kind.value, margins)
    candidate_id = identify(kind, candidate)
    provenance = read_provenance(candidate)
    in_store = store.state().of(kind).current
    current = chosen_folder(kind, settings, store)
    _whole(kind, current or shipped_folder(kind), candidate)
    report(f"candidate {candidate_id}; in use {model_name(kind, current)}")
    scored = [
        score(kind, folder, locked, split=split, split_list=split_list, cache=store.scores, report=report)
        for folder in (current, candidate)
    ]
    looks = store.count_look(scored[0].data_sha256, candidate_id)
    verdict = compare(
        scored[0],
        scored[1],
        limits,
        kind=kind.value,
        provenance=provenance,
        rounds=rounds,
        looks=looks,
        needs_provenance=True,
        labels_checked=labels_checked,
    )
    reason = why or ("" if provenance is None else provenance.why)
    told = ChangeReport(
        verdict=verdict,
        margins=limits,
        provenance=provenance,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        by=by,
        why=reason,
        dry_run=dry_run,
        current_facts=facts_of(current or shipped_folder(kind)),
        candidate_facts=facts_of(candidate),
    )
    written = write_report(told, store.reports)
    if out is not None:
        write_report(told, out, name="change-report")
    if not dry_run:
        try:
            _carry_out(store, kind, candidate, verdict, by=by, why=reason, report=written, compared_with=in_store)
        except BaseException:
            # A report that says "promoted" of a model that is not in use would be a false record.
            written.unlink(missing_ok=True)
            written.with_suffix(".json").unlink(missing_ok=True)
            raise
    return Decision(
        verdict=verdict,
        report=written,
        in_use=verdict.promoted and not dry_run,
        overruled_by_setting=own_folder(kind, settings) is not None,
    )


def _whole(kind: ModelKind, current: Path | None, candidate: Path) -> None:
    """Whether the candidate brings every part that the model in use has, and changes more than parts no set judges.

    Raises:
        InputError: it lacks a part, so that with it the service would, for instance, no longer refuse other pictures;
            or only its attribute heads differ, which the locked set of a detector cannot judge.
    """
    if kind is not ModelKind.DETECTOR or current is None:
        return
    from imaging.manifest import read_manifest

    lacking = [name for name in DETECTOR_PARTS if (current / name).is_file() and not (candidate / name).is_file()]
    if lacking:
        raise InputError(
            f"The candidate lacks {', '.join(lacking)}, which the model in use has.",
            remedy="Fit the heads and the scope model for it: `heads_data` in the configuration of `cds learn retrain`,"
            " or `cds train fracture-type` and `cds train scope`.",
        )
    same_detector = read_manifest(current).sha256 == read_manifest(candidate).sha256
    if same_detector and any(_content(current / name) != _content(candidate / name) for name in DETECTOR_PARTS):
        raise InputError(
            "The candidate's detector is the one in use; only the heads beside it differ, and those this gate"
            " does not judge.",
            remedy="Compare both by `cds evaluate fracture-type`, then name the folder in FRACTURE_CDS_DETECTOR_DIR.",
        )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _carry_out(
    store: ModelStore,
    kind: ModelKind,
    candidate: Path,
    verdict: Verdict,
    *,
    by: str,
    why: str,
    report: Path,
    compared_with: str | None,
) -> None:
    if verdict.promoted:
        store.adopt(kind, candidate, by=by, why=why)
        store.promote(kind, verdict.candidate_id, by=by, why=why, report=report.name, compared_with=(compared_with,))
    else:
        store.refuse(kind, verdict.candidate_id, by=by, why=" ".join(verdict.reasons), report=report.name)


def model_name(kind: ModelKind, folder: Path | None) -> str:
    """The id of a model in words; the shipped one is marked as such.

    Raises:
        ModelStoreError: the folder is damaged.
    """
    if folder is not None:
        return identify(kind, folder)
    shipped = shipped_folder(kind)
    return "none" if shipped is None or not shipped.is_dir() else f"{identify(kind, shipped)} ({SHIPPED})"


def facts_of(folder: Path | None) -> dict[str, Any]:
    """What a manifest says about its model; empty where it cannot be read."""
    if folder is None:
        return {}
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: document[name] for name in FACTS if name in document}
