"""Fracture risk goes on learning: refitted, re-anchored or left alone, according to what the new rows can carry.

Feedback on radiographs teaches nothing about ten-year risk; what does comes as one of two tables in the folder given:

``survey.csv`` or ``survey.csv.gz``
    people in the layout of the US survey (`tabular.cohort`), with official ten-year probabilities where they are known.
    From `RetrainConfig.survey_rows` such people on, the model is *refitted* on old and new rows together.
``fracture_outcomes.csv``
    people who were followed up: ``sex`` (female, male), ``age_years``, ``years_observed``, ``major_osteoporotic`` and
    ``hip`` (1 or 0). A site sees far too few fractures to refit trees, but enough to tell a mean: from
    `RetrainConfig.anchor_events` fractures on, the mean risk is *moved* (`tabular.anchoring`) in the groups of sex and
    age that hold `FEWEST_EVENTS`. Ranking and reasons stay.

With less than either, the model is *left alone* and a sentence says what was missing. A group's ten-year probability is
1 - exp(-10 x fractures / person-years): a constant hazard without competing deaths, which overstates it in the oldest.
"""

import csv
import gzip
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cds.learning.model_kinds import sha256_of_file
from cds.learning.retraining.cases import REPLAY, told_apart
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.record import Record, SourceCount, write_record

COMMAND: Final = "cds learn retrain --kind risk --feedback FOLDER --replay SURVEY --out CANDIDATE"
WORK_NAME: Final = ".work"
SURVEYS: Final = ("survey.csv", "survey.csv.gz")
OUTCOMES: Final = "fracture_outcomes.csv"
ANCHOR_NAME: Final = "anchor.json"
HEADS: Final = ("major_osteoporotic", "hip")
AGE_GROUPS: Final = ((40, 54), (55, 64), (65, 74), (75, None))
FEWEST_EVENTS: Final = 20
"""Fractures of a group of sex and age from which on its mean is moved: the rate is then known within about 45 %."""
OFFICIAL: Final = "frax_major_pct"
ENDED_BY: Final = 120.0
"""Years; ages and times beyond it are input errors."""

Report = Callable[[str], None]
Row = dict[str, str]


class Course(StrEnum):
    """What was done."""

    REFITTED = "refitted"
    ANCHORED = "anchored"
    LEFT_ALONE = "left_alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedPerson:
    """One usable row of ``fracture_outcomes.csv``."""

    sex: str
    age_years: float
    years: float
    fractured: tuple[bool, bool]
    """By `HEADS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRows:
    """What the folders hold."""

    survey: tuple[Row, ...]
    people: tuple[FollowedPerson, ...]
    sources: tuple[SourceCount, ...]
    digests: frozenset[str]
    """SHA-256 of each table; rows are few in kind, and a digest of one could be found by trying."""
    problems: tuple[str, ...]


def retrain_risk(
    feedback: Sequence[Path],
    replay: Path,
    out: Path,
    *,
    parent: Path | None = None,
    config: RetrainConfig | None = None,
    train: Callable[..., Any] | None = None,
    report: Report = print,
) -> Course:
    """Refit, re-anchor or leave alone.

    Args:
        feedback: folders with one of the tables of this module's docstring, or both.
        replay: the survey that the current model was trained on; all of it is learnt from again.
        out: folder, new or empty: of the refitted model; or of ``anchor.json``, which the setting
            ``FRACTURE_CDS_RISK_ANCHOR`` names beside the unchanged model.
        parent: folder of the current model; the shipped one by default.
        config: settings; the seed and the two least numbers count.
        train: `tabular.training.train`, or what stands in for it.
        report: receives what was decided and why, and one line per row that is left out.

    Raises:
        RetrainingError: a folder holds neither table, two bear one name, or `out` is not empty.
        TabularError: the survey cannot be used, or the observed risk is out of reach.
    """
    from tabular.model import DEFAULT_DIRECTORY, load_model

    config = (config or RetrainConfig()).checked()
    if out.is_dir() and any(out.iterdir()):
        raise RetrainingError(f"the folder {out.name} is not empty", "name a new folder")
    parent = DEFAULT_DIRECTORY if parent is None else parent
    model = load_model(parent)
    rows = read_rows(told_apart(feedback), report=report)
    official = sum(bool(row.get(OFFICIAL)) for row in rows.survey)
    events = sum(one.fractured[0] for one in rows.people)
    course, why = decide(official, events, config)
    report(why)
    notes = [why]
    out.mkdir(parents=True, exist_ok=True)
    digests, sources = rows.digests, rows.sources
    if course is Course.REFITTED:
        old = _survey(replay)
        merged = out / WORK_NAME / "survey.csv"
        _write(merged, [*old, *rows.survey])
        sha256 = sha256_of_file(replay)
        digests |= {sha256}
        sources = (SourceCount(name=REPLAY, role="replay", n=len(old), sha256=sha256), *sources)
        _refit(merged, out, config, train, report)
    elif course is Course.ANCHORED:
        notes += _anchor(rows.people, model.reference, out, report)
    record = Record(
        kind="risk",
        parent_id=model.model_id,
        parent_sha256=None,
        why=f"{len(rows.survey)} survey rows and {len(rows.people)} followed people came in.",
        method=f"{course.value.replace('_', ' ').capitalize()}. {why}",
        command=COMMAND,
        seed=config.seed,
        config=asdict(config),
        sources=sources,
        digests=digests,
        problems=rows.problems,
        notes=tuple(notes),
        further={"course": course.value},
    )
    write_record(record, out, parent=parent)
    return course


def decide(official: int, events: int, config: RetrainConfig) -> tuple[Course, str]:
    """What the rows can carry, and why.

    Args:
        official: new survey rows with an official probability.
        events: major osteoporotic fractures among followed people.
        config: the least numbers.
    """
    if official >= config.survey_rows:
        return Course.REFITTED, f"Refitted: {official} new survey rows state official probabilities."
    if events >= config.anchor_events:
        return Course.ANCHORED, (
            f"Moved to the observed mean risk: {events} fractures were seen; {official} survey rows with official"
            f" probabilities are too few to refit ({config.survey_rows} needed)."
        )
    return Course.LEFT_ALONE, (
        f"Left alone: {official} survey rows with official probabilities ({config.survey_rows} needed to refit) and"
        f" {events} fractures of followed people ({config.anchor_events} needed to move the mean)."
    )


def read_rows(folders: Sequence[Path], *, report: Report = print) -> NewRows:
    """Both tables of all folders; unusable rows are named by number.

    Raises:
        RetrainingError: a folder holds neither.
    """
    survey: list[Row] = []
    people: list[FollowedPerson] = []
    sources, problems = [], []
    digests: set[str] = set()
    for folder in folders:
        tables = [folder / name for name in (*SURVEYS, OUTCOMES) if (folder / name).is_file()]
        if not tables:
            raise RetrainingError(
                f"{folder.name} holds neither {SURVEYS[0]} nor {OUTCOMES}",
                "see the layout in the documentation of cds.learning.retraining.risk",
            )
        found, left = 0, 0
        for table in tables:
            rows = _survey(table)
            if table.name != OUTCOMES:
                survey += rows
                found += len(rows)
                continue
            for number, row in enumerate(rows, start=1):
                person = _person(row)
                if isinstance(person, str):
                    problems.append(f"{folder.name}: {OUTCOMES} row {number} left out: {person}")
                    report(problems[-1])
                    left += 1
                else:
                    people.append(person)
                    found += 1
        by_name = {table.name: sha256_of_file(table) for table in tables}
        digests |= set(by_name.values())
        sources.append(SourceCount(name=folder.name, role="new", n=found, left_out=left, sha256=_digest_of(by_name)))
    return NewRows(
        survey=tuple(survey),
        people=tuple(people),
        sources=tuple(sources),
        digests=frozenset(digests),
        problems=tuple(problems),
    )


def _digest_of(by_name: Mapping[str, str]) -> str:
    """SHA-256 over the names and digests of tables."""
    lines = "".join(f"{name}|{digest}\n" for name, digest in by_name.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def _person(row: Row) -> FollowedPerson | str:
    """The row, or which column is missing or not valid."""
    sex = row.get("sex", "").strip().lower()
    if sex not in ("female", "male"):
        return "sex is missing or not valid"
    numbers = {}
    for name in ("age_years", "years_observed", *HEADS):
        try:
            numbers[name] = float(row.get(name, ""))
        except ValueError:
            return f"{name} is missing or not valid"
    if not AGE_GROUPS[0][0] <= numbers["age_years"] <= ENDED_BY:
        return "age_years lies outside 40 to 120"
    if not 0 < numbers["years_observed"] <= ENDED_BY:
        return "years_observed is not above 0"
    if any(numbers[name] not in (0.0, 1.0) for name in HEADS):
        return "an outcome is neither 0 nor 1"
    major, hip = (numbers[name] == 1.0 for name in HEADS)
    return FollowedPerson(
        sex=sex, age_years=numbers["age_years"], years=numbers["years_observed"], fractured=(major, hip)
    )


def observed_risk(people: Sequence[FollowedPerson]) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Entries of an anchor file by outcome, and a line on each group that is too small to move."""
    groups: dict[tuple[str, int, int | None], list[FollowedPerson]] = defaultdict(list)
    for one in people:
        first, last = next(group for group in reversed(AGE_GROUPS) if one.age_years >= group[0])
        groups[one.sex, first, last].append(one)
    outcomes: dict[str, list[dict[str, Any]]] = {}
    notes = []
    for place, head in enumerate(HEADS):
        for (sex, first, last), members in sorted(groups.items(), key=lambda item: item[0][:2]):
            events = sum(one.fractured[place] for one in members)
            if events < FEWEST_EVENTS:
                ages = f"{first} to {last}" if last is not None else f"{first} and more"
                notes.append(f"{head}, {sex}, {ages}: {events} fractures, too few to move the mean")
                continue
            rate = events / math.fsum(one.years for one in members)
            entry = {
                "sex": sex,
                "age_from": first,
                "age_to": last,
                "mean_probability": round(-math.expm1(-10 * rate), 5),
            }
            outcomes.setdefault(head, []).append(entry)
    return outcomes, notes


def _anchor(people: Sequence[FollowedPerson], reference: Any, out: Path, report: Report) -> list[str]:
    """Write ``anchor.json``, once it is known that it can be used."""
    from tabular.anchoring import SCHEMA, make_anchor

    outcomes, notes = observed_risk(people)
    for note in notes:
        report(note)
    if not outcomes:
        raise RetrainingError(
            "no group of sex and age holds enough fractures to move its mean", "follow more people, or longer"
        )
    document = {
        "schema": SCHEMA,
        "name": "observed fractures of this site",
        "source": f"{len(people)} followed people; constant hazard, no competing deaths",
        "outcomes": outcomes,
    }
    make_anchor(document, reference)
    (out / ANCHOR_NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return [*notes, f"Name {ANCHOR_NAME} in FRACTURE_CDS_RISK_ANCHOR; the model's own folder does not change."]


def _refit(survey: Path, out: Path, config: RetrainConfig, train: Callable[..., Any] | None, report: Report) -> None:
    from tabular.training import train as train_risk

    fit = train or train_risk
    fit(survey, out, seed=config.seed, progress=lambda what, share: report(f"{share:4.0%} {what}"))


def _survey(path: Path) -> list[Row]:
    """Rows of a CSV file, plain or gzip, every value as it is written.

    Raises:
        RetrainingError: it cannot be read.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
                return list(csv.DictReader(packed, restval=""))
        with path.open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RetrainingError(f"{path.name} cannot be read as CSV", "give a CSV file, plain or gzip") from error


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row if name is not None))
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
