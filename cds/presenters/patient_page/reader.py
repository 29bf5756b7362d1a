"""Who reads the page, in which language, and what the case is."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cds.case import CaseResult
from cds.localisation.localiser import Localiser, Value
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, FracturePresence
from fusion.results import BoneHealthPathway
from fusion.sites import HIP_SITES, FractureSite
from imaging.labels import BodyRegion

CASTLESS_SITES = HIP_SITES | {FractureSite.PELVIS, FractureSite.CLAVICLE, FractureSite.HUMERUS_PROXIMAL}
CASTLESS_REGIONS = frozenset({BodyRegion.HIP, BodyRegion.PELVIS, BodyRegion.CLAVICLE, BodyRegion.SHOULDER})
DELICATE_FLAGS = frozenset({"severity.red_flag.abuse_pattern", "severity.red_flag.non_ambulant_infant"})
"""Red flags of which nothing may stand on a page that is handed out: they are for a talk, not for paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One sentence or short paragraph, with the evidence that stands behind it."""

    text: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lines under one heading or lead-in; as a list where `listed`."""

    lines: tuple[Line, ...]
    lead: str = ""
    listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The case with its reader."""

    result: CaseResult
    localiser: Localiser
    facts: CaseFacts = field(init=False)

    def __post_init__(self) -> None:
        """Reads the case as the rules read it, so that page and report never disagree on whether there is a break."""
        result = self.result
        facts = CaseFacts(
            findings=result.findings,
            patient=result.patient,
            risk=result.risk,
            context=result.context,
            as_of=result.assessment.created,
        )
        object.__setattr__(self, "facts", facts)

    @property
    def child(self) -> bool:
        """Whether the parents of a child read it."""
        return self.facts.younger_than(ADULT_FROM_YEARS)

    @property
    def unconfirmed(self) -> bool:
        """Whether a break rests on the network alone, so that all that follows from it is conditional."""
        return self.facts.presence in {FracturePresence.SEEN, FracturePresence.SUSPECTED}

    @property
    def castless(self) -> bool:
        """Whether the broken bone gets no cast: near the hip, or at the shoulder."""
        site, region = self.facts.context.site, self.facts.region
        return site in CASTLESS_SITES if site is not None else region in CASTLESS_REGIONS

    @property
    def delicate(self) -> bool:
        """Whether grade and cause are for a talk, not for paper."""
        flags = {flag.statement.id for flag in self.result.assessment.severity.red_flags}
        return self.facts.pathological or bool(flags & DELICATE_FLAGS)

    @property
    def pathway(self) -> BoneHealthPathway:
        """Which bone-health lines follow."""
        fragility = self.result.assessment.fragility
        return BoneHealthPathway.NONE if fragility is None else fragility.pathway

    def say(self, key: str, **values: Value) -> str:
        """A message under ``patient``; the one for parents where there is one and a child is concerned."""
        full = f"patient.{key}"
        if self.localiser.has(f"{full}.you"):
            full = f"{full}.{'child' if self.child else 'you'}"
        return self.localiser.text(full, **values)

    def line(self, key: str, evidence: Iterable[str] = (), **values: Value) -> Line:
        """A message as a line."""
        return Line(text=self.say(key, **values), evidence=tuple(evidence))
