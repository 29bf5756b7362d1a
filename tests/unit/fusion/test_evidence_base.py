"""The evidence files are sound, and unsound ones are refused by file and entry."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion.errors import EvidenceError, UnknownEvidenceError
from fusion.evidence_base import EVIDENCE_DIR, EvidenceBase
from fusion.evidence_model import EvidenceStatus, Measure
from fusion.evidence_reader import FAMILIES
from fusion.results import Certainty

BASE = EvidenceBase.load()


def test_every_family_is_there_and_versioned() -> None:
    assert {one.split(".")[0] for one in BASE.entries} == set(FAMILIES)
    assert BASE.version == f"evidence@1.1.0+{BASE.digest[:12]}"
    assert len(BASE.entries) > 350


def test_every_source_is_cited_and_every_identifier_is_public() -> None:
    cited = {key for entry in BASE.entries.values() for key in entry.sources}
    assert cited == set(BASE.sources)
    for source in BASE.sources.values():
        if source.identifier is None:
            assert source.note, source.key


def test_ratios_that_the_risk_model_cites_are_there() -> None:
    for name in (
        "risk.t1dm_hip.vilaca2020",
        "risk.t2dm_hip.vilaca2020",
        "risk.smoking_current_hip.vestergaard2003",
        "risk.parental_hip_fracture_mof.rmdopen2017",
        "risk.recent_mof_1y_second_mof.johansson2017",
    ):
        entry = BASE[name]
        assert entry.measure in {Measure.RISK_RATIO, Measure.HAZARD_RATIO}
        assert entry.number("low") <= entry.number() <= entry.number("high")


def test_no_entry_says_that_a_supplement_speeds_union() -> None:
    for entry in BASE.entries.values():
        words = entry.statement.lower()
        if "vitamin d" in words and "union" in words:
            assert "no " in words or "not " in words or "deficiency" in words, entry.id


def test_loading_twice_reads_once() -> None:
    assert EvidenceBase.load() is EvidenceBase.load()


def test_certainty_is_that_of_the_weakest_entry() -> None:
    verified, weak = "risk.t1dm_hip.vilaca2020", "healing.union.clavicle"
    unverified = "healing.union.patella"
    assert BASE.certainty((verified,)) is Certainty.VERIFIED
    assert BASE.certainty((verified, weak)) is Certainty.WEAK
    assert BASE.certainty((weak, unverified)) is Certainty.UNVERIFIED
    assert BASE.certainty(()) is Certainty.COMPUTED
    assert BASE.only_unverified((unverified,))
    assert not BASE.only_unverified((unverified, weak))
    assert not BASE.only_unverified(())
    rule = "healing.method.range_as_percentiles"
    assert BASE.only_unverified((unverified, rule)), "a rule of the engine lends an unverified figure no weight"
    assert not BASE.only_unverified((rule,))


def test_unknown_identifiers_are_refused() -> None:
    with pytest.raises(UnknownEvidenceError, match=r"care\.no\.such"):
        BASE["care.no.such"]
    with pytest.raises(UnknownEvidenceError, match="no number called high"):
        BASE["healing.time.smoking.schenker2013"].number("high")


def test_a_reference_carries_citation_and_identifier() -> None:
    reference = BASE.reference("care.vitamin_d.bhof_dose")
    assert "LeBoff" in reference.citation
    assert reference.identifier == "doi:10.1007/s00198-021-05900-y"
    assert reference.certainty is Certainty.VERIFIED


def test_unverified_entries_are_told_apart() -> None:
    assert BASE["healing.union.patella"].is_unverified
    assert BASE["healing.union.patella"].status is EvidenceStatus.UNVERIFIED


ENTRY = """
  - id: care.test.entry
    statement: A test.
    measure: range
    low: 1
    value: 2
    high: 3
    interval: a test
    population: tests
    grade: guideline
    sources: [IOM2011]
    status: verified
    reviewed_on: 2026-11-21
"""


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the evidence files with one more entry."""

    def make(entry: str) -> Path:
        copy = tmp_path / "evidence"
        shutil.copytree(EVIDENCE_DIR, copy)
        with (copy / "care.yaml").open("a", encoding="utf-8") as file:
            file.write(entry)
        return copy

    return make


def test_a_further_entry_is_accepted(folder: Callable[[str], Path]) -> None:
    base = EvidenceBase.load(folder(ENTRY))
    assert base["care.test.entry"].number() == 2
    assert base.digest != BASE.digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("status: verified", ""), "status missing"),
        (("status: verified", "status: sure"), "status must be one of"),
        (("grade: guideline", "grade: rumour"), "grade must be one of"),
        (("sources: [IOM2011]", "sources: [NOBODY1999]"), "unknown source NOBODY1999"),
        (("sources: [IOM2011]", "sources: []"), "at least one key"),
        (("low: 1", "low: 4"), "rising order"),
        (("value: 2", "value: two"), "value must be a finite number"),
        (("value: 2", "value: true"), "value must be a finite number"),
        (("value: 2", "value: .nan"), "value must be a finite number"),
        (("    interval: a test\n", ""), "interval does not say"),
        (("measure: range", "measure: rate"), "between 0 and 1"),
        (("measure: range\n    low: 1", "measure: odds_ratio\n    low: -1"), "above 0"),
        (("care.test.entry", "risk.test.entry"), "must read like care"),
        (("care.test.entry", "care.test"), "must read like care"),
        (("care.test.entry", "care.policy.no_union_claim"), "used twice"),
        (("population: tests", "population: tests\n    colour: red"), "unknown field colour"),
        (("reviewed_on: 2026-11-21", "reviewed_on: soon"), "must be a date"),
        (("statement: A test.", "statement: 5"), "statement must be text"),
    ],
)
def test_a_broken_entry_is_refused_by_file_and_name(
    folder: Callable[[str], Path], change: tuple[str, str], reason: str
) -> None:
    assert change[0] in ENTRY
    with pytest.raises(EvidenceError, match=reason) as caught:
        EvidenceBase.load(folder(ENTRY.replace(*change)))
    assert "care.yaml" in str(caught.value)
    assert caught.value.code == "fusion.evidence.invalid"
    assert caught.value.remedy


def test_missing_unreadable_and_ill_matched_files_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "evidence"
    shutil.copytree(EVIDENCE_DIR, copy)
    risk = (copy / "risk.yaml").read_text(encoding="utf-8")

    (copy / "risk.yaml").write_text(risk.replace("version: 1.1.0", "version: 1.1.1", 1), encoding="utf-8")
    with pytest.raises(EvidenceError, match="different versions"):
        EvidenceBase.load(copy)

    (copy / "risk.yaml").write_text("entries: [", encoding="utf-8")
    with pytest.raises(EvidenceError, match="no valid YAML"):
        EvidenceBase.load(copy)

    (copy / "risk.yaml").write_text("!!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(EvidenceError, match="no valid YAML"):
        EvidenceBase.load(copy)

    (copy / "risk.yaml").unlink()
    with pytest.raises(EvidenceError, match=r"risk\.yaml cannot be read"):
        EvidenceBase.load(copy)


def test_an_invented_identifier_form_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "evidence"
    shutil.copytree(EVIDENCE_DIR, copy)
    sources = (copy / "sources.yaml").read_text(encoding="utf-8")
    (copy / "sources.yaml").write_text(sources.replace("doi:10.17226/13050", "somewhere on the web"), encoding="utf-8")
    with pytest.raises(EvidenceError, match=r"sources\.yaml, entry IOM2011"):
        EvidenceBase.load(copy)
