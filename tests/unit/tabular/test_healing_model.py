"""A site's own healing times: wins when the site differs from the figures, refused when there is nothing to learn."""

import csv
import json
import math
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.healing.boosting import FEATURES, SLOWER, Spread, fit_spread, log_weeks
from tabular.healing.comparison import concordance, coverage
from tabular.healing.engine import HealingModel
from tabular.healing.errors import HealingModelError, OutcomesError
from tabular.healing.forecasts import Forecast, Part
from tabular.healing.outcomes import FLAGS, REQUIRED, SITE_GROUPS, HealingRow, read_outcomes
from tabular.healing.training import HALF_WEIGHT_EVENTS, LEAST_EVENTS, train, weight
from tabular.results import HealingComparison

MEDIAN, SIGMA, NEVER = 16.0, 0.35, 0.03


def figures(row: HealingRow) -> Forecast:
    """What is published: one distribution, slower in smokers, 3 % never."""
    mu = math.log(MEDIAN) + (0.22 if row.smoking else 0.0)
    return Forecast(parts=(Part(1.0, mu, SIGMA),), never=NEVER, base_log_median=math.log(MEDIAN))


def table(
    path: Path,
    count: int,
    *,
    seed: int = 1,
    site: str = "tibial_shaft",
    slower: float = 0.0,
    sigma: float = SIGMA,
    diabetes: float = 0.0,
    between: bool = False,
) -> Path:
    """A table from a known generator: the published figures, moved by `slower` and by diabetes."""
    source = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*REQUIRED, "lower_week", "upper_week"])
        writer.writeheader()
        for _ in range(count):
            fields: dict[str, Any] = {name: int(source.random() < 0.2) for name in FLAGS}
            fields |= {"site": site, "pattern": "spiral", "age": source.randint(18, 85), "sex": "female"}
            fields["comminuted"] = 0
            mu = math.log(MEDIAN) + 0.22 * fields["smoking"] + slower + diabetes * fields["diabetes"]
            weeks = math.inf if source.random() < NEVER else math.exp(source.gauss(mu, sigma))
            last_look = source.uniform(15, 90)
            fields["united"] = int(weeks <= last_look)
            fields["weeks_observed"] = round(max(min(weeks, last_look), 0.1), 2)
            if between and fields["united"]:
                fields["lower_week"], fields["upper_week"] = 4 * (weeks // 4), 4 * (weeks // 4) + 4
            writer.writerow(fields)
    return path


@pytest.fixture(scope="module")
def slow_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site whose fractures take half as long again, and longer in diabetes."""
    folder = tmp_path_factory.mktemp("slow")
    outcomes = read_outcomes(table(folder / "t.csv", 220, slower=0.4, diabetes=0.5, sigma=0.2))
    train(outcomes, figures, folder / "model", seed=7, progress=_quiet)
    return folder / "model"


def _quiet(line: str) -> None:
    del line


@lru_cache
def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


# --- the decision


def test_it_wins_where_the_site_differs(slow_site: Path) -> None:
    group = manifest(slow_site)["groups"]["lower_leg"]
    found = HealingComparison(**group["comparison"])
    assert found.score_gain_low > 0
    assert found.concordance_learned is not None and found.concordance_rules is not None
    assert found.concordance_learned > found.concordance_rules
    assert found.coverage_learned == pytest.approx(0.8, abs=0.1)
    assert group["weight"] == pytest.approx(group["events"] / (group["events"] + HALF_WEIGHT_EVENTS))


def test_it_learned_what_the_generator_did(slow_site: Path) -> None:
    model = HealingModel.load(slow_site)
    weeks = {}
    for diabetes in (False, True):
        row = HealingRow(site="tibial_shaft", pattern="spiral", age_years=50, female=True, diabetes=diabetes)
        learned = model.estimate(row, math.log(MEDIAN))
        assert learned is not None and learned.log_median is not None
        weeks[diabetes] = math.exp(learned.log_median)
    assert weeks[False] == pytest.approx(MEDIAN * math.exp(0.4), rel=0.12)
    assert weeks[True] > 1.25 * weeks[False]


@pytest.mark.parametrize("seed", [1])
def test_it_is_refused_where_outcomes_hold_nothing_but_noise(tmp_path: Path, seed: int) -> None:
    found = train(read_outcomes(table(tmp_path / "t.csv", 160, seed=seed)), figures, tmp_path / "m", progress=_quiet)
    group = found["groups"]["lower_leg"]
    assert group["weight"] == 0.0 and group["comparison"]["score_gain_low"] <= 0
    learned = HealingModel.load(tmp_path / "m").estimate(HealingRow(site="tibial_shaft"), math.log(MEDIAN))
    assert learned is not None and learned.weight == 0.0 and learned.log_median is learned.log_sigma is None


def test_too_few_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    few = read_outcomes(table(tmp_path / "t.csv", LEAST_EVENTS - 1, slower=0.8))
    with pytest.raises(OutcomesError) as caught:
        train(few, figures, tmp_path / "m", progress=_quiet)
    assert caught.value.code == "healing.outcomes.too_few" and caught.value.remedy
    assert not (tmp_path / "m").exists()


def test_a_small_group_keeps_the_figures_beside_a_large_one(tmp_path: Path) -> None:
    large = table(tmp_path / "a.csv", 80, slower=0.6, sigma=0.2)
    small = table(tmp_path / "b.csv", 20, slower=0.6, sigma=0.2, site="ankle")
    both = tmp_path / "both.csv"
    both.write_text(large.read_text() + "".join(small.read_text().splitlines(keepends=True)[1:]))
    groups = train(read_outcomes(both), figures, tmp_path / "m", progress=_quiet)["groups"]
    assert groups["lower_leg"]["weight"] > 0
    assert groups["ankle_foot"]["weight"] == 0 and groups["ankle_foot"]["comparison"] is None


def _comparison(low: float) -> HealingComparison:
    return HealingComparison(
        score_gain=low + 0.1,
        score_gain_low=low,
        score_gain_high=low + 0.2,
        concordance_learned=None,
        concordance_rules=None,
        coverage_learned=None,
        coverage_rules=None,
    )


def test_the_weight_shrinks_with_few_unions_and_needs_a_gain() -> None:
    assert weight(HALF_WEIGHT_EVENTS, _comparison(0.01)) == 0.5
    assert weight(40, _comparison(0.01)) < weight(400, _comparison(0.01)) < 1
    assert weight(400, _comparison(0.0)) == weight(400, None) == 0.0


# --- the model


def test_it_never_says_that_a_burden_speeds_union(slow_site: Path) -> None:
    model = HealingModel.load(slow_site)
    plain = dict.fromkeys(FLAGS, False)
    for name in sorted(SLOWER):
        rows = [HealingRow(site="tibial_shaft", age_years=60, **{**plain, name: one}) for one in (False, True)]
        without, having = log_weeks(model.booster, rows, [math.log(MEDIAN)] * 2)
        assert having >= without - 1e-6, name


def test_unions_between_two_checks_are_learned_from(tmp_path: Path) -> None:
    outcomes = read_outcomes(table(tmp_path / "t.csv", 90, slower=0.5, sigma=0.2, between=True))
    assert any(0 < low < high < math.inf for low, high in zip(outcomes.lower, outcomes.upper, strict=True))
    found = train(outcomes, figures, tmp_path / "m", progress=_quiet)
    assert found["data"]["between_two_checks"] > 50
    assert found["groups"]["lower_leg"]["weight"] > 0


def test_the_manifest_says_what_it_was_made_of(slow_site: Path) -> None:
    found = manifest(slow_site)
    assert found["features"] == list(FEATURES)
    assert found["data"]["cases"] == 220 and found["data"]["sites"] == {"tibial_shaft": 220}
    assert any("no public data" in one for one in found["limits"])
    assert sorted(one.name for one in slow_site.iterdir()) == ["healing.json", "manifest.json"]
    json.loads((slow_site / "healing.json").read_text(encoding="utf-8"))  # nothing pickled


def test_a_group_that_was_never_recorded_has_no_answer(slow_site: Path) -> None:
    assert HealingModel.load(slow_site).estimate(HealingRow(site="clavicle"), 2.0) is None


def _break_weights(folder: Path) -> None:
    (folder / "healing.json").write_text("{}")


def _break_schema(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({**manifest(folder), "schema": "other/9"}))


def _leave_the_folder(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({**manifest(folder), "file": "../t.csv"}))


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [_break_weights, _break_schema, _leave_the_folder, _no_manifest])
def test_a_folder_that_is_not_as_written_is_refused(
    slow_site: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for one in slow_site.iterdir():
        (folder / one.name).write_bytes(one.read_bytes())
    manifest(folder)
    damage(folder)
    with pytest.raises(HealingModelError) as caught:
        HealingModel.load(folder)
    assert caught.value.remedy


# --- the table

ROW = {
    "site": "ankle",
    "pattern": "",
    "age": "40",
    "sex": "male",
    **dict.fromkeys(FLAGS, "0"),
    "weeks_observed": "9",
    "united": "1",
}


def written(path: Path, **changes: str) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*ROW, *(name for name in changes if name not in ROW)])
        writer.writeheader()
        writer.writerow({**ROW, **changes})
    return path


def test_a_row_is_read_as_it_stands(tmp_path: Path) -> None:
    found = read_outcomes(written(tmp_path / "t.csv", diabetes="", treatment="operative"))
    (row,) = found.rows
    assert (row.site, row.pattern, row.age_years, row.female) == ("ankle", None, 40, False)
    assert row.diabetes is None and row.smoking is False and row.operated is True
    assert (found.lower, found.upper, found.united) == ((9.0,), (9.0,), (True,))


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"united": "0"}, (9.0, math.inf)),
        ({"lower_week": "6", "upper_week": "12"}, (6.0, 12.0)),
        ({"lower_week": "12", "upper_week": "12"}, (12.0, 12.0)),
        ({"lower_week": "6", "upper_week": "12", "united": "0"}, (9.0, math.inf)),
    ],
)
def test_checks_and_censoring_become_an_interval(
    tmp_path: Path, changes: dict[str, str], ends: tuple[float, float]
) -> None:
    found = read_outcomes(written(tmp_path / "t.csv", **changes))
    assert (found.lower[0], found.upper[0]) == ends


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"site": "skull"}, "site"),
        ({"site": ""}, "site"),
        ({"pattern": "wavy"}, "pattern"),
        ({"age": "121"}, "age"),
        ({"age": "-1"}, "age"),
        ({"sex": "x"}, "sex"),
        ({"smoking": "2"}, "smoking"),
        ({"smoking": "0.5"}, "smoking"),
        ({"united": ""}, "united"),
        ({"weeks_observed": "0"}, "weeks_observed"),
        ({"weeks_observed": "521"}, "weeks_observed"),
        ({"weeks_observed": "soon"}, "weeks_observed"),
        ({"lower_week": "6", "upper_week": ""}, "lower_week and upper_week"),
        ({"lower_week": "12", "upper_week": "6"}, "lower_week and upper_week"),
        ({"treatment": "prayer"}, "treatment"),
    ],
)
def test_a_bad_value_is_named_by_row_and_column_only(tmp_path: Path, changes: dict[str, str], column: str) -> None:
    with pytest.raises(OutcomesError) as caught:
        read_outcomes(written(tmp_path / "t.csv", **changes))
    assert str(caught.value) == f"row 1 of the table: {column} is missing or not valid"


def test_a_file_without_the_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("site,weeks\nankle,3\n")
    with pytest.raises(OutcomesError, match="lacks the columns"):
        read_outcomes(path)
    with pytest.raises(OutcomesError, match="unknown columns: name"):
        read_outcomes(written(path, name="Smith"))
    path.write_text(",".join(ROW) + "\n")
    with pytest.raises(OutcomesError, match="no row"):
        read_outcomes(path)
    with pytest.raises(OutcomesError, match="cannot be read"):
        read_outcomes(tmp_path / "absent.csv")


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    import pandas as pd

    path = written(tmp_path / "t.csv")
    pd.read_csv(path).to_parquet(tmp_path / "t.parquet")
    assert read_outcomes(tmp_path / "t.parquet").rows == read_outcomes(path).rows


# --- forecasts and scores

PARTS = st.builds(Part, st.just(0.5), st.floats(1.0, 3.5), st.floats(0.1, 0.8))


@given(st.tuples(PARTS, PARTS), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_a_quantile_inverts_the_distribution(parts: tuple[Part, Part], probability: float) -> None:
    forecast = Forecast(parts=parts)
    assert forecast.cdf(forecast.quantile(probability)) == pytest.approx(probability, abs=1e-6)


@given(PARTS, PARTS, st.floats(0.0, 0.3), st.floats(1.0, 60.0))
@settings(max_examples=30, deadline=None)
def test_all_that_may_happen_has_probability_one(one: Part, other: Part, never: float, week: float) -> None:
    forecast = Forecast(parts=(one, other), never=never)
    both = math.exp(forecast.score(0.0, week)) + math.exp(forecast.score(week, math.inf))
    assert both == pytest.approx(1.0, abs=1e-6)


def test_the_score_is_proper() -> None:
    source = random.Random(3)
    weeks = [math.exp(source.gauss(2.7, 0.3)) for _ in range(3000)]
    scores = {}
    for mu, sigma in ((2.7, 0.3), (2.5, 0.3), (2.7, 0.2), (2.7, 0.5)):
        forecast = Forecast(parts=(Part(1.0, mu, sigma),))
        scores[mu, sigma] = sum(forecast.score(one, one) for one in weeks)
    assert max(scores, key=scores.__getitem__) == (2.7, 0.3)


def test_level_and_spread_are_found_again() -> None:
    source = random.Random(4)
    weeks = [math.exp(source.gauss(2.7 + 0.1, 0.25)) for _ in range(800)]
    found = fit_spread([2.7] * 800, [0.0] * 800, weeks, weeks)
    assert found.shift == pytest.approx(0.1, abs=0.05) and found.sigma == pytest.approx(0.25, rel=0.12)
    assert isinstance(found, Spread)


def test_concordance_and_coverage_of_known_orders() -> None:
    early, late = (Forecast(parts=(Part(1.0, mu, 0.2),)) for mu in (2.0, 3.0))
    weeks = [math.exp(2.0), math.exp(3.0)]
    assert concordance([early, late], weeks, weeks) == 1.0
    assert concordance([late, early], weeks, weeks) == 0.0
    assert concordance([early, early], weeks, weeks) == 0.5
    assert concordance([early, late], weeks, [math.inf, math.inf]) is None
    assert coverage([early, late], weeks, weeks) == 1.0
    assert coverage([late, early], weeks, weeks) == 0.0
    assert coverage([early], [5.0], [math.inf]) is None


def test_every_site_has_a_group() -> None:
    assert set(SITE_GROUPS.values()) >= {"lower_leg", "ankle_foot", "forearm"}
