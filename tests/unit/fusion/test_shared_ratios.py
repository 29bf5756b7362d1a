"""The evidence base is the source of the risk model's published ratios: the copies in `tabular` equal it.

`tabular` may not read `fusion`, so it holds the figures; this is what keeps both the same.
"""

import pytest

from fusion.evidence_base import EvidenceBase
from tabular import relative_risks
from tabular.formula import HEADS

BASE = EvidenceBase.load()
MAJOR, HIP = HEADS
SAME = {
    "_TYPE_1": {MAJOR: "value", HIP: "value"},
    "_TYPE_2": {MAJOR: "value", HIP: "value"},
    # Women's ratios are the lower ones and serve both sexes.
    "_FALLS": {MAJOR: "mof_women", HIP: "hip_women"},
    "_SECONDARY": {MAJOR: "mof_women"},
}


@pytest.mark.parametrize("name", SAME)
def test_a_ratio_is_that_of_its_entry(name: str) -> None:
    table = getattr(relative_risks, name)
    assert set(table) == set(SAME[name])
    for head, number in SAME[name].items():
        assert table[head].ratio == BASE[table[head].evidence_id].number(number)


@pytest.mark.parametrize("name", ["_FALLS", "_SECONDARY"])
def test_the_lower_of_both_sexes_is_taken(name: str) -> None:
    for head, number in SAME[name].items():
        entry = BASE[getattr(relative_risks, name)[head].evidence_id]
        assert entry.number(number) <= entry.number(number.replace("women", "men"))


def test_the_recent_fracture_follows_from_three_entries() -> None:
    """2.7-fold after one year and 1.4-fold after ten: log-linear to two years, over the average of all earlier ones."""
    recent = relative_risks._RECENT[MAJOR]
    first = BASE[recent.evidence_id].number()
    tenth = BASE["risk.mof_10y_ago_second_mof.johansson2017"].number()
    average = BASE["risk.prior_fracture_any.kanis2004"].number()
    second = first * (tenth / first) ** (1 / 9)
    assert recent.ratio == round(second / average, 2)
