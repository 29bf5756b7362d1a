"""From a candidate folder to a decision: score both models, compare, write the change report, promote or refuse."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cds.errors import InputError
from cds.learning.candidates import check_course, check_parts, known_to_current
from cds.learning.change_report import ChangeReport, page, write_report
from cds.learning.gate import ROUNDS, compare
from cds.learning.margins import read_margins
from cds.learning.model_kinds import SHIPPED, ModelKind, Question, identify, own_folder, shipped_folder
from cds.learning.models import ModelStore, chosen_folder
from cds.learning.provenance import Provenance, read_provenance
from cds.learning.scoring import score
from cds.learning.verdict import Verdict
from cds.settings import Settings

__all__ = ["Decision", "decide", "page"]

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
    asked: ModelKind | Question,
    candidate: Path,
    locked: Path,
    *,
    by: str,
    locked_types: Path | None = None,
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
        asked: what is judged; of a detector's folder either all of it or the heads alone.
        candidate: its weights folder, with ``provenance.json``; a bone-age folder needs none, its weights tell.
        locked: see `cds.learning.scoring`.
        by: who decides.
        locked_types: fractures of known type, judged beside a detector's locked set.
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
    question = Question.of(asked)
    kind = question.kind
    limits = read_margins(question.key, margins)
    check_course(kind, candidate)
    candidate_id = identify(kind, candidate)
    provenance = origin_of(kind, candidate)
    in_store = store.state().of(kind).current
    current = chosen_folder(kind, settings, store)
    check_parts(question, current or shipped_folder(kind), candidate)
    if locked_types is not None and question is not Question.DETECTOR:
        raise InputError("Only a detector has types beside its locked set.", remedy="Leave --locked-types out.")
    report(f"candidate {candidate_id}; in use {model_name(kind, current)}")
    scored = [
        score(
            question,
            folder,
            locked,
            types=locked_types,
            split=split,
            split_list=split_list,
            cache=store.scores,
            report=report,
        )
        for folder in (current, candidate)
    ]
    looks = store.count_look(scored[0].data_sha256, candidate_id)
    verdict = compare(
        scored[0],
        scored[1],
        limits,
        kind=question.key,
        provenance=provenance,
        rounds=rounds,
        looks=looks,
        needs_provenance=True,
        labels_checked=labels_checked,
    )
    known = known_to_current(question, current or shipped_folder(kind), scored[0].answers)
    verdict = replace(verdict, notes=(*verdict.notes, *known))
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


def origin_of(kind: ModelKind, candidate: Path) -> Provenance | None:
    """What a candidate learned from, as far as its folder tells; None where it tells nothing.

    Beside ``provenance.json`` the weights of a bone-age model tell it, and the work folder of a healing model the
    pseudonyms of its cases, which are compared here and written nowhere.

    Raises:
        InputError: ``provenance.json`` cannot be read.
        ImagingError: the weights cannot be used.
    """
    found = read_provenance(candidate)
    if kind is ModelKind.BONE_AGE and found is None:
        from cds.learning.scoring_bone_age import origin_of_hands

        return origin_of_hands(candidate)
    if kind is ModelKind.HEALING and found is not None:
        from cds.learning.scoring_healing import cases_learned

        return replace(found, digests=found.digests | cases_learned(candidate))
    return found


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
