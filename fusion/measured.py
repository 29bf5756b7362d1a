"""What the image analysis measured, held against the published limits with its uncertainty.

A whole 90 % interval beyond a limit is a reason; an interval that holds the limit says so; an interval within it clears
nothing, because one view shows one plane. Only measures that mean the same as the limit are compared: the angle between
the fragments' axes is no dorsal tilt of a joint surface, so the distal radius is not among them.
"""

from dataclasses import dataclass
from enum import StrEnum

from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.results import Statement
from fusion.sites import FractureSite
from fusion.statements import IMAGE, Writer, plain
from fusion.thresholds import FOREARM_CHILD, forearm_limit
from imaging.labels import View
from imaging.results import FractureGeometry, Measurement

ONE_VIEW = "severity.measure.one_view"
SYNTHETIC = "severity.measure.synthetic"
SHOWN_FROM = 0.5
"""A view or metal less probable than this is taken as not on the radiograph."""


class Against(StrEnum):
    """Where an interval lies."""

    BEYOND = "beyond"
    STRADDLES = "straddles"
    WITHIN = "within"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One measure and the limits it is held against, by plane where they differ."""

    measure: str
    """Field of `FractureGeometry`."""
    words: str
    unit: str
    frontal: str
    """Entry of the limit on a frontal view, or on any view."""
    lateral: str | None = None
    """Entry of the limit on a lateral view where it is another one."""
    number: str = "value"
    """Which number of the entry is the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One measure against its limit."""

    against: Against
    statement: Statement


def _compared(
    group: str, *measures: tuple[str, str, str, str] | tuple[str, str, str, str, str]
) -> tuple[_Compared, ...]:
    return tuple(
        _Compared(
            measure=one[0],
            words=one[1],
            unit=one[2],
            frontal=f"severity.{group}.{one[3]}",
            lateral=f"severity.{group}.{one[4]}" if len(one) == 5 else None,
        )
        for one in measures
    )


_ADULT: dict[FractureSite, tuple[_Compared, ...]] = {
    FractureSite.TIBIAL_SHAFT: _compared(
        "tibia_shaft_adult",
        ("angulation_deg", "angulation", "°", "coronal_deg", "sagittal_deg"),
        ("shortening_mm", "shortening", " mm", "shortening_mm"),
        ("displacement_percent", "displacement", " % of the width", "translation_pct"),
    ),
    FractureSite.HUMERUS_SHAFT: _compared(
        "humerus_shaft",
        ("angulation_deg", "angulation", "°", "varus_deg", "anterior_angulation_deg"),
        ("shortening_mm", "shortening", " mm", "shortening_mm"),
    ),
    FractureSite.CLAVICLE: _compared(
        "clavicle_midshaft",
        ("displacement_percent", "displacement", " % of the width", "displacement_pct"),
        ("shortening_mm", "shortening", " mm", "shortening_mm"),
    ),
    FractureSite.METACARPAL: _compared(
        "metacarpal_shaft",
        ("shortening_mm", "shortening", " mm", "shortening_mm"),
    ),
}
_CHILD: dict[FractureSite, tuple[_Compared, ...]] = {
    FractureSite.TIBIAL_SHAFT: _compared(
        "tibia_shaft_child",
        ("angulation_deg", "angulation", "°", "coronal_deg", "sagittal_deg"),
        ("shortening_mm", "shortening", " mm", "shortening_mm"),
    ),
}


def measured_findings(facts: CaseFacts, writer: Writer) -> tuple[Finding, ...]:
    """Every measure of the most certain detection that a published limit of the site is meant for."""
    geometry = _geometry(facts)
    if geometry is None or facts.age_years is None or len(facts.sites) != 1 or metal(facts):
        return ()
    rules = _rules(facts)
    found: list[Finding] = []
    for rule in rules:
        value: Measurement | None = getattr(geometry, rule.measure)
        if value is not None:
            found.append(_against(rule, value, facts, writer))
    return tuple(found)


def _rules(facts: CaseFacts) -> tuple[_Compared, ...]:
    site = facts.sites[0]
    if not facts.younger_than(ADULT_FROM_YEARS):
        return _ADULT.get(site, ())
    if site is FractureSite.FOREARM_SHAFT:
        limit = forearm_limit(facts)
        return (_Compared(measure="angulation_deg", words="angulation", unit="°", frontal=FOREARM_CHILD, number=limit),)
    return _CHILD.get(site, ())


def metal(facts: CaseFacts) -> bool:
    """A plate, screw or nail is on the radiograph, as far as the network tells: measures then mean something else."""
    attributes = None if facts.findings is None else facts.findings.attributes
    shown = None if attributes is None else attributes.hardware_probability
    return shown is not None and shown >= SHOWN_FROM


def not_compared(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Why a measured fracture was held against no limit."""
    geometry = _geometry(facts)
    if geometry is None or not any(
        one is not None for one in (geometry.angulation_deg, geometry.shortening_px, geometry.displacement_px)
    ):
        return None
    if metal(facts):
        text = "Metal on the radiograph: the measurements were held against no limit."
    elif facts.sites == (FractureSite.DISTAL_RADIUS,):
        text = (
            "Distal radius: the limits are for the tilt and the height of the joint surface, which the image"
            " analysis does not"
            " measure."
        )
    elif len(facts.sites) != 1 or facts.age_years is None:
        text = "The measurements were held against no limit: site or age is not known."
    else:
        return None
    return writer.say("severity.not_judged.limits", text, evidence=(SYNTHETIC,), record=(IMAGE,))


def _geometry(facts: CaseFacts) -> FractureGeometry | None:
    """Of the first, most certain detection; none when the fracture itself is not in question."""
    if not facts.has_fracture or facts.findings is None or not facts.findings.detections:
        return None
    return facts.findings.detections[0].geometry


def _view(facts: CaseFacts) -> View | None:
    """The direction of the radiograph when it surely shows one view only."""
    attributes = None if facts.findings is None else facts.findings.attributes
    if attributes is None:
        return None
    shown = [view for view, probability in attributes.views if probability >= SHOWN_FROM]
    return shown[0] if len(shown) == 1 and shown[0] is not View.OBLIQUE else None


def _against(rule: _Compared, value: Measurement, facts: CaseFacts, writer: Writer) -> Finding:
    view = _view(facts)
    entries = (rule.frontal,) if rule.lateral is None else (rule.frontal, rule.lateral)
    if rule.lateral is not None and view is not None:
        entries = (rule.lateral,) if view is View.LATERAL else (rule.frontal,)
    limits = sorted(writer.value(one, rule.number) for one in entries)
    against = (
        Against.BEYOND if value.low > limits[-1] else Against.WITHIN if value.high <= limits[0] else Against.STRADDLES
    )
    if against is Against.BEYOND and writer.evidence.only_unverified(entries):
        against = Against.STRADDLES
    limit = " or ".join(f"{plain(one)}{rule.unit}" for one in dict.fromkeys(limits))
    if len(limits) > 1:
        limit += " (by plane; the view is not known)"
    size = f"{rule.words} {value.value:.1f}{rule.unit} (90 % interval {value.low:.1f} to {value.high:.1f})"
    ending = {
        Against.BEYOND: f"lies beyond the limit of {limit}: measure it and consider surgical referral",
        Against.STRADDLES: f"neither surely beyond nor within the limit of {limit}; measure it on the radiograph",
        Against.WITHIN: f"lies within the limit of {limit} on this view; other plane and rotation stay open",
    }[against]
    prefix = "If confirmed: measured" if facts.only_suspected else "Measured"
    statement = writer.say(
        f"severity.measured.{rule.measure.rpartition('_')[0]}",
        f"{prefix} {size}: {ending}.",
        evidence=(*entries, SYNTHETIC, ONE_VIEW),
        record=(IMAGE,),
    )
    return Finding(against=against, statement=statement)
