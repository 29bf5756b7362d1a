"""The counts of a screening as one self-contained HTML page; no name of a patient, and ids only in the ranked list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cds.batch.care_gaps import GAP_EVIDENCE, GAP_WORDS, CareGapKind
from cds.batch.charts import bars
from cds.batch.columns import Row
from cds.batch.plan import Plan
from cds.batch.rejects import explanation
from cds.batch.rows import RANKING
from cds.batch.statistics import AGE_BANDS_FROM, HIP_BANDS_FROM, RISK_BANDS_FROM, UNKNOWN, Statistics
from cds.presenters.messages import WARNING_TEXTS
from cds.presenters.wording import NOTICE, moment
from fusion.evidence_base import EvidenceBase
from fusion.results import SourceReference
from tabular.model import DEFAULT_DIRECTORY, load_model

_HERE = Path(__file__).parent
_NOT_ESTIMATED = {
    "risk.age.missing": "The age is not recorded.",
    "risk.age.below_model": "Younger than 40 years, for whom ten-year probabilities are not defined.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of a table: words, a count, and its share of the patients the table is about."""

    words: str
    count: int
    share: str
    sources: tuple[SourceReference, ...] = ()


def render_summary(
    plan: Plan, statistics: Statistics, report: Mapping[str, Any], listed: Sequence[Row], risk_dir: Path | None
) -> str:
    """The page.

    Args:
        plan: The run.
        statistics: Its counts.
        report: Its run report.
        listed: First rows of the list; none leaves that section out.
        risk_dir: Folder of the risk model; None for the shipped one.

    Returns:
        A document that needs no other file, in British English.
    """
    patients, estimated = statistics.patients, statistics.status["estimated"]
    base = EvidenceBase.load()
    evidence = [base.reference(one) for kind in CareGapKind for one in GAP_EVIDENCE[kind]]
    return (
        _environment()
        .get_template("summary.html")
        .render(
            notice=NOTICE,
            plan=plan,
            when=moment(plan.as_of),
            report=report,
            patients=patients,
            statistics=statistics,
            share=_share,
            age_chart=Markup(_age_chart(statistics)),
            major_chart=Markup(_major_chart(statistics)),
            age_table=_age_table(statistics),
            bands=_bands(statistics.major, RISK_BANDS_FROM, estimated),
            hip_bands=_bands(statistics.hip, HIP_BANDS_FROM, estimated),
            gaps=[
                Line(
                    words=GAP_WORDS[kind],
                    count=statistics.care_gaps[kind.value],
                    share=_share(statistics.care_gaps[kind.value], patients - statistics.status["deceased"]),
                    sources=tuple(base.reference(one) for one in GAP_EVIDENCE[kind]),
                )
                for kind in CareGapKind
            ],
            evidence=list({one.id: one for one in evidence}.values()),
            missing=_lines(statistics.missing, estimated, {}),
            not_estimated=_lines(statistics.not_estimated_because, patients, _NOT_ESTIMATED),
            warnings=_lines(statistics.warnings, patients, WARNING_TEXTS),
            rejects=[(explanation(code), code, count) for code, count in report["rejects"].items()],
            manifest=load_model(risk_dir or DEFAULT_DIRECTORY).manifest,
            listed=listed,
            ranking=RANKING,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader([_HERE, _HERE.parent / "presenters" / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}%" if total else ""


def _lines(counts: Mapping[str, int], total: int, words: Mapping[str, str]) -> list[Line]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Line(words=words.get(code, code), count=count, share=_share(count, total)) for code, count in ordered]


def _band_words(starts: Sequence[float], unit: str) -> list[str]:
    ends = [*starts[1:], None]
    return [
        f"{start:g}{unit} and over" if end is None else f"{start:g} to under {end:g}{unit}"
        for start, end in zip(starts, ends, strict=True)
    ]


def _short_bands(starts: Sequence[float]) -> list[str]:
    ends = [*starts[1:], None]
    return [f"{start:g}+" if end is None else f"{start:g}–{end:g}" for start, end in zip(starts, ends, strict=True)]


def _bands(counts: Mapping[str, int], starts: Sequence[float], total: int) -> list[Line]:
    return [
        Line(words=words, count=counts.get(f"{start:g}", 0), share=_share(counts.get(f"{start:g}", 0), total))
        for start, words in zip(starts, _band_words(starts, "%"), strict=True)
    ]


def _age_groups(statistics: Statistics) -> list[tuple[str, list[int]]]:
    """Women, men and others by band of age; the last column is of unknown age."""
    keys = [f"{start}" for start in AGE_BANDS_FROM] + [UNKNOWN]
    groups: dict[str, list[int]] = {name: [0] * len(keys) for name in ("women", "men", "other or not recorded")}
    names = {"female": "women", "male": "men"}
    for key, count in statistics.age_and_sex.items():
        band, _, sex = key.partition("|")
        groups[names.get(sex, "other or not recorded")][keys.index(band)] += count
    return [(name, counts) for name, counts in groups.items() if any(counts) or name != "other or not recorded"]


def _age_labels() -> list[str]:
    return ["<40", *(f"{start}–{start + 9}" for start in AGE_BANDS_FROM[1:-1]), f"{AGE_BANDS_FROM[-1]}+", "unknown"]


def _age_table(statistics: Statistics) -> list[tuple[str, list[tuple[str, int]]]]:
    groups = _age_groups(statistics)
    return [(label, [(name, counts[place]) for name, counts in groups]) for place, label in enumerate(_age_labels())]


def _age_chart(statistics: Statistics) -> str:
    return bars(_age_labels(), _age_groups(statistics), x_label="age, years", description="Patients by age and sex.")


def _major_chart(statistics: Statistics) -> str:
    counts = [statistics.major[f"{start:g}"] for start in RISK_BANDS_FROM]
    return bars(
        _short_bands(RISK_BANDS_FROM),
        [("patients", counts)],
        x_label="ten-year probability of a major osteoporotic fracture, %",
        description="Patients by ten-year probability of a major osteoporotic fracture.",
    )
