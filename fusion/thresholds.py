"""What to measure on the radiograph, and the published limits beyond which a surgeon is asked.

They are shown to the reader, who measures; `fusion.measured` applies those that the image analysis can be held against.
"""

from dataclasses import dataclass

from fusion.facts import ADULT_FROM_YEARS, OLDER_FROM_YEARS, CaseFacts
from fusion.results import Statement
from fusion.sites import SCAPHOID_SITES, SITE_NAMES, FractureSite
from fusion.statements import Writer, join, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """One measure and the entry that holds its limit."""

    evidence: str
    words: str
    """With ``{limit}`` where the number goes."""

    def phrase(self, writer: Writer) -> str:
        return self.words.format(limit=plain(writer.value(self.evidence)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _LimitSet:
    """The limits of one site and age group, and what exceeding one of them asks for."""

    rule: str
    opening: str
    limits: tuple[_Limit, ...]

    def statement(self, writer: Writer, prefix: str, record: tuple[str, ...]) -> Statement:
        phrases = join([limit.phrase(writer) for limit in self.limits], "or")
        return writer.say(
            self.rule,
            f"{prefix}{self.opening} {phrases}.",
            evidence=tuple(limit.evidence for limit in self.limits),
            record=record,
        )


def _limits(group: str, *pairs: tuple[str, str]) -> tuple[_Limit, ...]:
    return tuple(_Limit(evidence=f"severity.{group}.{name}", words=words) for name, words in pairs)


OPERATE = "consider operative referral if"
REVIEW = "ask for orthopaedic review if"

WRIST_UNDER_65 = _LimitSet(
    rule="severity.threshold.distal_radius",
    opening=OPERATE,
    limits=_limits(
        "distal_radius_adult_lt65",
        ("dorsal_tilt_deg", "after reduction dorsal tilt exceeds {limit}°"),
        ("radial_shortening_mm", "radial shortening exceeds {limit} mm"),
        ("articular_step_mm", "an articular step or gap exceeds {limit} mm"),
    ),
)
TIBIA_ADULT = _LimitSet(
    rule="severity.threshold.tibial_shaft",
    opening=OPERATE,
    limits=_limits(
        "tibia_shaft_adult",
        ("coronal_deg", "varus or valgus exceeds {limit}°"),
        ("sagittal_deg", "sagittal angulation exceeds {limit}°"),
        ("rotation_deg", "rotation exceeds {limit}°"),
        ("shortening_mm", "shortening exceeds {limit} mm"),
        ("translation_pct", "translation exceeds {limit} % of the width"),
        ("comminution_pct", "comminution takes {limit} % of the circumference or more"),
    ),
)
TIBIA_CHILD = _LimitSet(
    rule="severity.threshold.tibial_shaft_child",
    opening=REVIEW,
    limits=_limits(
        "tibia_shaft_child",
        ("coronal_deg", "varus or valgus exceeds {limit}°"),
        ("sagittal_deg", "sagittal angulation reaches {limit}°"),
        ("shortening_mm", "shortening exceeds {limit} mm"),
    ),
)
HUMERUS_SHAFT = _LimitSet(
    rule="severity.threshold.humerus_shaft",
    opening=REVIEW,
    limits=_limits(
        "humerus_shaft",
        ("anterior_angulation_deg", "anterior angulation exceeds {limit}°"),
        ("varus_deg", "varus exceeds {limit}°"),
        ("rotation_deg", "rotation exceeds {limit}°"),
        ("shortening_mm", "shortening exceeds {limit} mm"),
    ),
)
HUMERUS_PROXIMAL = _LimitSet(
    rule="severity.threshold.humerus_proximal",
    opening=REVIEW,
    limits=_limits(
        "humerus_proximal",
        ("part_displacement_mm", "a part is moved by more than {limit} mm or turned by more than 45°"),
        ("tuberosity_mm", "the greater tuberosity is moved by more than {limit} mm"),
        ("calcar_length_mm", "the calcar is shorter than {limit} mm (risk of head ischaemia)"),
    ),
)
CLAVICLE = _LimitSet(
    rule="severity.threshold.clavicle",
    opening=REVIEW,
    limits=_limits(
        "clavicle_midshaft",
        ("displacement_pct", "a midshaft fracture is displaced by more than {limit} % of the width"),
        ("shortening_mm", "shortening exceeds {limit} mm (contested)"),
    ),
)
FOREARM_CHILD = "severity.forearm_shaft_child.angulation_deg"
METACARPAL_NECK = "severity.metacarpal_neck.angulation_deg"
METACARPAL_SHAFT = "severity.metacarpal_shaft.shortening_mm"
METACARPAL_ROTATION = "severity.metacarpal.rotation"
_ANKLE_RULES = (
    "severity.ankle.stability",
    "severity.ankle.talar_shift_mm",
    "severity.ankle.medial_clear_space_mm",
    "severity.ankle.medial_clear_space_stress_mm",
)
INSTABILITY = "severity.distal_radius.instability"
RADIUS_TIMING = "severity.timing.distal_radius"
FOREARM_YOUNG_BELOW_YEARS = 8
"""Below, the younger children's limit of the forearm holds; tested to equal the evidence base."""


def limits_to_measure(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """The limits for the site, or for each site that the region may show; nothing when no fracture is in question."""
    if not facts.has_fracture:
        return ()
    several = len(facts.sites) > 1
    found: list[Statement] = []
    for site in facts.sites:
        found += _for_site(site, facts, writer, f"If {SITE_NAMES[site]}: " if several else "Measure: ")
    # The three scaphoid sites share one rule.
    return tuple({statement.id: statement for statement in found}.values())


def _for_site(site: FractureSite, facts: CaseFacts, writer: Writer, prefix: str) -> list[Statement]:
    record = facts.fracture_record
    child = facts.younger_than(ADULT_FROM_YEARS)
    if site is FractureSite.TIBIAL_SHAFT:
        return [(TIBIA_CHILD if child else TIBIA_ADULT).statement(writer, prefix, record)]
    if child and site is FractureSite.FOREARM_SHAFT:
        return [_forearm_child(facts, writer, prefix)]
    if child:
        # All other limits were published for adults; a child's bone remodels.
        return []
    if site is FractureSite.DISTAL_RADIUS:
        return _distal_radius(facts, writer, prefix)
    if site is FractureSite.ANKLE:
        return [_ankle(facts, writer, prefix)]
    if site in SCAPHOID_SITES:
        days = plain(writer.value("severity.scaphoid.delay_days"))
        words = f"Scaphoid: treatment later than {days} days after injury raises the risk of non-union."
        return [
            writer.say("severity.threshold.scaphoid", words, evidence=("severity.scaphoid.delay_days",), record=record)
        ]
    if site is FractureSite.METACARPAL:
        return [_metacarpal(facts, writer, prefix)]
    limit_set = {
        FractureSite.HUMERUS_SHAFT: HUMERUS_SHAFT,
        FractureSite.HUMERUS_PROXIMAL: HUMERUS_PROXIMAL,
        FractureSite.CLAVICLE: CLAVICLE,
    }.get(site)
    return [] if limit_set is None else [limit_set.statement(writer, prefix, record)]


def forearm_limit(facts: CaseFacts) -> str:
    """Which number of `FOREARM_CHILD` holds at the child's age; the stricter one when only childhood is known."""
    return "young" if facts.younger_than(FOREARM_YOUNG_BELOW_YEARS) and facts.age_years is not None else "older"


def _forearm_child(facts: CaseFacts, writer: Writer, prefix: str) -> Statement:
    limit, older = (plain(writer.value(FOREARM_CHILD, key)) for key in (forearm_limit(facts), "older"))
    proximal = f" ({older}° in the proximal third)" if limit != older else ""
    return writer.say(
        "severity.threshold.forearm_shaft_child",
        f"{prefix}{REVIEW} angulation exceeds {limit}°{proximal} or there is malrotation; children's limits are"
        " contested.",
        evidence=(FOREARM_CHILD,),
        record=facts.fracture_record,
    )


def _metacarpal(facts: CaseFacts, writer: Writer, prefix: str) -> Statement:
    rays = ("index", "middle", "ring", "little")
    neck = join([f"{plain(writer.value(METACARPAL_NECK, ray))}° ({ray})" for ray in rays], "or")
    shaft = plain(writer.value(METACARPAL_SHAFT))
    return writer.say(
        "severity.threshold.metacarpal",
        f"{prefix}{REVIEW} neck angulation exceeds {neck}, the shaft is shortened by more than {shaft} mm, or there is"
        " any malrotation.",
        evidence=(METACARPAL_NECK, METACARPAL_SHAFT, METACARPAL_ROTATION),
        record=facts.fracture_record,
    )


def _distal_radius(facts: CaseFacts, writer: Writer, prefix: str) -> list[Statement]:
    record = facts.fracture_record
    age, tilt, shortening = (
        plain(writer.value(INSTABILITY, key)) for key in ("age_years", "dorsal_tilt_deg", "shortening_mm")
    )
    unstable = writer.say(
        "severity.threshold.distal_radius_instability",
        f"Distal radius, likely to slip: age over {age}, dorsal tilt over {tilt}°, shortening over {shortening} mm,"
        " dorsal comminution, an ulnar fracture or a displaced joint surface.",
        evidence=(INSTABILITY,),
        record=record,
    )
    timing = _radius_timing(facts, writer)
    if facts.at_least(OLDER_FROM_YEARS):
        return [unstable, _older_radius(facts, writer), timing]
    limits = WRIST_UNDER_65.statement(writer, prefix, record)
    if facts.age_years is not None:
        return [limits, unstable, timing]
    conditional = WRIST_UNDER_65.statement(writer, f"{prefix}if the patient is an adult under 65, ", record)
    return [conditional, unstable, timing]


def _radius_timing(facts: CaseFacts, writer: Writer) -> Statement:
    hours = plain(writer.value(RADIUS_TIMING, "intra_articular_h"))
    days = plain(writer.value(RADIUS_TIMING, "extra_articular_d"))
    into_joint, outside = f"within {hours} hours of injury", f"within {days} days"
    into = facts.context.intra_articular
    when = f"{into_joint} if it enters the joint, {outside} otherwise"
    if into is not None:
        when = into_joint if into else f"{outside} of injury"
    return writer.say(
        "severity.timing.distal_radius",
        f"Distal radius, if an operation is chosen: a British standard asks for it {when}; one cohort found no"
        " difference.",
        evidence=(RADIUS_TIMING,),
        record=facts.fracture_record,
    )


def _older_radius(facts: CaseFacts, writer: Writer) -> Statement:
    return writer.say(
        "severity.threshold.distal_radius_older",
        f"From {OLDER_FROM_YEARS} years operation gave no better long-term results as patients report them: let"
        " functional"
        " demand decide, not the angles alone.",
        evidence=("severity.distal_radius_adult_ge65.operation",),
        record=facts.fracture_record,
    )


def _ankle(facts: CaseFacts, writer: Writer, prefix: str) -> Statement:
    clear_space = plain(writer.value("severity.ankle.medial_clear_space_mm"))
    stress = plain(writer.value("severity.ankle.medial_clear_space_stress_mm"))
    return writer.say(
        "severity.threshold.ankle",
        f"{prefix}bimalleolar and trimalleolar fractures are unstable; test an isolated lateral malleolus with"
        f" weight-bearing films. Any talar shift or a medial clear space over {clear_space} mm"
        f" (over {stress} mm on a stress view) suggests instability.",
        evidence=_ANKLE_RULES,
        record=facts.fracture_record,
    )
