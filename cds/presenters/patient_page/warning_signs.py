"""When to come back: signs of a tight cast, pressure in the limb, a clot or an infection, by what the case holds."""

from cds.presenters.patient_page.reader import Group, Reader
from fusion.facts import FracturePresence
from fusion.sites import LOWER_LIMB_SITES
from imaging.labels import BodyRegion

LIMB = "care.return.limb"
CAST = "care.return.cast"
CLOT = "care.return.clot"
WOUND = "care.return.wound"
REPEAT = "severity.imaging.occult_other"
_LEG_REGIONS = frozenset(
    {
        BodyRegion.PELVIS,
        BodyRegion.HIP,
        BodyRegion.FEMUR,
        BodyRegion.KNEE,
        BodyRegion.LOWER_LEG,
        BodyRegion.ANKLE,
        BodyRegion.FOOT,
    }
)


def warning_signs(reader: Reader) -> tuple[Group, ...]:
    """Groups by what to do: the emergency number, the emergency department, the team on the same day."""
    facts = reader.facts
    if facts.presence is FracturePresence.NO_IMAGE:
        lines = (reader.line("return.any_injury"),)
        return (Group(lead=reader.say("return.hospital"), lines=lines, listed=True),)
    if not facts.has_fracture:
        urgent = tuple(reader.line(f"return.{name}", (LIMB,)) for name in ("numb", "colour"))
        later = (reader.line("return.pain_stays", (REPEAT,)), reader.line("return.no_use"), reader.line("return.worry"))
        return (
            Group(lead=reader.say("return.hospital"), lines=urgent, listed=True),
            Group(lead=reader.say("return.call"), lines=later, listed=True),
        )
    leg, castless = _leg(reader), reader.castless
    wound = facts.open_fracture is True or facts.context.operated is True or facts.is_hip
    emergency = (reader.line("return.clot_lungs", (CLOT,)),) if leg else ()
    limb = (
        ("pain_plain", "numb", "colour", "move") if castless else ("pain", "numb", "colour", "move", "tight", "smell")
    )
    hospital = [reader.line(f"return.{name}", (LIMB,)) for name in limb]
    if leg:
        hospital.append(reader.line("return.clot_leg", (CLOT,)))
    if wound:
        hospital += [reader.line(f"return.{name}", (WOUND,)) for name in ("infection", "fever")]
    cast = () if castless else ("cast_broken", "cast_object")
    call = [reader.line(f"return.{name}", (CAST,)) for name in cast]
    call.append(reader.line("return.worry"))
    groups = (
        Group(lead=reader.say("return.emergency"), lines=emergency, listed=True),
        Group(lead=reader.say("return.hospital"), lines=tuple(hospital), listed=True),
        Group(lead=reader.say("return.call"), lines=tuple(call), listed=True),
    )
    return tuple(group for group in groups if group.lines)


def _leg(reader: Reader) -> bool:
    """Whether a leg is hurt: by the stated site, else by the radiograph; an unknown limb counts as a leg."""
    site, region = reader.facts.context.site, reader.facts.region
    if site is not None:
        return site in LOWER_LIMB_SITES
    return region is None or region in _LEG_REGIONS
