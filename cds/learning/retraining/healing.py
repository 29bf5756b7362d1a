"""Healing times go on learning: the outcomes of new exports after those exported before, each case once."""

import csv
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cds.learning.retraining.cases import MANIFEST_NAME, OUTCOMES_TABLE, REPLAY, checked_digest, told_apart
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.record import Record, SourceCount, write_record

COMMAND: Final = "cds learn retrain --kind healing --feedback EXPORT --replay EARLIER --out CANDIDATE"
MERGED_NAME: Final = "outcomes.csv"
CASES_NAME: Final = "cases.json"
"""Beside the merged outcomes, of which the model store takes no copy: the pseudonyms of their rows."""
WORK_NAME: Final = ".work"

Report = Callable[[str], None]
Row = dict[str, str]
KeptRow = tuple[str | None, Row]
"""A row and the pseudonym of its case, None where it is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSource:
    """The usable outcomes of one table."""

    name: str
    role: str
    """``new`` or ``replay``."""
    sha256: str
    table_sha256: str
    """Of the table itself, by which the gate recognises it; a row has too few values for a digest of its own."""
    rows: tuple[Row, ...]
    cases: tuple[str | None, ...]
    """Pseudonyms of the rows, with the key's fingerprint before them; None where the source tells none."""
    problems: tuple[str, ...]


def retrain_healing(
    feedback: Sequence[Path],
    replay: Path | None,
    out: Path,
    *,
    parent: Path | None = None,
    config: RetrainConfig | None = None,
    report: Report = print,
) -> Path:
    """Fit this site's healing times to earlier and new outcomes together.

    There is nothing to fine-tune: the model is small and is fitted anew on all rows. Exports are cumulative, so a case
    that comes again, recognised by its pseudonym, counts once, with its latest row. A candidate keeps the pseudonyms of
    its rows in its work folder, so that it can be replayed.

    Args:
        feedback: folders of ``cds feedback export`` with ``healing_outcomes.csv``.
        replay: an earlier export, an earlier candidate's folder, or a table of outcomes; None for none.
        out: folder of the candidate, new or empty.
        parent: folder of the current model; None where the published figures stand alone so far.
        config: settings; the seed counts.
        report: receives one line per row that is left out and per step.

    Raises:
        RetrainingError: no export holds an outcome, two bear one name, or `out` is not empty.
        TabularError: too few unions to fit anything.
    """
    from cds.healing_outcomes import train_on

    config = (config or RetrainConfig()).checked()
    if out.is_dir() and any(out.iterdir()):
        raise RetrainingError(f"the folder {out.name} is not empty", "name a new folder")
    folders = told_apart(feedback)
    earlier = [] if replay is None else [read_source(replay.resolve(), role="replay", report=report)]
    sources = [*earlier, *(read_source(folder, role="new", report=report) for folder in folders)]
    if not any(one.rows for one in sources if one.role == "new"):
        raise RetrainingError("no export holds an outcome that can be used", "record outcomes at follow-up first")
    kept, notes = each_once(sources)
    for note in notes:
        report(note)
    merged = out / WORK_NAME / MERGED_NAME
    _write(merged, [row for rows in kept.values() for _, row in rows])
    cases = [case for rows in kept.values() for case, _ in rows]
    (merged.parent / CASES_NAME).write_text(json.dumps(cases) + "\n", encoding="utf-8")
    manifest = train_on(merged, out, seed=config.seed, report=report)
    record = Record(
        kind="healing",
        parent_id=None if parent is None else _manifest_of(parent).get("model_id"),
        parent_sha256=None if parent is None else _manifest_of(parent).get("sha256"),
        why=f"{sum(len(kept[one.name]) for one in sources if one.role == 'new')} outcomes at follow-up came in.",
        method="Fitted anew on all outcomes; groups of bones are blended in where they beat the published figures.",
        command=COMMAND,
        seed=config.seed,
        config=asdict(config),
        sources=tuple(
            SourceCount(
                name=one.name,
                role=one.role,
                n=len(kept[one.name]),
                n_positive=sum(row["united"] in ("1", "1.0") for _, row in kept[one.name]),
                left_out=len(one.problems),
                sha256=one.sha256,
            )
            for one in sources
        ),
        digests=frozenset(one.table_sha256 for one in sources),
        problems=tuple(line for one in sources for line in one.problems),
        notes=tuple(notes),
        further={"groups": {name: found["weight"] for name, found in manifest["groups"].items()}},
    )
    write_record(record, out, parent=parent)
    return out


def read_source(place: Path, *, role: str, report: Report = print) -> OutcomeSource:
    """Outcomes of an export, of an earlier candidate or of a plain table; bad rows are named by number and left out.

    Raises:
        RetrainingError: there is no such table, or an export was changed.
    """
    exported = (place / OUTCOMES_TABLE).is_file()
    if place.is_dir() and not exported and (place / WORK_NAME / MERGED_NAME).is_file():
        table = place / WORK_NAME / MERGED_NAME
    else:
        table = place / OUTCOMES_TABLE if place.is_dir() else place
    if not table.is_file():
        raise RetrainingError(f"{place.name} holds no {OUTCOMES_TABLE}", "give an export with outcomes, or a table")
    sha256 = checked_digest(place) if exported else hashlib.sha256(table.read_bytes()).hexdigest()
    name = place.name if role == "new" else REPLAY
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    cases = cases_of(place, len(rows)) if exported else _remembered(table.parent / CASES_NAME, len(rows))
    good, problems = [], []
    for number, row in enumerate(rows, start=1):
        fault = _fault(row)
        if fault is None:
            good.append(number - 1)
        else:
            problems.append(f"{name}: row {number} left out: {fault}")
            report(problems[-1])
    return OutcomeSource(
        name=name,
        role=role,
        sha256=sha256,
        table_sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        rows=tuple({key: value or "" for key, value in rows[number].items()} for number in good),
        cases=tuple(cases[number] for number in good),
        problems=tuple(problems),
    )


def _fault(row: Row) -> str | None:
    """Why `tabular.healing.outcomes` refuses a row, naming the column; None for a usable one."""
    from tabular.healing.errors import OutcomesError
    from tabular.healing.outcomes import read_outcomes

    if None in row or None in row.values():
        return "it has not as many fields as the header"
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "row.csv"
        _write(alone, [row])
        try:
            read_outcomes(alone)
        except OutcomesError as error:
            return str(error).rpartition(": ")[2].rstrip(".")
    return None


def cases_of(folder: Path, n: int) -> Sequence[str | None]:
    """Pseudonyms of `n` rows of outcomes, which stand in the order of ``rows.parquet``; None where they do not fit."""
    import pandas as pd

    path = folder / "rows.parquet"
    if not path.is_file():
        return [None] * n
    table = pd.read_parquet(path, columns=["case", "outcome_united"])
    cases = [str(one) for one in table.loc[table["outcome_united"].notna(), "case"]]
    key = _manifest_of(folder).get("key", "")
    return [f"{key}/{one}" for one in cases] if len(cases) == n else [None] * n


def _remembered(path: Path, n: int) -> Sequence[str | None]:
    """Pseudonyms of the `n` rows of an earlier candidate; None for each where they are not kept or do not fit."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [None] * n
    if not isinstance(found, list) or len(found) != n:
        return [None] * n
    return [None if one is None else str(one) for one in found]


def each_once(sources: Sequence[OutcomeSource]) -> tuple[dict[str, list[KeptRow]], list[str]]:
    """The rows of each source with their pseudonyms, without those that come again later; and a line on what was seen.

    Args:
        sources: the earliest first, no two of one name.
    """
    last = {case: (one.name, number) for one in sources for number, case in enumerate(one.cases) if case is not None}
    kept: dict[str, list[KeptRow]] = {}
    notes = []
    for one in sources:
        rows = enumerate(zip(one.cases, one.rows, strict=True))
        fresh = [(case, row) for number, (case, row) in rows if case is None or last[case] == (one.name, number)]
        kept[one.name] = fresh
        if len(fresh) < len(one.rows):
            notes.append(f"{one.name}: {len(one.rows) - len(fresh)} cases come again later; the later row holds")
        nameless = one.cases.count(None)
        if nameless and len(sources) > 1:
            notes.append(
                f"{one.name}: {nameless} rows tell no pseudonym; whether such a case comes twice cannot be seen"
            )
    return kept, notes


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _manifest_of(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
