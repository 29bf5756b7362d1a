"""Drift: noise raises no alarm more often than stated, and real shifts raise one; how soon, and which are not seen.

    python -m tests.benchmarks.learning --only drift

The cases are radiographs of FracAtlas as the shipped detector sees them, drawn at random into streams of a year; what
FracAtlas does not tell (device, age, sex, what clinicians say) is drawn to stand for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from cds.learning.drift.evidence import YEAR_DAYS
from cds.learning.drift.monitors import MONITORS, Group, Kind
from cds.learning.drift.outcomes import outcome_numbers
from cds.learning.drift.records import REFERENCE_CASES
from cds.learning.drift.watching import MONITOR_LEVEL, YEARLY_LEVEL
from tests.benchmarks.learning_cases import NUMBERS, SeenCases, seen_cases
from tests.benchmarks.learning_drift_many import alarms_of
from tests.benchmarks.learning_report import Section, Table

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

CASES_PER_DAY: Final = 8.0
JUDGED_SHARE: Final = 0.3
CHANGE_DAY: Final = 60
WATCHED_AFTER: Final = 120
"""Days after a change in which an alarm counts as found."""
DEVICES: Final = ("Maker A", "Maker B", "Maker C")
DEVICE_SHARES: Final = (0.6, 0.3, 0.1)
TOGETHER: Final = 250
"""Streams that are computed together."""
LOOK_EVERY: Final = 7
"""Days between two looks of the naive monitors."""
Column = NDArray[np.float64] | NDArray[np.str_]
Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is computed."""

    images: int | None
    noise_streams: int
    naive_streams: int
    rhythm_streams: int
    shift_streams: int


SIZES: Final = {
    "tiny": Size(images=24, noise_streams=3, naive_streams=1, rhythm_streams=1, shift_streams=2),
    "small": Size(images=1200, noise_streams=1000, naive_streams=40, rhythm_streams=100, shift_streams=40),
    "full": Size(images=None, noise_streams=4000, naive_streams=200, rhythm_streams=400, shift_streams=200),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Cases to draw from, each figure in a column."""

    numbers: NDArray[np.float64]
    regions: NDArray[np.str_]
    fractured: NDArray[np.bool_]

    @classmethod
    def of(cls, seen: SeenCases) -> "Pool":
        """The cases that the detector saw."""
        return cls(numbers=seen.numbers, regions=np.array(seen.regions), fractured=seen.fractured)

    def __len__(self) -> int:
        return len(self.fractured)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """From where cases come at one time."""

    pool: Pool
    weights: Weights | None = None
    """Chance of each case of the pool; None: all alike."""
    new_device: float = 0.0
    """Share of cases from a device that was not there before."""
    log_odds_off: float = 0.0
    """What the probabilities are off by: the truth is drawn from them, moved by so much. 0: the labels are the truth
    moved nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A change of the world."""

    name: str
    after: World
    before: World | None = None
    """None: as it always is."""


@dataclass(slots=True, kw_only=True)
class Found:
    """First alarms of some streams."""

    days: list[float] = field(default_factory=list)
    """Days after the change; infinite where there was none."""
    first: list[str] = field(default_factory=list)
    """Which monitor raised it."""


def prove(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
    """Measure false alarms and power.

    Args:
        data: folder that holds ``fracatlas``.
        out: folder for pictures; what the detector saw is kept beside it, for all proofs.
        budget: ``small``, ``full`` or ``tiny``.
    """
    size = SIZES[budget]
    pool = Pool.of(seen_cases(data, out.parent / "cases", split="train", limit=size.images))
    return [false_alarms(pool, size, out), *power(data, pool, size, out)]


# --- streams


def stream(
    draw: np.random.Generator, world_of: Callable[[int], World], *, days: int, copies: int = 1
) -> tuple[dict[str, Column], NDArray[np.int64], int]:
    """One site's cases, the reference first.

    Args:
        draw: random numbers.
        world_of: the world on each day; watching begins on day 0, the reference comes from the days before it.
        days: how long is watched.
        copies: how often each case comes in a row, as views of one patient do.

    Returns:
        Columns by monitor, the day of each case (-1 in the reference), and the number of cases in the reference.
    """
    before = int(REFERENCE_CASES / CASES_PER_DAY)
    counts = np.diff(np.linspace(0, REFERENCE_CASES // copies, before + 1).astype(np.int64)).tolist()
    counts += draw.poisson(CASES_PER_DAY / copies, days).tolist()
    when = np.maximum(np.repeat(np.arange(-before, days), counts), -1)
    worlds = [world_of(day) for day in range(-before, days)]
    columns: dict[str, Column] = {}
    for world in {id(one): one for one in worlds}.values():  # all days of a world are drawn in one go
        rows = np.flatnonzero(np.repeat([one is world for one in worlds], counts))
        for name, values in _drawn(draw, world, len(rows)).items():
            columns.setdefault(name, np.empty(len(when), dtype=values.dtype))[rows] = values
    columns = {name: np.repeat(values, copies) for name, values in columns.items()}
    return columns, np.repeat(when, copies), int((when < 0).sum()) * copies


def _drawn(draw: np.random.Generator, world: World, count: int) -> dict[str, Column]:
    """Cases of one world."""
    rows = draw.choice(len(world.pool), count, p=world.weights)
    numbers = world.pool.numbers[rows]
    columns: dict[str, Column] = {name: numbers[:, place] for place, name in enumerate(NUMBERS)}
    columns["region"] = world.pool.regions[rows]
    device = draw.choice(DEVICES, count, p=DEVICE_SHARES).astype("<U16")
    device[draw.random(count) < world.new_device] = "Maker D"
    columns |= {"device": device, "modality": np.where(device == "Maker C", "CR", "DX")}
    columns |= {
        "age": (10 * draw.integers(0, 10, count)).astype(np.float64),
        "sex": draw.choice(np.array(["female", "male"]), count),
    }
    truth = world.pool.fractured[rows]
    probability = columns["probability"].astype(np.float64)
    if world.log_odds_off:
        inside = np.clip(probability, 1e-4, 1 - 1e-4)
        moved = 1 / (1 + np.exp(-(np.log(inside / (1 - inside)) + world.log_odds_off)))
        truth = draw.random(count) < moved
    columns |= _outcomes(draw, columns["positive"].astype(np.float64), probability, truth)
    return columns


def _outcomes(
    draw: np.random.Generator, positive: Weights, probability: Weights, truth: NDArray[np.bool_]
) -> dict[str, Column]:
    """What clinicians say of some of the cases; NaN of the others."""
    judged = (draw.random(len(truth)) < JUDGED_SHARE) & ~np.isnan(positive)
    columns: dict[str, Column] = {}
    for name in (one.name for one in MONITORS if one.group is Group.OUTCOME):
        values = np.full(len(truth), np.nan)
        for called in (False, True):
            for fracture in (False, True):
                there = judged & (positive.astype(np.bool_) == called) & (truth == fracture)
                told = outcome_numbers(called=called, probability=0.0, fracture=fracture)
                values[there] = told.get(name, np.nan)
        columns[name] = values - probability if name == "calibration" else values
    return columns


def _there(column: Column) -> NDArray[np.int64]:
    return np.flatnonzero(~np.isnan(column.astype(np.float64)))


def naive_alarms(columns: Mapping[str, Column], when: NDArray[np.int64], reference: int) -> tuple[bool, bool]:
    """Whether tests of the last 28 days, looked at every week, ever say that something changed.

    Args:
        columns: the stream.
        when: day of each case.
        reference: cases in the reference.

    Returns:
        With tests at 5 % each, and at 5 % divided by the number of monitors, as if one looked once.
    """
    least = 1.0
    for day in range(28, int(when.max()) + 1, LOOK_EVERY):
        recent = (when > day - 28) & (when <= day)
        for monitor in MONITORS:
            column = columns[monitor.name]
            before, now = column[:reference], column[recent]
            if monitor.kind is not Kind.CATEGORY:
                before, now = before[_there(before)], now[_there(now)]
            if min(len(before), len(now)) >= 5:
                least = min(least, _p_value(before, now, monitor.kind))
        if least < MONITOR_LEVEL:
            break
    return least < YEARLY_LEVEL, least < MONITOR_LEVEL


def _p_value(before: Column, now: Column, kind: Kind) -> float:
    if kind is Kind.NUMBER:
        return float(stats.ks_2samp(before, now, method="asymp").pvalue)
    names = np.unique(np.concatenate((before, now)))
    if len(names) < 2:
        return 1.0
    table = np.array([[int((part == name).sum()) for name in names] for part in (before, now)])
    return float(stats.chi2_contingency(table, correction=False).pvalue)


# --- false alarms


def false_alarms(pool: Pool, size: Size, out: Path) -> Section:
    """Streams of a year in which nothing changes."""
    calm, weekend, twice = World(pool=pool), World(pool=pool, weights=fracture_weights(pool, 1.5)), World(pool=pool)
    worlds: dict[str, tuple[Callable[[int], World], int, int]] = {
        "nothing changes": (lambda day: calm, 1, size.noise_streams),
        "weekends bring half as many fractures again": (
            lambda day: weekend if day % 7 in {5, 6} else calm,
            1,
            size.rhythm_streams,
        ),
        "each case comes twice (repeats not left out)": (lambda day: twice, 2, size.rhythm_streams),
    }
    rows, data = [], dict[str, object]()
    for name, (world_of, copies, count) in worlds.items():
        found = _raised(world_of, copies, count)
        hits, by_monitor = sum(bool(one) for one in found), [len(one) for one in found]
        rows.append((f"this page, looked at every day: {name}", *_share(hits, len(found))))
        data[name] = {"alarms": hits, "streams": len(found), "monitors_per_stream": float(np.mean(by_monitor))}
    naive = np.array([_naive(seed, calm) for seed in range(size.naive_streams)])
    for place, words in enumerate(("5 % each", "5 % divided by the number of monitors")):
        hits = int(naive[:, place].sum())
        rows.append(
            (f"KS and chi-square tests every week, {words}: nothing changes", *_share(hits, size.naive_streams))
        )
        data[f"naive, {words}"] = {"alarms": hits, "streams": size.naive_streams}
    picture = _bars(rows, out / "drift-false-alarms.png")
    return Section(
        heading="Drift: noise raises no alarm",
        paragraphs=(
            f"Each stream is a year of about {CASES_PER_DAY:.0f} cases a day, drawn with replacement from {len(pool)}"
            f" radiographs of FracAtlas as the shipped detector sees them, after a reference of {REFERENCE_CASES}"
            f" cases; {len(MONITORS)} monitors watch it. The level that is stated is {100 * YEARLY_LEVEL:.0f} % a year"
            " for the whole page.",
            "What is not covered: the guarantee holds for cases that come as if shuffled. A rhythm within the week and"
            " repeated patients break that; the second and third rows show by how much. The monitors therefore leave"
            " out every radiograph of a patient after the first. Devices, ages, sexes and what"
            f" clinicians say ({100 * JUDGED_SHARE:.0f} % of cases, always right) are drawn, not observed.",
        ),
        tables=(
            Table(
                columns=("How it is watched", "Streams", "With a false alarm in the year", "95 % interval"),
                rows=tuple(rows),
                caption="False alarms; exact binomial intervals.",
            ),
        ),
        figures=(picture,),
        data=data,
    )


def _raised(world_of: Callable[[int], World], copies: int, count: int) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    while len(found) < count:
        seeds = range(len(found), min(len(found) + TOGETHER, count))
        streams = [
            stream(np.random.default_rng([seed, copies]), world_of, days=YEAR_DAYS, copies=copies) for seed in seeds
        ]
        found += alarms_of(streams, np.random.default_rng([seeds.start, copies, 5]))
    return found


def _naive(seed: int, calm: World) -> tuple[bool, bool]:
    draw = np.random.default_rng([seed, 99])
    columns, when, reference = stream(draw, lambda day: calm, days=YEAR_DAYS)
    return naive_alarms(columns, when, reference)


def _share(hits: int, count: int) -> tuple[str, str, str]:
    low, high = stats.binomtest(hits, count).proportion_ci()
    return str(count), f"{hits} ({100 * hits / count:.1f} %)", f"{100 * low:.1f} to {100 * high:.1f} %"


# --- power


def fracture_weights(pool: Pool, factor: float) -> Weights:
    """Weights under which fractures are `factor` times as frequent."""
    share = float(pool.fractured.mean())
    wanted = min(0.95, factor * share)
    weights = np.where(pool.fractured, wanted / max(share, 1e-9), (1 - wanted) / max(1 - share, 1e-9))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def region_weights(pool: Pool, region: str, factor: float) -> Weights:
    """Weights under which one region is `factor` times as frequent."""
    there = pool.regions == region
    share = float(there.mean())
    wanted = min(0.95, factor * share)
    weights = np.where(there, wanted / max(share, 1e-9), (1 - wanted) / max(1 - share, 1e-9))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def brighter(power_of: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Raises grey levels 0..1 to a power, as other processing at the console does."""
    return lambda pixels: np.asarray(np.clip(pixels, 0, 1) ** np.float32(power_of), dtype=np.float32)


def shifts(data: Path, pool: Pool, size: Size, out: Path) -> list[Shift]:
    """Changes of the world, weak ones and strong ones."""
    limit = None if size.images is None or size.images > 232 else size.images
    plain = Pool.of(seen_cases(data, out.parent / "cases", split="val", limit=limit))
    found = []
    for power_of in (0.9, 0.7):
        changed = seen_cases(
            data, out.parent / "cases", split="val", limit=limit, change=brighter(power_of), name=f"power {power_of}"
        )
        found.append(
            Shift(
                name=f"exposure: grey levels to the power {power_of}",
                before=World(pool=plain),
                after=World(pool=Pool.of(changed)),
            )
        )
    for factor in (1.5, 2.0, 3.0):
        found.append(
            Shift(
                name=f"prevalence of fractures times {factor:g}",
                after=World(pool=pool, weights=fracture_weights(pool, factor)),
            )
        )
    for factor in (1.5, 2.0):
        found.append(
            Shift(
                name=f"hips and pelvises times {factor:g}",
                after=World(pool=pool, weights=region_weights(pool, "hip_pelvis", factor)),
            )
        )
    for share in (0.05, 0.2):
        found.append(Shift(name=f"new device, {100 * share:.0f} % of cases", after=World(pool=pool, new_device=share)))
    for off in (0.7, 1.5):
        # Before, the truth is drawn from the probabilities too: then they are calibrated, and only that changes.
        found.append(
            Shift(
                name=f"calibration off by {off:g} in log odds, scores unchanged",
                before=World(pool=pool, log_odds_off=1e-9),
                after=World(pool=pool, log_odds_off=off),
            )
        )
    return found


def power(data: Path, pool: Pool, size: Size, out: Path) -> list[Section]:
    """How soon real shifts raise an alarm."""
    results: dict[str, Found] = {}
    for number, shift in enumerate(shifts(data, pool, size, out)):
        results[shift.name] = _found(shift, pool, size.shift_streams, number)
    rows = [_delay_row(name, found) for name, found in results.items()]
    return [
        Section(
            heading="Drift: real shifts raise an alarm",
            paragraphs=(
                f"The shift comes on day {CHANGE_DAY}; an alarm within {WATCHED_AFTER} days after it counts."
                f" {size.shift_streams} streams each, {CASES_PER_DAY:.0f} cases a day on average, so that a delay of a"
                f" day is about {CASES_PER_DAY:.0f} cases.",
                "The exposure shifts are real: the 232 validation radiographs went through reader and detector again"
                " with their grey levels changed. The others draw the same radiographs in other shares. Small shifts"
                " are found late or not at all; the price of few false alarms is paid there.",
            ),
            tables=(
                Table(
                    columns=(
                        "Shift",
                        "Found",
                        "95 % interval",
                        "Median delay, days",
                        "90th percentile",
                        "First seen by",
                    ),
                    rows=tuple(rows),
                    caption="An alarm before the change counts as not found.",
                ),
            ),
            figures=(_curves(results, out / "drift-power.png"),),
            data={
                name: {"delays_days": [None if np.isinf(day) else day for day in found.days], "first": found.first}
                for name, found in results.items()
            },
        )
    ]


def _found(shift: Shift, pool: Pool, count: int, number: int) -> Found:
    before = shift.before or World(pool=pool)
    found = Found()
    streams = [
        stream(
            np.random.default_rng([seed, number, 7]),
            lambda day: before if day < CHANGE_DAY else shift.after,
            days=CHANGE_DAY + WATCHED_AFTER,
        )
        for seed in range(count)
    ]
    for raised in alarms_of(streams, np.random.default_rng([number, 8])):
        first = min(raised, key=lambda name: raised[name], default=None)
        if first is None or raised[first] < CHANGE_DAY:
            found.days.append(float("inf"))
            continue
        found.days.append(float(raised[first] - CHANGE_DAY))
        found.first.append(first)
    return found


def _delay_row(name: str, found: Found) -> tuple[str, ...]:
    hits, count = int(np.isfinite(found.days).sum()), len(found.days)
    _, share, interval = _share(hits, count)
    spread = [f"{np.sort(found.days)[min(count - 1, int(part * count))]:.0f}" for part in (0.5, 0.9)]
    titles = {one.name: one.title for one in MONITORS}
    most = sorted(set(found.first), key=lambda one: -found.first.count(one))[:3]
    return (
        name,
        share,
        interval,
        *(f"over {WATCHED_AFTER}" if one == "inf" else one for one in spread),
        ", ".join(titles[one] for one in most) or "none",
    )


# --- pictures


def _bars(rows: Sequence[tuple[str, ...]], path: Path) -> Path:
    figure, axis = plt.subplots(figsize=(8.4, 2.8))
    shares = [float(row[2].split("(")[1].split(" ")[0]) for row in rows]
    ends = [[float(part) for part in row[3].removesuffix(" %").split(" to ")] for row in rows]
    errors = np.array([[share - low, high - share] for share, (low, high) in zip(shares, ends, strict=True)]).T
    axis.barh(range(len(rows)), shares, xerr=np.maximum(errors, 0), color="#4f8ab5", height=0.6, capsize=2)
    axis.axvline(100 * YEARLY_LEVEL, color="#8c1d18", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(rows)), [row[0].replace(": ", ":\n") for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("years with a false alarm, % (dashed: the stated level)", fontsize=8)
    return _saved(figure, path)


def _curves(results: Mapping[str, Found], path: Path) -> Path:
    figure, axis = plt.subplots(figsize=(8.4, 4.2))
    grid = np.arange(0, WATCHED_AFTER + 1)
    styles = ("-", "--", ":", "-.")
    for place, (name, found) in enumerate(results.items()):
        days = np.array(found.days)
        axis.step(
            grid,
            [100 * float((days <= day).mean()) for day in grid],
            where="post",
            label=name,
            linestyle=styles[place // 10 % len(styles)],
        )
    axis.set(xlabel="days after the change", ylabel="streams with an alarm, %", ylim=(-2, 102))
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return path
