"""The lines that a fracture's bone-health pathway asks for: fracture liaison, bone density, search for a cause.

Which of them a case gets is decided in one place, `fusion.fragility.bone_health_pathway`.
"""

from fhir_adapters.patient import ConditionKind
from fusion.facts import FRAGILITY_FROM_YEARS, CaseFacts, references
from fusion.fragility import bone_health_pathway
from fusion.fragility_causes import long_bone_fractures
from fusion.kidney import forbidden_bisphosphonate_taken
from fusion.prognosis import T_SCORE_THRESHOLD
from fusion.results import BoneHealthPathway, FollowUp, Statement, Urgency
from fusion.sites import SITE_NAMES
from fusion.statements import CLINICIAN, Writer, iso_day, plain, sentence

BLOOD_TESTS = "care.fls.blood_tests"
PARATHYROID = "care.hyperparathyroidism.surgery"
TESTS = (
    "blood count, ESR or CRP, calcium, albumin, creatinine, phosphate, alkaline phosphatase, liver enzymes, thyroid"
    " function"
)
_LIAISON = frozenset({BoneHealthPathway.FRACTURE_LIAISON, BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY})


def bone_health_steps(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """Every line of the case's pathway, and a review of osteoporosis that no pathway covers."""
    pathway = bone_health_pathway(facts)
    if pathway in _LIAISON:
        conditional = pathway is not BoneHealthPathway.FRACTURE_LIAISON
        liaison = _fracture_liaison(facts, writer, conditional=conditional)
        return [*liaison, *_parathyroid(facts, writer, pathway)]
    steps = {
        BoneHealthPathway.BONE_DENSITY: _bone_density,
        BoneHealthPathway.YOUNG_ADULT: _young_adult,
        BoneHealthPathway.PAEDIATRIC: _paediatric,
    }
    found = steps[pathway](facts, writer) if pathway in steps else []
    found += _parathyroid(facts, writer, pathway)
    return [*found, *_bone_health_review(facts, writer, covered=pathway is BoneHealthPathway.YOUNG_ADULT)]


def _step(what: str, statement: Statement, *, earliest: float | None = None, latest: float | None = None) -> FollowUp:
    return FollowUp(what=what, earliest_week=earliest, latest_week=latest, urgency=Urgency.ROUTINE, statement=statement)


def _if_confirmed(facts: CaseFacts) -> str:
    return "If confirmed: " if facts.only_suspected else ""


# --- fracture liaison


def _fracture_liaison(facts: CaseFacts, writer: Writer, *, conditional: bool) -> list[FollowUp]:
    """The fracture liaison timeline; conditional while the mechanism or the fracture itself is open."""
    steps = (
        ("Fracture risk assessment", "risk_assessed", "refer to the fracture liaison service", ()),
        ("Bone density (DXA)", "dxa", *_dxa(facts)),
        ("Falls assessment", "falls_assessment", *_falls(facts)),
        ("Strength and balance training", "strength_balance", "start strength and balance training", ()),
        ("Bone-protecting treatment", "drug_started", *_treatment(facts, writer)),
        ("First monitoring", "monitoring", "follow up adherence and side effects", ()),
        ("Still on treatment?", "on_drug_check", "check whether treatment is still taken", ()),
    )
    found: list[FollowUp] = []
    for what, name, action, record in steps:
        evidence = f"care.fls.{name}"
        week = writer.value(evidence, "high")
        at = "at" if name == "on_drug_check" else "within"
        prefix = _fragility_prefix(facts, conditional=conditional, first=not found)
        statement = writer.say(
            f"follow_up.fls.{name}",
            sentence(f"{prefix}{action} {at} {plain(week)} weeks."),
            evidence=(evidence,),
            record=(*facts.fracture_record, *record),
        )
        found.append(_step(what, statement, earliest=week if name == "on_drug_check" else 0.0, latest=week))
    prefix = _fragility_prefix(facts, conditional=conditional, first=False)
    return [*found, _blood_tests(facts, writer, prefix, writer.value("care.fls.risk_assessed", "high"))]


def _fragility_prefix(facts: CaseFacts, *, conditional: bool, first: bool) -> str:
    """The condition in front of each step; spelled out in the first only."""
    if not conditional:
        return _if_confirmed(facts)
    meaning = " (fall from standing height or less)" if first else ""
    return f"If {'confirmed as ' if facts.only_suspected else ''}a fragility fracture{meaning}: "


def _blood_tests(facts: CaseFacts, writer: Writer, prefix: str, week: float | None) -> FollowUp:
    statement = writer.say(
        "follow_up.weak_bone_tests",
        sentence(f"{prefix}look for causes of weak bone, unless already done: {TESTS}."),
        evidence=(BLOOD_TESTS,),
        record=facts.fracture_record,
    )
    return _step("Tests for causes of weak bone", statement, earliest=None if week is None else 0.0, latest=week)


def _dxa(facts: CaseFacts) -> tuple[str, tuple[str, ...]]:
    scan = facts.scan_without_result
    if not facts.t_scores:
        if scan is None:
            return "measure bone density", ()
        action = f"ask for the result of the bone density scan of {iso_day(scan.performed)} and repeat the scan if old"
        return action, (scan.resource,)
    _, score = facts.t_scores[0]
    known = f"review bone density (T-score {score.value:.1f} in the record)"
    if scan is None:
        return f"{known} and repeat it if old", (score.resource,)
    action = f"{known} and ask for the result of the later scan of {iso_day(scan.performed)}"
    return action, (score.resource, scan.resource)


def _falls(facts: CaseFacts) -> tuple[str, tuple[str, ...]]:
    counted = None if facts.patient is None else facts.patient.falls_last_year
    entry = facts.condition(ConditionKind.REPEATED_FALLS)
    if counted is not None and counted.value > 0:
        times = "once" if counted.value == 1 else f"{counted.value} times"
        return f"assess falls (fell {times} in the last year)", (counted.resource,)
    if entry is not None:
        return "assess falls (repeated falls in the record)", (entry.resource,)
    return "assess the risk of falls", ()


def _treatment(facts: CaseFacts, writer: Writer) -> tuple[str, tuple[str, ...]]:
    drugs = facts.bone_drugs
    if forbidden_bisphosphonate_taken(facts, writer):
        action = "review the bone-protecting treatment already prescribed now, for the kidney, and settle what follows"
        return action, references(drugs)
    if drugs:
        return "review the bone-protecting treatment already prescribed", references(drugs)
    return "start bone-protecting treatment if indicated", ()


# --- the other pathways


def _bone_density(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """After high-energy trauma from 50 years: force does not exclude weak bone."""
    action, record = _dxa(facts)
    statement = writer.say(
        "follow_up.bone_density",
        sentence(
            f"{_if_confirmed(facts)}consider a fracture risk assessment and {action}: high-energy trauma does not"
            " exclude"
            " weak bone."
        ),
        evidence=("risk.fragility.high_trauma_density", "risk.fragility.high_trauma_next", "care.fls.any_fracture_50"),
        record=(CLINICIAN, *record),
    )
    return [_step("Bone density after high-energy trauma", statement)]


def _young_adult(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """A low-energy fracture below 50 years: look for a cause."""
    where = "" if facts.context.site is None else f" of the {SITE_NAMES[facts.context.site]}"
    action, record = _dxa(facts)
    statement = writer.say(
        "follow_up.weak_bone_young",
        sentence(
            f"{_if_confirmed(facts)}low-energy fracture{where} below {FRAGILITY_FROM_YEARS} years: look for a cause"
            " of weak"
            f" bone (drugs, hormones, absorption, alcohol, family) and, with a major risk factor, {action}."
        ),
        evidence=(
            "risk.fragility.young_hip",
            "risk.fragility.young_wrist",
            "risk.fragility.below_50",
            "risk.fragility.below_40_density",
        ),
        record=(*facts.fracture_record, *record),
    )
    return [
        _step("Search for a cause of weak bone", statement),
        _blood_tests(facts, writer, _if_confirmed(facts), None),
    ]


def _paediatric(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """A child with several long-bone fractures."""
    fractures = long_bone_fractures(facts)
    statement = writer.say(
        "follow_up.child_bone",
        sentence(
            f"{_if_confirmed(facts)}{len(fractures)} long-bone fractures: if the earlier ones came from little force"
            " too, ask"
            " a paediatric bone service."
        ),
        evidence=("risk.fragility.child",),
        record=tuple(one for one in fractures if one != "present") or facts.fracture_record,
    )
    return [_step("Bone health of a child with several fractures", statement)]


def _parathyroid(facts: CaseFacts, writer: Writer, pathway: BoneHealthPathway) -> list[FollowUp]:
    """Primary hyperparathyroidism with a fragility fracture or osteoporosis: the bone is a reason to operate."""
    entry = facts.condition(ConditionKind.PRIMARY_HYPERPARATHYROIDISM)
    fragile = pathway in {BoneHealthPathway.FRACTURE_LIAISON, BoneHealthPathway.YOUNG_ADULT}
    if entry is None or not (fragile or facts.osteoporosis is not None):
        return []
    statement = writer.say(
        "follow_up.parathyroid",
        "Primary hyperparathyroidism with fragile bone: ask the endocrine team about parathyroid surgery.",
        evidence=(PARATHYROID,),
        record=(entry.resource,),
    )
    return [_step("Parathyroid surgery?", statement)]


def _bone_health_review(facts: CaseFacts, writer: Writer, *, covered: bool) -> list[FollowUp]:
    """Osteoporosis in the record that no pathway of a present fracture covers: a review without a date."""
    resource = facts.osteoporosis
    if covered or resource is None:
        return []
    drugs = facts.bone_drugs
    action = "review adherence and duration of treatment" if drugs else "ask whether treatment is indicated"
    statement = writer.say(
        "follow_up.bone_health",
        f"Osteoporosis in the record: {action}.",
        evidence=(T_SCORE_THRESHOLD,),
        record=(resource, *references(drugs)),
    )
    return [_step("Bone health review", statement)]
