"""For every catalogued rule a case that makes it speak, and the one change to that case that keeps it silent."""

from dataclasses import dataclass, replace
from typing import Any

from fhir_adapters.patient import (
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    Sex,
    SmokingStatus,
)
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.sites import FractureSite
from imaging.labels import BodyRegion, FracturePattern
from imaging.results import AgeDiscrepancyVerdict as Verdict
from imaging.results import FractureCall, PatternEstimate
from tabular.results import LearnedHealing, RelativeRisk
from tests.unit.fusion.cases import condition, drug, findings, patient, prior, probability, risk, sourced
from tests.unit.fusion.test_growth_plate import skeletal
from tests.unit.fusion.test_measured import FRONTAL, around, image

Case = dict[str, Any]
S, D, C, M, G = FractureSite, DrugClass, ConditionKind, Mechanism, FractureSiteGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCase:
    """Two cases that differ in one thing."""

    fires: Case
    silent: Case | None
    """None for a rule that always speaks."""


def pair(fires: Case, **change: Any) -> RuleCase:
    """A case, and the same with something changed."""
    return RuleCase(fires=fires, silent={**fires, **change})


def at(site: FractureSite | None, age: int | None = 40, **context: Any) -> Case:
    """A stated fracture of a woman."""
    return {"person": patient(age), "site": site, **context}


def of(age: int | None, site: FractureSite | None = S.CLAVICLE, **fields: Any) -> Case:
    """A stated fracture of a woman whose record says something."""
    return {"person": patient(age, **fields), "site": site}


def seen(call: FractureCall, region: BodyRegion | None, age: int | None = 40, **fields: Any) -> Case:
    """A radiograph and a record."""
    return {"image": findings(call, region, **fields), "person": patient(age)}


def value(amount: float, *, days: int = 10) -> Any:
    """A recorded number."""
    return sourced(amount, "Observation/n", days=days)


def contradicted(amount: float, other: float) -> Any:
    """Two results of one moment that cannot both be right."""
    return replace(value(amount), conflicting=((other, "Observation/other"),))


def taking(age: int, kind: DrugClass, site: FractureSite | None = S.CLAVICLE) -> RuleCase:
    """A drug that is taken, and the same drug stopped."""
    return pair(of(age, site, medications=(drug(kind),)), person=patient(age, medications=(drug(kind, active=False),)))


def having(age: int, kind: ConditionKind, site: FractureSite | None = S.CLAVICLE) -> RuleCase:
    """A disease in the record, and the same person without it."""
    return pair(of(age, site, conditions=(condition(kind),)), person=patient(age))


def level(field: str, fires: float, silent: float, age: int = 40, site: FractureSite | None = S.CLAVICLE) -> RuleCase:
    """A measured value on either side of its limit."""
    return pair(of(age, site, **{field: value(fires)}), person=patient(age, **{field: value(silent)}))


def aged(site: FractureSite, fires: int | None, silent: int | None) -> RuleCase:
    """The same fracture at two ages."""
    return pair(at(site, fires), person=patient(silent))


def flag(name: str, **context: Any) -> RuleCase:
    """A bedside finding, present and absent."""
    return pair({"person": patient(40), name: True, **context}, **{name: False})


NOT_SEEN_WRIST = seen(FractureCall.NOT_SEEN, BodyRegion.WRIST)
NOT_SEEN_HIP = seen(FractureCall.NOT_SEEN, BodyRegion.HIP, 65)
TIBIA = S.TIBIAL_SHAFT
ADDED = RelativeRisk(factor="type 1 diabetes", ratio=2.0, evidence_id="risk.t1dm_hip.vilaca2020")
UNMOVED = replace(probability("hip", 0.1), contributions=())


def _measured(**measures: Any) -> Case:
    return {"image": image(views=FRONTAL, **measures), "person": patient(40), "site": TIBIA}


def _severity() -> dict[str, RuleCase]:
    checks = {
        f"severity.check.{name}": pair(at(S.CLAVICLE), **{name: False})
        for name in (
            "open_wound",
            "vascular_deficit",
            "neurological_deficit",
            "compartment_signs",
            "skin_threatened",
            "dislocation",
            "displaced",
            "intra_articular",
        )
    }
    displaced = PatternEstimate(pattern=FracturePattern.SPIRAL, probabilities=(), displaced_probability=0.9)
    tilted: Case = {"angulation_deg": around(20, 1), "region": BodyRegion.WRIST}
    return checks | {
        "summary": RuleCase(fires={}, silent=None),
        "severity.grade": pair(at(S.CLAVICLE), site=None),
        "severity.not_seen": pair(NOT_SEEN_WRIST, site=S.DISTAL_RADIUS),
        "severity.radiograph_needed": pair({"clinical_suspicion_high": True}, clinical_suspicion_high=None),
        "severity.further_imaging": pair(
            {**NOT_SEEN_WRIST, "clinical_suspicion_high": True}, clinical_suspicion_high=False
        ),
        "severity.check.site": pair(seen(FractureCall.DEFINITE, BodyRegion.WRIST), site=S.DISTAL_RADIUS),
        "severity.check.mechanism": pair(at(S.CLAVICLE), mechanism=M.LOW_ENERGY),
        "severity.check.occult_hip": pair(NOT_SEEN_HIP, person=patient(64)),
        "severity.check.occult_scaphoid": pair(NOT_SEEN_WRIST, clinical_suspicion_high=False),
        "severity.check.network": pair(
            {"image": image(pattern=displaced), "person": patient(40), "site": TIBIA}, displaced=False
        ),
        "severity.check.infant": aged(S.FOREARM_SHAFT, 1, 2),
        "severity.check.cancer": having(40, C.CANCER),
        "severity.check.atypical_femur": taking(70, D.ORAL_BISPHOSPHONATE, S.FEMORAL_SHAFT),
        "severity.not_judged.image": pair(seen(FractureCall.CANNOT_JUDGE, BodyRegion.WRIST), site=S.DISTAL_RADIUS),
        "severity.not_judged.geometry": pair(at(S.CLAVICLE), site=None),
        "severity.not_judged.gustilo": pair(at(S.CLAVICLE, open_wound=True), gustilo=Gustilo.I),
        "severity.not_judged.limits": pair(
            {"image": image(**tilted), "person": patient(40), "site": S.DISTAL_RADIUS}, site=S.FOREARM_SHAFT
        ),
        "severity.measured.angulation": pair(_measured(angulation_deg=around(8, 1)), person=patient(None)),
        "severity.measured.shortening": pair(_measured(shortening_mm=around(8, 1)), person=patient(None)),
        "severity.measured.displacement": pair(_measured(displacement_percent=around(8, 1)), person=patient(None)),
    }


def _red_flags() -> dict[str, RuleCase]:
    name = "severity.red_flag."
    return {
        f"{name}compartment_syndrome": flag("compartment_signs"),
        f"{name}vascular_deficit": flag("vascular_deficit"),
        f"{name}open_fracture": flag("open_wound"),
        f"{name}neurological_deficit": flag("neurological_deficit"),
        f"{name}dislocation": flag("dislocation"),
        f"{name}threatened_skin": flag("skin_threatened"),
        f"{name}non_ambulant_infant": pair(at(S.FEMORAL_SHAFT, 0, non_ambulant_infant=True), non_ambulant_infant=False),
        f"{name}high_energy_pelvis": pair(at(S.PELVIS, mechanism=M.HIGH_ENERGY), mechanism=M.LOW_ENERGY),
        f"{name}abuse_pattern": aged(S.FEMORAL_SHAFT, 2, 3),
        f"{name}hip_fracture": aged(S.FEMORAL_NECK, 60, 59),
        f"{name}young_hip_fracture": aged(S.FEMORAL_NECK, 59, 60),
        f"{name}child_hip_fracture": aged(S.FEMORAL_NECK, 17, 18),
        f"{name}pathological_fracture": pair(at(S.HUMERUS_SHAFT, mechanism=M.PATHOLOGICAL), mechanism=M.LOW_ENERGY),
    }


def _limits() -> dict[str, RuleCase]:
    adult = {
        "tibial_shaft": TIBIA,
        "humerus_shaft": S.HUMERUS_SHAFT,
        "humerus_proximal": S.HUMERUS_PROXIMAL,
        "clavicle": S.CLAVICLE,
        "ankle": S.ANKLE,
        "scaphoid": S.SCAPHOID_WAIST,
        "metacarpal": S.METACARPAL,
        "distal_radius_instability": S.DISTAL_RADIUS,
    }
    return {f"severity.threshold.{name}": aged(site, 18, 17) for name, site in adult.items()} | {
        "severity.threshold.tibial_shaft_child": aged(TIBIA, 17, 18),
        "severity.threshold.distal_radius": aged(S.DISTAL_RADIUS, 64, 65),
        "severity.threshold.distal_radius_older": aged(S.DISTAL_RADIUS, 65, 64),
    }


def _healing() -> dict[str, RuleCase]:
    factor, note = "healing.factor.", "healing.note."
    nsaids = {
        "nsaid": D.NSAID,
        "cox2_inhibitor": D.COX2_INHIBITOR,
        "opioid": D.OPIOID,
        "anticoagulant": D.ANTICOAGULANT,
    }
    return {f"{factor}{name}": taking(40, kind) for name, kind in nsaids.items()} | {
        "healing.baseline": pair(at(S.CLAVICLE), site=None),
        "healing.nonunion": aged(S.CLAVICLE, 18, 17),
        f"{factor}current_smoking": pair(
            of(40, smoking=sourced(SmokingStatus.CURRENT, "Observation/s")),
            person=patient(40, smoking=sourced(SmokingStatus.FORMER, "Observation/s")),
        ),
        f"{factor}osteoporosis": level("t_score_spine", -2.5, -2.4),
        f"{factor}open_fracture": pair(at(S.CLAVICLE, open_wound=True), open_wound=False),
        f"{factor}diabetes": pair(of(40, diabetes=sourced(DiabetesType.TYPE_2, "Condition/d")), person=patient(40)),
        f"{factor}high_energy": pair(at(S.CLAVICLE, mechanism=M.HIGH_ENERGY), mechanism=M.LOW_ENERGY),
        f"{factor}obesity": level("bmi_kg_m2", 30.0, 29.9),
        f"{factor}bisphosphonate": taking(70, D.INTRAVENOUS_BISPHOSPHONATE, S.HUMERUS_SHAFT),
        f"{factor}renal_insufficiency": level("egfr_ml_min_1_73m2", 59.9, 60.0),
        f"{factor}vitamin_d_deficiency": level("vitamin_d_nmol_l", 49.9, 50.0),
        f"{note}site": pair(seen(FractureCall.DEFINITE, BodyRegion.FOREARM), site=S.FOREARM_SHAFT),
        f"{note}age": aged(S.CLAVICLE, None, 40),
        f"{note}hip": aged(S.FEMORAL_NECK, 18, 17),
        f"{note}lesion": pair(at(S.CLAVICLE, mechanism=M.PATHOLOGICAL), mechanism=M.LOW_ENERGY),
        f"{note}comminution": pair(
            at(S.CLAVICLE, fracture_type=FractureType.COMMINUTED), fracture_type=FractureType.OBLIQUE
        ),
        f"{note}perkins": pair(at(TIBIA, fracture_type=FractureType.SPIRAL), fracture_type=FractureType.OBLIQUE),
        f"{note}weight_bearing": aged(TIBIA, 18, 17),
        f"{note}treatment": pair(at(S.CLAVICLE), site=None),
        "limitation.healing.site": pair(seen(FractureCall.DEFINITE, BodyRegion.ELBOW), site=S.HUMERUS_SHAFT),
    }


def _prognosis() -> dict[str, RuleCase]:
    estimate = {"person": patient(70), "estimate": risk(0.1, 0.01)}
    blank = replace(risk(), major_osteoporotic=replace(UNMOVED, outcome="major_osteoporotic"), hip=UNMOVED)
    both = replace(risk(0.1, 0.01, ADDED), major_osteoporotic=probability("major_osteoporotic", 0.1, ADDED))
    cases: dict[str, RuleCase] = {}
    for outcome in ("major_osteoporotic", "hip"):
        cases |= {
            f"risk.{outcome}.probability": pair(estimate, estimate=None),
            f"risk.{outcome}.adjustments": pair({**estimate, "estimate": both}, estimate=risk(0.1, 0.01)),
            f"risk.{outcome}.contributions": pair(estimate, estimate=blank),
        }
    return cases | {
        "risk.threshold.reached": level("t_score_spine", -2.5, -2.4, 50, None),
        "risk.threshold.needs_t_score": pair({**estimate, "estimate": risk(0.2, 0.01)}, estimate=risk(0.199, 0.0299)),
        "risk.threshold.not_reached": pair(estimate, estimate=risk(0.1, 0.03)),
        "risk.treatment.given": taking(70, D.DENOSUMAB, None),
        "risk.imminent": aged(S.CLAVICLE, 50, 49),
        "risk.hip.mortality": aged(S.FEMORAL_NECK, 60, 59),
    }


def _fragility() -> dict[str, RuleCase]:
    told = at(S.DISTAL_RADIUS, 55, mechanism=M.LOW_ENERGY)
    coded = replace(prior(G.FOREARM), pathological=True)
    broken = (prior(G.FOREARM), prior(G.LOWER_LEG))
    dense = patient(55, t_score_femoral_neck=value(0.0))
    return {
        "fragility.likelihood": pair(told, site=None),
        **{f"fragility.{name}": pair(told, person=patient(17)) for name in ("mechanism", "age", "site", "density")},
        "fragility.sex": pair({**told, "person": patient(55, sex=Sex.MALE)}, person=patient(55)),
        "fragility.glucocorticoids": taking(55, D.SYSTEMIC_GLUCOCORTICOID),
        "fragility.coded_fracture": pair(
            of(55, prior_fractures=(coded,)), person=patient(55, prior_fractures=(prior(G.FOREARM),))
        ),
        "fragility.brittle_bone": having(55, C.OSTEOGENESIS_IMPERFECTA),
        "fragility.earlier_fracture": pair(
            of(55, prior_fractures=(prior(G.FOREARM),)), person=patient(55, prior_fractures=(prior(G.FOOT),))
        ),
        "fragility.secondary_causes": having(55, C.RHEUMATOID_ARTHRITIS),
        "fragility.child.several": pair(
            of(9, prior_fractures=(prior(G.FOREARM),)), person=patient(9, prior_fractures=(prior(G.FOOT),))
        ),
        "fragility.child.brittle_bone": having(17, C.OSTEOGENESIS_IMPERFECTA),
        "fragility.coded_pathological": pair(of(55, prior_fractures=(coded,)), mechanism=M.PATHOLOGICAL),
        "fragility.to_narrow": pair({**told, "mechanism": None, "person": dense}, mechanism=M.LOW_ENERGY),
        "follow_up.child_bone": pair(of(10, prior_fractures=broken), person=patient(10, prior_fractures=broken[:1])),
    }


def _growth() -> dict[str, RuleCase]:
    delayed, within = (skeletal(8, 9, one) for one in (Verdict.DELAYED, Verdict.WITHIN))
    wrist = at(S.DISTAL_RADIUS, 9)
    plate = {**wrist, "growth_plate": True}
    return {
        "growth.discrepancy": pair({"person": patient(12), "bone_age": delayed}, bone_age=within),
        "growth.remaining": aged(S.CLAVICLE, 13, 14),
        "growth.ended": aged(S.CLAVICLE, 14, 13),
        "growth.little_left": aged(S.DISTAL_RADIUS, 12, 11),
        "growth.remodelling_good": aged(S.DISTAL_RADIUS, 15, 16),
        "growth.remodelling_poor": aged(S.FOREARM_SHAFT, 11, 10),
        "growth.plate": pair(plate, growth_plate=False),
        "growth.ask_plate": pair(wrist, growth_plate=False),
        "growth.union_figures": pair({**at(S.CLAVICLE, 16), "bone_age": skeletal(14, 15)}, bone_age=None),
        "follow_up.growth_plate": pair(plate, person=patient(18)),
    }


def _safety() -> dict[str, RuleCase]:
    meets = {
        "levothyroxine": D.LEVOTHYROXINE,
        "oral_bisphosphonate": D.ORAL_BISPHOSPHONATE,
        "iron_zinc_strontium": D.ZINC,
        "tetracycline": D.TETRACYCLINE,
        "quinolone": D.QUINOLONE,
        "thiazide": D.THIAZIDE,
        "digoxin": D.DIGOXIN,
        "glucocorticoid": D.SYSTEMIC_GLUCOCORTICOID,
        "orlistat_cholestyramine": D.ORLISTAT,
        "anticonvulsant": D.ANTICONVULSANT,
    }
    egfr = "egfr_ml_min_1_73m2"
    kidney = of(70, conditions=(condition(C.CHRONIC_KIDNEY_DISEASE),))
    both = patient(40, medications=(drug(D.NSAID), drug(D.ANTICOAGULANT)))
    return {f"safety.interaction.{name}": taking(40, kind) for name, kind in meets.items()} | {
        "safety.hypercalcaemia.calcium": level("calcium_mmol_l", 2.61, 2.6),
        "safety.hypercalcaemia.vitamin_d": having(40, C.HYPERCALCAEMIA),
        "safety.above_limit": pair(
            at(S.CLAVICLE, 51, calcium_diet_mg_per_day=2_001.0), calcium_diet_mg_per_day=2_000.0
        ),
        "safety.egfr.calcium": level(egfr, 29.9, 30.0),
        "safety.egfr.vitamin_d": level(egfr, 29.9, 30.0),
        "safety.kidney_unknown": pair(kidney, person=replace(kidney["person"], egfr_ml_min_1_73m2=value(50.0))),
        "safety.stones": pair(of(40, conditions=(condition(C.KIDNEY_STONES, active=False),)), person=patient(40)),
        "safety.hyperparathyroidism": having(40, C.PRIMARY_HYPERPARATHYROIDISM),
        "safety.sarcoidosis": having(40, C.SARCOIDOSIS),
        "safety.age_or_pregnancy": aged(S.CLAVICLE, 17, 18),
        "safety.bisphosphonate.egfr30": level(egfr, 29.9, 30.0, 50),
        "safety.bisphosphonate.egfr35": level(egfr, 34.9, 35.0, 50),
        "safety.denosumab.egfr30": level(egfr, 29.9, 30.0, 50),
        "safety.hypocalcaemia": level("calcium_mmol_l", 2.19, 2.2, 50),
        "safety.bisphosphonate.humerus": aged(S.HUMERUS_SHAFT, 50, 49),
        "safety.nsaid.older": aged(S.CLAVICLE, 65, 64),
        "safety.nsaid.egfr30": level(egfr, 29.9, 30.0),
        "safety.nsaid.anticoagulant": pair(
            {"person": both}, person=replace(both, medications=(drug(D.ANTICOAGULANT),))
        ),
        "safety.cox2.healing": pair(of(40, medications=(drug(D.COX2_INHIBITOR),)), site=None),
    }


def _supplementation() -> dict[str, RuleCase]:
    rule, diet = "supplementation.", "calcium_diet_mg_per_day"
    calcium, vitamin_d = (drug(D.CALCIUM_SUPPLEMENT),), (drug(D.VITAMIN_D_SUPPLEMENT),)
    low, middle = value(30.0), value(60.0)
    return {
        f"{rule}policy": pair(at(S.CLAVICLE), site=None),
        f"{rule}calcium.ask_diet": pair(at(S.CLAVICLE), **{diet: 500.0}),
        f"{rule}calcium.met": pair({**at(S.CLAVICLE), diet: 1_000.0}, **{diet: 999.0}),
        f"{rule}calcium.gap": pair({**at(S.CLAVICLE), diet: 999.0}, **{diet: 1_000.0}),
        f"{rule}calcium.already_taken": pair({**of(40, medications=calcium), diet: 500.0}, person=patient(40)),
        f"{rule}calcium.target": having(40, C.KIDNEY_STONES),
        f"{rule}vitamin_d.deficient": level("vitamin_d_nmol_l", 49.9, 50.0),
        f"{rule}vitamin_d.already_taken": pair(
            of(40, medications=vitamin_d, vitamin_d_nmol_l=low), person=patient(40, vitamin_d_nmol_l=low)
        ),
        f"{rule}vitamin_d.high": level("vitamin_d_nmol_l", 125.1, 125.0),
        f"{rule}vitamin_d.bone_health": level("vitamin_d_nmol_l", 74.9, 75.0, 50),
        f"{rule}vitamin_d.compare": pair(
            of(50, medications=vitamin_d, vitamin_d_nmol_l=middle), person=patient(50, vitamin_d_nmol_l=middle)
        ),
        f"{rule}vitamin_d.sufficient": level("vitamin_d_nmol_l", 50.0, 49.9),
        f"{rule}vitamin_d.empiric": pair({"person": patient(75)}, person=patient(74)),
        f"{rule}vitamin_d.target": pair(at(S.CLAVICLE), person=patient(40, vitamin_d_nmol_l=middle)),
    }


def _lifestyle() -> dict[str, RuleCase]:
    stones = patient(40, conditions=(condition(C.KIDNEY_STONES),))
    smoker = {"person": patient(40, smoking=sourced(SmokingStatus.CURRENT, "Observation/s"))}
    return {
        "lifestyle.protein": aged(S.CLAVICLE, 65, 64),
        "lifestyle.protein.kidney": level("egfr_ml_min_1_73m2", 29.9, 30.0, 65),
        "lifestyle.vitamin_c": aged(S.DISTAL_RADIUS, 18, 17),
        "lifestyle.vitamin_c.stones": pair({**at(S.DISTAL_RADIUS), "person": stones}, person=patient(40)),
        "lifestyle.vitamin_c.caution": pair(at(S.DISTAL_RADIUS), person=stones),
        "lifestyle.smoking": pair(smoker, person=patient(40)),
        "lifestyle.alcohol": level("alcohol_units_per_week", 14.1, 14.0, 40, None),
    }


def _follow_up() -> dict[str, RuleCase]:
    rule, rehab, fls = "follow_up.", "follow_up.rehab.", "follow_up.fls."
    hip = {**NOT_SEEN_HIP, "clinical_suspicion_high": True}
    wrist = {**NOT_SEEN_WRIST, "clinical_suspicion_high": True}
    fragile = at(S.CLAVICLE, 50, mechanism=M.LOW_ENERGY)
    liaison = (
        "risk_assessed",
        "dxa",
        "falls_assessment",
        "strength_balance",
        "drug_started",
        "monitoring",
        "on_drug_check",
    )
    operated = {"operated": True}
    weak = patient(40, osteoporosis=sourced(True, "Condition/o"))
    sugar = sourced(DiabetesType.TYPE_2, "Condition/diabetes")
    diabetic = patient(60, diabetes=sugar)
    numb = patient(60, diabetes=sugar, conditions=(condition(C.DIABETIC_NEUROPATHY),))
    return {f"{fls}{name}": pair(fragile, person=patient(49)) for name in liaison} | {
        f"{rule}occult_hip": pair(hip, clinical_suspicion_high=False),
        f"{rule}repeat_imaging": pair(wrist, clinical_suspicion_high=None),
        f"{rehab}distal_radius_cast": pair(at(S.DISTAL_RADIUS), **operated),
        f"{rehab}distal_radius_plate_motion": pair(at(S.DISTAL_RADIUS, **operated), operated=None),
        f"{rehab}distal_radius_plate_load": pair(at(S.DISTAL_RADIUS, **operated), operated=None),
        f"{rehab}ankle_nwb": pair(at(S.ANKLE), **operated),
        f"{rehab}ankle_full_weight": pair(at(S.ANKLE), **operated),
        f"{rehab}ankle_weber_b": pair(at(S.ANKLE), **operated),
        f"{rehab}scaphoid_other_cast": pair(at(S.SCAPHOID_PROXIMAL), displaced=True),
        f"{rule}check.olecranon": pair(at(S.OLECRANON), displaced=True),
        f"{rehab}olecranon_splint": pair(at(S.OLECRANON), displaced=True),
        f"{rehab}olecranon_flexion": pair(at(S.OLECRANON), **operated),
        f"{rehab}olecranon_elderly": pair(at(S.OLECRANON, 71, displaced=True), person=patient(70)),
        f"{rehab}ulna_cast": pair(at(S.FOREARM_SHAFT), **operated),
        f"{rehab}ulna_brace": aged(S.FOREARM_SHAFT, 18, 17),
        f"{rehab}forearm_plate_weight": pair(at(S.FOREARM_SHAFT, **operated), operated=None),
        f"{rule}check.metacarpal": pair(at(S.METACARPAL), **operated),
        f"{rule}check.plateau": pair(at(S.TIBIAL_PLATEAU), displaced=True),
        f"{rehab}plateau_nwb": pair(at(S.TIBIAL_PLATEAU), displaced=True),
        f"{rehab}plateau_brace": pair(at(S.TIBIAL_PLATEAU), **operated),
        f"{rehab}plateau_fixed": pair(at(S.TIBIAL_PLATEAU, **operated), operated=False),
        f"{rule}check.toe": pair(at(S.TOE), **operated),
        f"{rehab}toe_strapping": aged(S.TOE, 18, 17),
        f"{rule}calendar.lesion": pair(at(S.HUMERUS_SHAFT, mechanism=M.PATHOLOGICAL), mechanism=M.LOW_ENERGY),
        f"{rule}calendar.open": pair(at(S.ANKLE, open_wound=True), **operated),
        f"{rule}calendar.diabetic_foot": pair({"person": numb, "site": S.ANKLE}, person=diabetic),
        f"{rule}calendar.diabetic_ankle_fixed": pair({"person": numb, "site": S.ANKLE, **operated}, operated=None),
        f"{rehab}child_forearm_cast": aged(S.DISTAL_RADIUS, 17, 18),
        f"{rule}hip.surgery": aged(S.FEMORAL_NECK, 18, 17),
        f"{rule}hip.mobilise": aged(S.FEMORAL_NECK, 18, 17),
        f"{rule}rust": pair(at(TIBIA, **operated), operated=None),
        f"{rule}rushu_6": pair(at(S.HUMERUS_SHAFT), **operated),
        f"{rule}rushu_12": pair(at(S.HUMERUS_SHAFT), **operated),
        f"{rule}union": pair(at(S.CLAVICLE), site=None),
        f"{rule}nonunion": aged(S.CLAVICLE, 18, 17),
        f"{rule}weak_bone_tests": pair(fragile, person=patient(49)),
        f"{rule}bone_density": pair(at(S.CLAVICLE, 50, mechanism=M.HIGH_ENERGY), mechanism=M.LOW_ENERGY),
        f"{rule}weak_bone_young": pair(at(S.DISTAL_RADIUS, 49, mechanism=M.LOW_ENERGY), person=patient(50)),
        f"{rule}bone_health": pair({"person": weak}, person=patient(40)),
    }


def _limitations() -> dict[str, RuleCase]:
    image_, input_, record = "limitation.image.", "limitation.input.", "limitation.record."
    wrist = seen(FractureCall.DEFINITE, BodyRegion.WRIST)
    unfit = seen(FractureCall.CANNOT_JUDGE, BodyRegion.WRIST)
    active = {"person": patient(40, prior_fractures=(prior(G.FOOT, active=True),))}
    full = patient(
        50,
        vitamin_d_nmol_l=value(80.0),
        calcium_mmol_l=value(2.4),
        egfr_ml_min_1_73m2=value(80.0),
        t_score_spine=value(0.0),
    )
    known = sourced(SmokingStatus.NEVER, "Observation/s")
    return {
        f"{image_}none": pair({"person": patient(40)}, image=wrist["image"]),
        f"{image_}synthetic": pair(seen(FractureCall.DEFINITE, BodyRegion.WRIST, synthetic=True), image=wrist["image"]),
        f"{image_}unfit": pair(unfit, image=wrist["image"]),
        f"{image_}one_view": pair(wrist, image=unfit["image"]),
        f"{image_}not_seen": pair(NOT_SEEN_WRIST, image=wrist["image"]),
        f"{image_}region": pair(seen(FractureCall.DEFINITE, None), image=wrist["image"]),
        f"{input_}gustilo_and_open_wound": pair(at(TIBIA, gustilo=Gustilo.I, open_wound=False), open_wound=True),
        f"{input_}fracture_type_and_dislocation": pair(
            at(S.ANKLE, fracture_type=FractureType.FRACTURE_DISLOCATION, dislocation=False), dislocation=True
        ),
        f"{input_}fracture_type_and_displaced": pair(
            at(S.ANKLE, fracture_type=FractureType.HAIRLINE, displaced=True), displaced=False
        ),
        f"{input_}fracture_type_and_mechanism": pair(
            at(S.ANKLE, fracture_type=FractureType.PATHOLOGICAL, mechanism=M.LOW_ENERGY), mechanism=M.PATHOLOGICAL
        ),
        f"{input_}non_ambulant_infant_and_age": pair(
            at(S.FEMORAL_SHAFT, 2, non_ambulant_infant=True), person=patient(1)
        ),
        f"{input_}site_region": pair({**wrist, "site": S.ANKLE}, site=S.FOREARM_SHAFT),
        f"{input_}diet": pair({"calcium_diet_mg_per_day": 10_001.0}, calcium_diet_mg_per_day=10_000.0),
        f"{record}none": pair({}, person=patient(40)),
        f"{record}age": pair({"person": patient(None)}, person=patient(40)),
        f"{record}sex": pair({"person": patient(50, sex=None)}, person=patient(49, sex=None)),
        f"{record}missing": pair({"person": replace(full, calcium_mmol_l=None)}, person=full),
        f"{record}old_results": pair(
            {"person": patient(40, calcium_mmol_l=value(2.4, days=366))},
            person=patient(40, calcium_mmol_l=value(2.4, days=365)),
        ),
        f"{record}active_fracture": pair(active, site=S.METATARSAL),
        f"{record}smoking": pair(at(S.CLAVICLE, 18), person=patient(18, smoking=known)),
        "limitation.risk.none": pair({"person": patient(40)}, estimate=risk()),
        "limitation.risk.missing": pair({"estimate": risk(missing=("hba1c_percent",))}, estimate=risk()),
    }


def _combination() -> dict[str, RuleCase]:
    name = "combination.broken"
    probable: Case = {"fracture_probability": around(0.7, 0.1), "calibration_prevalence": 0.18}
    wrist = seen(FractureCall.SUSPECTED, BodyRegion.WRIST, **probable)
    unseen = seen(FractureCall.NOT_SEEN, BodyRegion.WRIST, **probable)
    told: Case = {"person": patient(40), "clinical_suspicion_high": True}
    silent_record = {"person": patient(None, sex=None)}
    both = patient(60, prior_fractures=(prior(G.FOOT),), osteoporosis=sourced(True, "Condition/o"))
    return {
        **{
            f"{name}{part}": pair(told, clinical_suspicion_high=None)
            for part in ("", ".image", ".patient", ".together", ".start", ".suspicion", ".injury")
        },
        f"{name}.image_step": pair(wrist, image=findings(FractureCall.SUSPECTED, BodyRegion.WRIST)),
        f"{name}.mechanism": pair({"person": patient(40), "mechanism": M.LOW_ENERGY}, person=patient(17)),
        f"{name}.age": pair(told, person=patient(17)),
        f"{name}.sex": pair(told, person=patient(40, sex=None)),
        f"{name}.osteoporosis": pair(
            {**told, "person": patient(60, osteoporosis=sourced(True, "Condition/o"))}, person=patient(60)
        ),
        f"{name}.previous_fracture": pair(
            {**told, "person": patient(60, prior_fractures=(prior(G.FOOT),))},
            person=patient(60, prior_fractures=(prior(G.FOOT, active=True),)),
        ),
        f"{name}.glucocorticoids": pair(
            {**told, "person": patient(60, medications=(drug(D.SYSTEMIC_GLUCOCORTICOID),))},
            person=patient(60, medications=(drug(D.SYSTEMIC_GLUCOCORTICOID, active=False),)),
        ),
        f"{name}.weak_bone_once": pair({**told, "person": both}, person=replace(both, prior_fractures=())),
        f"{name}.falls": pair(
            {**told, "person": patient(60, falls_last_year=sourced(1, "Observation/f"))},
            person=patient(60, falls_last_year=sourced(0, "Observation/f")),
        ),
        f"{name}.ten_year": pair({**told, "estimate": risk()}, estimate=None),
        f"{name}.assumption": pair(wrist, **silent_record),
        f"{name}.stated": pair({**wrist, "site": S.DISTAL_RADIUS}, site=None),
        f"{name}.definite": pair(seen(FractureCall.DEFINITE, BodyRegion.WRIST, **probable), image=wrist["image"]),
        f"{name}.unfit": pair(seen(FractureCall.CANNOT_JUDGE, BodyRegion.WRIST), image=wrist["image"]),
        f"{name}.not_excluded": pair(unseen, image=wrist["image"]),
        f"{name}.overstated": pair(unseen, image=wrist["image"]),
    }


def _weak_bone() -> dict[str, RuleCase]:
    name = "combination.weak_bone"
    told = at(S.DISTAL_RADIUS, 55, mechanism=M.LOW_ENERGY)
    metal = {**told, "image": image(metal=0.5, region=BodyRegion.WRIST)}
    return {f"{name}{part}": pair(told, person=patient(17)) for part in ("", ".image", ".patient", ".together")} | {
        f"{name}.ten_year": pair({**told, "estimate": risk()}, estimate=None),
        f"{name}.metal": pair(metal, image=image(metal=0.49, region=BodyRegion.WRIST)),
    }


def _checks() -> dict[str, RuleCase]:
    check = "severity.check."
    thinned = patient(70, medications=(drug(D.ANTICOAGULANT),))
    hip = at(S.FEMORAL_NECK, 70)
    ankle = of(60, S.ANKLE, diabetes=sourced(DiabetesType.TYPE_2, "Condition/d"))
    aching = {"image": findings(FractureCall.NOT_SEEN, BodyRegion.HIP), "clinical_suspicion_high": True}
    protected = patient(70, medications=(drug(D.DENOSUMAB),))
    return {
        "severity.same_day": pair(at(S.DISTAL_RADIUS, displaced=True), displaced=False),
        f"{check}compartment_risk": pair(at(TIBIA, mechanism=M.HIGH_ENERGY), mechanism=M.LOW_ENERGY),
        f"{check}lesion_work_up": pair(at(S.HUMERUS_SHAFT, mechanism=M.PATHOLOGICAL), mechanism=M.LOW_ENERGY),
        f"{check}before_theatre": aged(S.FEMORAL_NECK, 18, 17),
        f"{check}anticoagulant": pair({**hip, "person": thinned}, person=patient(70)),
        f"{check}head_injury": pair({**hip, "person": thinned}, mechanism=M.PATHOLOGICAL),
        f"{check}thrombosis_hip": pair(hip, person=thinned),
        f"{check}thrombosis_leg": aged(S.ANKLE, 18, 17),
        f"{check}diabetic_foot": pair(ankle, site=S.TIBIAL_PLATEAU),
        f"{check}diabetic_ankle_displaced": pair({**ankle, "displaced": True}, displaced=None),
        f"{check}atypical_femur_pain": pair({**aching, "person": protected}, person=patient(70)),
        "severity.threshold.forearm_shaft_child": aged(S.FOREARM_SHAFT, 17, 18),
        "severity.timing.distal_radius": aged(S.DISTAL_RADIUS, 18, 17),
        "healing.note.diabetes_control": pair(ankle, person=patient(60)),
        "limitation.input.gustilo_and_vascular_deficit": pair(
            at(TIBIA, gustilo=Gustilo.IIIC, vascular_deficit=False), gustilo=Gustilo.IIIB
        ),
        "limitation.record.conflict": pair(
            {"person": patient(40, calcium_mmol_l=contradicted(2.4, 2.9))},
            person=patient(40, calcium_mmol_l=value(2.4)),
        ),
        "supplementation.vitamin_d.contradicted": pair(
            of(40, vitamin_d_nmol_l=contradicted(20.0, 90.0)), person=patient(40, vitamin_d_nmol_l=value(20.0))
        ),
    }


def _learned() -> dict[str, RuleCase]:
    note = "healing.note."
    few = LearnedHealing(model_id="h", group="lower_leg", cases=9, events=7, weight=0.0)
    used = replace(few, weight=0.4, log_median=2.3, log_sigma=0.3)
    return {
        f"{note}rules_alone": pair(at(TIBIA), learned=few),
        f"{note}learned_refused": pair(at(TIBIA, learned=few), learned=used),
        f"{note}learned": pair(at(TIBIA, learned=used), learned=few),
    }


def _drugs_and_diseases() -> dict[str, RuleCase]:
    what_if = "healing.what_if."
    high = value(2.9)
    low = value(20.0)
    pressure, water = drug(D.ACE_INHIBITOR_OR_ARB), drug(D.DIURETIC)
    pain = drug(D.NSAID)
    three = patient(40, medications=(pain, pressure, water))
    two = replace(three, medications=(pain, pressure))
    parathyroid = (condition(C.PRIMARY_HYPERPARATHYROIDISM),)
    smoker = patient(40, smoking=sourced(SmokingStatus.CURRENT, "Observation/s"))
    ordered = {
        "person": patient(60),
        "fracture": prior(G.HIP, active=True),
        "ordered": (drug(D.SYSTEMIC_GLUCOCORTICOID),),
    }
    return {
        f"{what_if}current_smoking": pair({"person": smoker, "site": S.CLAVICLE}, person=patient(40)),
        f"{what_if}nsaid": taking(40, D.NSAID),
        f"{what_if}cox2_inhibitor": taking(40, D.COX2_INHIBITOR),
        f"{what_if}vitamin_d_deficiency": level("vitamin_d_nmol_l", 49.9, 50.0),
        "safety.hypercalcaemia.urgency": level("calcium_mmol_l", 2.61, 2.6),
        **{
            f"safety.hypercalcaemia.{name}": pair(
                {"person": patient(40, calcium_mmol_l=high, medications=(drug(kind),))},
                person=patient(40, calcium_mmol_l=high),
            )
            for name, kind in (("thiazide", D.THIAZIDE), ("digoxin", D.DIGOXIN))
        },
        "safety.vitamin_d_first": level("vitamin_d_nmol_l", 49.9, 50.0, 50),
        "safety.denosumab.no_gap": taking(70, D.DENOSUMAB),
        "safety.bisphosphonate.oesophagus": having(50, C.OESOPHAGEAL_DISEASE),
        "safety.nsaid.heart_failure": having(40, C.HEART_FAILURE),
        "safety.nsaid.ulcer": pair(of(40, conditions=(condition(C.PEPTIC_ULCER, active=False),)), person=patient(40)),
        "safety.nsaid.triple": pair({"person": three}, person=two),
        "safety.nsaid.kidney_drugs": pair({"person": two}, person=three),
        "safety.nsaid.antiplatelet": pair(
            {"person": replace(two, medications=(pain, drug(D.ANTIPLATELET)))},
            person=replace(two, medications=(drug(D.ANTIPLATELET),)),
        ),
        "supplementation.vitamin_d.low_told": pair(
            of(40, calcium_mmol_l=high, vitamin_d_nmol_l=low), person=patient(40, vitamin_d_nmol_l=low)
        ),
        "follow_up.parathyroid": pair(
            {"person": patient(60, conditions=parathyroid, t_score_spine=value(-2.5))},
            person=patient(60, conditions=parathyroid, t_score_spine=value(-2.4)),
        ),
        "safety.order.glucocorticoid": pair(ordered, person=patient(60, medications=(drug(D.ORAL_BISPHOSPHONATE),))),
    }


def _rehabilitation() -> dict[str, RuleCase]:
    check, rehab = "follow_up.check.", "follow_up.rehab."
    rest: dict[str, FractureSite] = {
        f"{check}distal_radius": S.DISTAL_RADIUS,
        f"{rehab}distal_radius_boast": S.DISTAL_RADIUS,
        f"{check}proximal_humerus": S.HUMERUS_PROXIMAL,
        f"{rehab}proximal_humerus_exercise": S.HUMERUS_PROXIMAL,
        f"{rehab}proximal_humerus_sling": S.HUMERUS_PROXIMAL,
        f"{rehab}humerus_shaft_motion": S.HUMERUS_SHAFT,
        f"{rehab}humerus_shaft_brace": S.HUMERUS_SHAFT,
        f"{rehab}clavicle_sling": S.CLAVICLE,
        f"{rehab}clavicle_load": S.CLAVICLE,
        f"{check}scaphoid_waist": S.SCAPHOID_WAIST,
        f"{rehab}scaphoid_waist_cast": S.SCAPHOID_WAIST,
        f"{rehab}metacarpal_support": S.METACARPAL,
        f"{rehab}metatarsal5_boot": S.METATARSAL,
    }
    child: dict[str, FractureSite] = {
        f"{check}child_distal_radius": S.DISTAL_RADIUS,
        f"{rehab}child_distal_radius_complete": S.DISTAL_RADIUS,
        f"{check}child_forearm_shaft": S.FOREARM_SHAFT,
        f"{rehab}child_forearm_shaft_cast": S.FOREARM_SHAFT,
        f"{rehab}child_forearm_shaft_sport": S.FOREARM_SHAFT,
        f"{rehab}child_clavicle_sling": S.CLAVICLE,
    }
    undisplaced: dict[str, FractureSite] = {
        f"{check}phalanx": S.HAND_PHALANX,
        f"{rehab}phalanx_strapping": S.HAND_PHALANX,
        f"{rehab}patella_brace": S.PATELLA,
    }
    nailed: dict[str, FractureSite] = {
        f"{rehab}ankle_fixed_weight": S.ANKLE,
        f"{rehab}tibia_nail_weight": TIBIA,
        f"{rehab}femur_nail_weight": S.FEMORAL_SHAFT,
    }
    return {
        **{rule: pair(at(site), operated=True) for rule, site in rest.items()},
        **{rule: pair(at(site, 10), operated=True) for rule, site in child.items()},
        **{rule: pair(at(site), displaced=True) for rule, site in undisplaced.items()},
        **{rule: pair(at(site, operated=True), operated=None) for rule, site in nailed.items()},
        f"{rehab}child_torus": aged(S.DISTAL_RADIUS, 17, 18),
        f"{rehab}child_femur_spica": aged(S.FEMORAL_SHAFT, 3, 4),
        "follow_up.school_sport": aged(S.CLAVICLE, 15, 16),
        "follow_up.driving_work": aged(S.CLAVICLE, 16, 15),
    }


RULE_CASES: dict[str, RuleCase] = {
    **_combination(),
    **_weak_bone(),
    **_checks(),
    **_severity(),
    **_red_flags(),
    **_limits(),
    **_healing(),
    **_prognosis(),
    **_fragility(),
    **_growth(),
    **_safety(),
    **_supplementation(),
    **_lifestyle(),
    **_follow_up(),
    **_limitations(),
    **_rehabilitation(),
    **_learned(),
    **_drugs_and_diseases(),
}
"""By rule."""
