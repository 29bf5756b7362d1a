"""What the record says about the strength of the bone."""

from dataclasses import dataclass

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, FractureSiteGroup, PriorFracture
from fusion.context import Mechanism
from fusion.facts import OSTEOPOROTIC_T_SCORE, CaseFacts

NORMAL_T_SCORE = -1.0
"""Bone density counts as normal from here on."""
TYPICAL_GROUPS = frozenset(
    {
        FractureSiteGroup.HIP,
        FractureSiteGroup.SPINE,
        FractureSiteGroup.FOREARM,
        FractureSiteGroup.WRIST,
        FractureSiteGroup.HUMERUS,
        FractureSiteGroup.PELVIS,
    }
)
"""Sites of an earlier fracture that count as typical of osteoporosis, as coarse as codes allow."""
LONG_BONES = frozenset(
    {
        FractureSiteGroup.HIP,
        FractureSiteGroup.FOREARM,
        FractureSiteGroup.WRIST,
        FractureSiteGroup.HUMERUS,
        FractureSiteGroup.FEMUR,
        FractureSiteGroup.LOWER_LEG,
        FractureSiteGroup.ANKLE,
    }
)
_CONDITIONS: dict[ConditionKind, str] = {
    ConditionKind.RHEUMATOID_ARTHRITIS: "rheumatoid arthritis",
    ConditionKind.PRIMARY_HYPERPARATHYROIDISM: "primary hyperparathyroidism",
    ConditionKind.HYPERTHYROIDISM: "hyperthyroidism",
    ConditionKind.MALABSORPTION: "malabsorption",
    ConditionKind.HYPOGONADISM: "hypogonadism",
    ConditionKind.ANOREXIA_NERVOSA: "anorexia nervosa",
    ConditionKind.CHRONIC_KIDNEY_DISEASE: "chronic kidney disease",
    ConditionKind.CHRONIC_LIVER_DISEASE: "chronic liver disease",
    ConditionKind.ALCOHOL_USE_DISORDER: "alcohol use disorder",
}
_DRUGS: dict[DrugClass, str] = {
    DrugClass.AROMATASE_INHIBITOR: "an aromatase inhibitor",
    DrugClass.ANDROGEN_DEPRIVATION: "androgen deprivation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One recorded cause of weak bone."""

    words: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """Recorded causes, by how far they move the likelihood."""

    osteoporosis: Cause | None
    """Diagnosed, or a T-score of -2.5 or lower."""
    glucocorticoids: Cause | None
    coded_fracture: Cause | None
    """A fracture coded as due to osteoporosis or another bone disease."""
    brittle_bone: Cause | None
    """Osteogenesis imperfecta."""
    earlier_fracture: Cause | None
    """An earlier fracture at a typical site; its mechanism is not recorded."""
    secondary: tuple[Cause, ...]
    t_score: float | None
    """The lowest measured T-score."""

    @property
    def strong(self) -> bool:
        """Any that raises the whole range."""
        found = (self.osteoporosis, self.glucocorticoids, self.coded_fracture, self.brittle_bone)
        return any(one is not None for one in found)

    @property
    def possible(self) -> bool:
        """Any that raises the upper end only."""
        return self.earlier_fracture is not None or bool(self.secondary)

    @property
    def normal_density(self) -> bool:
        """Every measured T-score is normal."""
        return self.t_score is not None and self.t_score >= NORMAL_T_SCORE

    @property
    def osteopenia(self) -> bool:
        """The lowest measured T-score lies between normal and osteoporosis."""
        return self.t_score is not None and OSTEOPOROTIC_T_SCORE < self.t_score < NORMAL_T_SCORE


def find_causes(facts: CaseFacts) -> Causes:
    """Everything in the record that speaks for or against weak bone."""
    scores = facts.t_scores
    return Causes(
        osteoporosis=_osteoporosis(facts),
        glucocorticoids=_glucocorticoids(facts),
        coded_fracture=_coded_fracture(facts),
        brittle_bone=_condition(facts, ConditionKind.OSTEOGENESIS_IMPERFECTA, "osteogenesis imperfecta"),
        earlier_fracture=_earlier_fracture(facts),
        secondary=_secondary(facts),
        t_score=scores[0][1].value if scores else None,
    )


def _condition(facts: CaseFacts, kind: ConditionKind, words: str) -> Cause | None:
    found = facts.condition(kind)
    return None if found is None else Cause(words=words, resources=(found.resource,))


def _osteoporosis(facts: CaseFacts) -> Cause | None:
    resource = facts.osteoporosis
    if resource is None:
        return None
    scores = facts.t_scores
    if scores and scores[0][1].value <= OSTEOPOROTIC_T_SCORE:
        site, score = scores[0]
        return Cause(words=f"T-score {score.value:.1f} ({site})", resources=(score.resource,))
    return Cause(words="osteoporosis in the record", resources=(resource,))


def _glucocorticoids(facts: CaseFacts) -> Cause | None:
    drugs = facts.drugs(DrugClass.SYSTEMIC_GLUCOCORTICOID)
    if not drugs:
        return None
    return Cause(words="a systemic glucocorticoid", resources=tuple(dict.fromkeys(one.resource for one in drugs)))


def _fractures(facts: CaseFacts) -> tuple[PriorFracture, ...]:
    return () if facts.patient is None else facts.patient.prior_fractures


def _coded_fracture(facts: CaseFacts) -> Cause | None:
    coded = [one.resource for one in _fractures(facts) if one.pathological]
    if not coded:
        return None
    return Cause(words="a fracture coded as due to osteoporosis or another bone disease", resources=tuple(coded))


def _earlier_fracture(facts: CaseFacts) -> Cause | None:
    earlier = [one for one in _fractures(facts) if one.site in TYPICAL_GROUPS and not one.active]
    if not earlier:
        return None
    return Cause(words="an earlier fracture at a typical site", resources=tuple(one.resource for one in earlier))


def _secondary(facts: CaseFacts) -> tuple[Cause, ...]:
    found = [one for kind, words in _CONDITIONS.items() if (one := _condition(facts, kind, words)) is not None]
    for kind, words in _DRUGS.items():
        if drugs := facts.drugs(kind):
            found.append(Cause(words=words, resources=(drugs[0].resource,)))
    diabetes = facts.diabetes
    if diabetes is not None and diabetes.value is DiabetesType.TYPE_1:
        found.append(Cause(words="type 1 diabetes", resources=(diabetes.resource,)))
    return tuple(found)


def long_bone_fractures(facts: CaseFacts) -> tuple[str, ...]:
    """A child's long-bone fractures, the present one included unless it came from high energy.

    Returns:
        References of the recorded ones, and ``present`` for the present one when the record does not list it.
    """
    recorded = [one for one in _fractures(facts) if one.site in LONG_BONES]
    earlier = tuple(dict.fromkeys(one.resource for one in recorded if not one.active))
    listed = tuple(dict.fromkeys(one.resource for one in recorded if one.active))
    if facts.context.mechanism is Mechanism.HIGH_ENERGY or not facts.has_fracture:
        return earlier
    return (*earlier, *(listed or ("present",)))
