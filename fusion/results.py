"""What the engine concludes: `Assessment` and its parts. Imports no framework.

Every statement a reader sees is a `Statement`: its words, its number, how sure it is, and where it comes from.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tabular.results import LearnedHealing


class Certainty(StrEnum):
    """How far a statement can be trusted, from the status of its evidence."""

    VERIFIED = "verified"
    """Read in the cited source."""
    WEAK = "weak"
    """Read, but in a weak or secondary source."""
    COMPUTED = "computed"
    """Computed by this engine from its inputs; the method is named."""
    UNVERIFIED = "unverified"
    """Not verified against the source; shown as such, and never drives a recommendation alone."""
    RECORDED = "recorded"
    """Taken from the patient record or the clinician's input."""


class Severity(StrEnum):
    """Overall grade of the injury."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"
    UNDETERMINED = "undetermined"
    NOT_APPLICABLE = "not_applicable"
    """No fracture was seen or stated."""


class Urgency(StrEnum):
    """When somebody must act."""

    IMMEDIATE = "immediate"
    WITHIN_HOURS = "within_hours"
    CLINIC = "clinic"
    ROUTINE = "routine"


class AdviceAction(StrEnum):
    """What a supplementation or drug statement asks for."""

    CONSIDER = "consider"
    AVOID = "avoid"
    SPECIALIST_ONLY = "specialist_only"
    CORRECT_FIRST = "correct_first"
    SEPARATE = "separate"
    CAUTION = "caution"
    INFORM = "inform"


class FragilityLikelihood(StrEnum):
    """How likely weak bone, rather than force alone, broke the bone; the words are bands, not measurements."""

    UNLIKELY = "unlikely"
    POSSIBLE = "possible"
    LIKELY = "likely"
    VERY_LIKELY = "very_likely"


class FragilityVerdict(StrEnum):
    """Whether the likelihood of a fragility fracture was judged, and if not, why."""

    JUDGED = "judged"
    CANNOT_BE_JUDGED = "cannot_be_judged"
    """What is known leaves every likelihood open."""
    CHILD = "child"
    """Adults' rules do not apply to a growing skeleton."""
    LESION = "lesion"
    """A lesion is suspected: another work-up, whatever the bone density."""
    NOT_COUNTED = "not_counted"
    """A fracture of the fingers: no guideline takes it for a sign of osteoporosis."""


class BoneHealthPathway(StrEnum):
    """Which bone-health lines follow a fracture; the one switch behind all of them."""

    FRACTURE_LIAISON = "fracture_liaison"
    """Low-energy fracture from 50 years: the fracture liaison timeline."""
    FRACTURE_LIAISON_IF_LOW_ENERGY = "fracture_liaison_if_low_energy"
    """From 50 years, mechanism not stated: the same timeline under that condition."""
    BONE_DENSITY = "bone_density"
    """High-energy fracture from 50 years: bone density is worth measuring."""
    YOUNG_ADULT = "young_adult"
    """Low-energy fracture at a typical site, or of a bone known to be weak, at 18 to 49 years: look for a cause."""
    PAEDIATRIC = "paediatric"
    """A child with as many long-bone fractures as the definition of osteoporosis in children asks for."""
    LESION = "lesion"
    """A lesion is suspected; the red flag leads, not the bone-health lines."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One sentence of the report with its provenance."""

    id: str
    """Stable rule identifier, for instance ``supplementation.calcium.gap``."""
    text: str
    """The sentence, in English, without patient identifiers."""
    certainty: Certainty
    evidence: tuple[str, ...] = ()
    """Identifiers in the evidence base, each listed in `Assessment.sources`."""
    record: tuple[str, ...] = ()
    """FHIR references (``Observation/12``) or ``clinician`` or ``image`` or ``model`` that triggered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReference:
    """An evidence entry as cited in the report."""

    id: str
    statement: str
    citation: str
    identifier: str | None
    """DOI, PubMed id or another public identifier; None when the source has none."""
    certainty: Certainty


@dataclass(frozen=True, slots=True, kw_only=True)
class RedFlag:
    """A reason to act at once; deterministic, never overridden by a score."""

    urgency: Urgency
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityAssessment:
    """Grade, reasons, flags and what the clinician still has to look at."""

    grade: Severity
    urgency: Urgency
    reasons: tuple[Statement, ...] = ()
    red_flags: tuple[RedFlag, ...] = ()
    clinician_must_check: tuple[Statement, ...] = ()
    not_judged: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingFactor:
    """Something that moved the healing time or the risk of non-union."""

    factor: str
    time_ratio: float | None
    """Multiplier on the weeks to union (median); None when the factor is known for non-union only."""
    time_ratio_low: float | None
    time_ratio_high: float | None
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionWeeks:
    """A window of weeks to union."""

    median: float
    low: float
    """10th percentile."""
    high: float
    """90th percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingWhatIf:
    """The estimate of a person without one modifiable factor, otherwise alike: an association, not a promise."""

    factor: str
    """As in `HealingFactor.factor`."""
    median_weeks: float
    low_weeks: float
    """10th percentile."""
    high_weeks: float
    """90th percentile."""
    weeks_earlier_low: float | None = None
    """10th percentile of the paired difference in weeks, may be below 0; None when the factor moves no time."""
    weeks_earlier_high: float | None = None
    """90th percentile of the paired difference."""
    nonunion_low: float | None = None
    """Lower end of the range of non-union probability without the factor, 0..1."""
    nonunion_high: float | None = None
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingEstimate:
    """Weeks to union, as an interval, and what moved it."""

    median_weeks: float
    low_weeks: float
    """10th percentile."""
    high_weeks: float
    """90th percentile."""
    baseline: Statement
    """The site's own range before any factor."""
    factors: tuple[HealingFactor, ...] = ()
    nonunion_low: float | None = None
    """Lower end of the range of non-union probability, 0..1."""
    nonunion_high: float | None = None
    nonunion: Statement | None = None
    notes: tuple[Statement, ...] = ()
    what_if: tuple[HealingWhatIf, ...] = ()
    """What people without one modifiable factor, otherwise alike, would be told; by the published figures."""
    published_weeks: UnionWeeks | None = None
    """The window by the published figures alone; None when the window above is that already."""
    learned: LearnedHealing | None = None
    """The model of this site's own outcomes that was asked; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One line of supplementation, drug-safety or lifestyle advice, for the clinician to confirm."""

    action: AdviceAction
    agent: str
    """``calcium``, ``vitamin_d``, ``nsaid``, ``bisphosphonate``, ``protein``, ``smoking``, ``alcohol``."""
    statement: Statement
    dose_low: float | None = None
    dose_high: float | None = None
    dose_unit: str | None = None
    """UCUM, for instance ``mg/d`` or ``[iU]/d``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """One appointment or check, in weeks after the injury."""

    what: str
    earliest_week: float | None
    latest_week: float | None
    urgency: Urgency
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class FragilityAssessment:
    """Whether weak bone or force alone broke the bone: a cited rule, since no data here could teach it."""

    verdict: FragilityVerdict
    lowest: FragilityLikelihood | None = None
    """The lower end of what the known facts allow; None unless JUDGED."""
    highest: FragilityLikelihood | None = None
    """The upper end; None unless JUDGED."""
    low: float | None = None
    """Lower end of the band of `lowest`, 0..1; an order of magnitude, not a measured probability."""
    high: float | None = None
    """Upper end of the band of `highest`, 0..1."""
    meets_definition: bool | None = None
    """Whether it is a fragility fracture by definition (low energy, from 50 years, a site that counts); None when it
    cannot be told."""
    pathway: BoneHealthPathway = BoneHealthPathway.NONE
    statement: Statement
    """The verdict in one sentence."""
    reasons: tuple[Statement, ...] = ()
    """What moved it, each with its evidence."""
    remarks: tuple[Statement, ...] = ()
    """What to keep in mind beside it, and what would narrow it."""


class CombinedPart(StrEnum):
    """Where a number of a combination comes from."""

    IMAGE = "image"
    PATIENT = "patient"
    """The record and what the clinician stated; nothing that the radiograph shows."""
    TOGETHER = "together"


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedEstimate:
    """One of the three numbers of a combination."""

    part: CombinedPart
    value: float | None
    """Probability, 0..1; None when the part is absent, or when only a band is known."""
    low: float | None
    """Lower end of the interval or of the band, 0..1; None when the part is absent."""
    high: float | None
    statement: Statement
    """The number in words, or why there is none."""

    @property
    def absent(self) -> bool:
        """Nothing is known from this part; no neutral value stands in its place."""
        return self.low is None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOddsContribution:
    """What one fact added to the log odds of `CombinedProbability.together`."""

    part: CombinedPart
    """IMAGE or PATIENT."""
    factor: str
    """Stable name: ``start``, ``image``, ``mechanism`` ..."""
    label: str
    """The fact in words."""
    log_odds: float
    """Natural logarithm of the odds it multiplies by; of ``start`` the log odds themselves."""
    low: float
    """The same at the lower end of its interval, ``low <= log_odds <= high``."""
    high: float
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedProbability:
    """One question answered by the image alone, by the patient alone, and by both together."""

    question: str
    """``broken_now`` (probabilities) or ``weak_bone`` (bands of likelihood, by a cited rule)."""
    image: CombinedEstimate
    patient: CombinedEstimate
    together: CombinedEstimate
    contributions: tuple[LogOddsContribution, ...] = ()
    """They add up to the log odds of `together`; empty for bands."""
    not_counted: tuple[Statement, ...] = ()
    """Known facts that were given no weight, and why."""
    statement: Statement
    """The three numbers in one sentence."""
    remarks: tuple[Statement, ...] = ()
    """What the numbers rest on, and what they do not overrule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedAssessment:
    """The questions that image and patient answer together; a question is None when nothing asks it."""

    broken_now: CombinedProbability | None = None
    weak_bone: CombinedProbability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The whole answer for one case."""

    created: datetime
    """Timezone-aware."""
    summary: Statement
    """One sentence at the head of the report."""
    severity: SeverityAssessment
    healing: HealingEstimate | None
    """None when it could not be estimated; `limitations` says why."""
    risk_statements: tuple[Statement, ...]
    supplementation: tuple[Advice, ...]
    follow_up: tuple[FollowUp, ...]
    limitations: tuple[Statement, ...]
    """What could not be judged, and what was missing."""
    sources: tuple[SourceReference, ...]
    evidence_version: str
    """Version and digest of the evidence base."""
    warnings: tuple[str, ...] = ()
    growth: tuple[Statement, ...] = ()
    """Growth left, remodelling, the growth plate, skeletal age out of range; empty for adults."""
    fragility: FragilityAssessment | None = None
    """Weak bone or force alone; None without a fracture."""
    combined: CombinedAssessment | None = None
    """Image and patient side by side; None when neither a radiograph nor an injury is in question."""
