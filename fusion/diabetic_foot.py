"""A fracture of ankle or foot in diabetes: whose foot is at risk, and how far the usual calendar holds for it."""

from fhir_adapters.patient import ConditionEntry, ConditionKind
from fusion.facts import CaseFacts
from fusion.sites import FractureSite
from imaging.labels import BodyRegion

FOOT_SITES = frozenset({FractureSite.ANKLE, FractureSite.CALCANEUS, FractureSite.METATARSAL, FractureSite.TOE})
_FOOT_REGIONS = frozenset({BodyRegion.ANKLE, BodyRegion.FOOT})


def diabetic_foot_fracture(facts: CaseFacts) -> bool:
    """A fracture of ankle or foot, stated or in view, with diabetes in the record."""
    if facts.diabetes is None or not facts.has_fracture:
        return False
    region = facts.context.site is None and facts.region in _FOOT_REGIONS
    return facts.context.site in FOOT_SITES or region


def foot_complications(facts: CaseFacts) -> tuple[ConditionEntry, ...]:
    """Recorded neuropathy and arterial disease, in this order; the record may not know of either."""
    kinds = (ConditionKind.DIABETIC_NEUROPATHY, ConditionKind.PERIPHERAL_ARTERY_DISEASE)
    return tuple(entry for kind in kinds if (entry := facts.condition(kind)) is not None)


def complicated_foot(facts: CaseFacts) -> bool:
    """Such a fracture with neuropathy or arterial disease in the record: the usual weeks do not hold."""
    return diabetic_foot_fracture(facts) and bool(foot_complications(facts))
