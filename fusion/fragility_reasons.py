"""Why weak bone is more or less likely, in sentences with their evidence, and what to keep in mind beside it."""

from collections.abc import Iterator

from fhir_adapters.patient import Sex
from fusion.context import Mechanism
from fusion.facts import ADULT_FROM_YEARS, FRAGILITY_FROM_YEARS, OLDER_FROM_YEARS, CaseFacts
from fusion.fragility_causes import Cause, Causes, find_causes, long_bone_fractures
from fusion.fragility_sites import SiteClass
from fusion.results import Certainty, Statement
from fusion.sites import SITE_NAMES
from fusion.statements import CLINICIAN, IMAGE, Writer, join, percent, plain

_F = "risk.fragility."
ANY_FRACTURE = "care.fls.any_fracture_50"
GLUCOCORTICOIDS = "risk.glucocorticoids_mof.rmdopen2017"
EARLIER = "risk.previous_fracture_mof.rmdopen2017"
T_SCORE = "risk.threshold.bhof_t_score"
LESION = "severity.red_flag.pathological_fracture"

_SITES: dict[SiteClass, tuple[str, tuple[str, ...]]] = {
    SiteClass.HIP: (
        "the hip is the limb site likeliest to break from weak bone; from 50 years a low-energy hip fracture alone"
        " allows"
        " the diagnosis of osteoporosis",
        ("attributable_hip", "attributable_sites", "diagnosis_by_fracture"),
    ),
    SiteClass.TYPICAL: (
        "a typical site of fragility fractures, put down to osteoporosis less often than the hip",
        ("sites", "attributable_other"),
    ),
    SiteClass.OTHER: (
        "not among the commonest sites of fragility fractures, but such bones break from weakness too",
        ("sites", "attributable_other"),
    ),
    SiteClass.DISPUTED: (
        "sources disagree: one leaves hand, foot and ankle out, another counts any fracture from 50 years; the range"
        " covers"
        " both",
        ("not_counted",),
    ),
    SiteClass.NOT_COUNTED: ("fingers and toes are not counted", ("not_counted",)),
}


def reasons_for(
    facts: CaseFacts, writer: Writer, classes: frozenset[SiteClass], causes: Causes
) -> tuple[Statement, ...]:
    """Mechanism, age, site, sex, bone density and causes, each in one sentence."""
    return (
        _mechanism(facts, writer),
        _age(facts, writer),
        _site(facts, writer, classes),
        *_sex(facts, writer),
        *_density(facts, writer, classes, causes),
        *_causes(writer, causes),
    )


def _mechanism(facts: CaseFacts, writer: Writer) -> Statement:
    mechanism = facts.context.mechanism
    rule = "fragility.mechanism"
    if mechanism is None:
        text = "Mechanism not stated: the range covers both a fall from standing height and high-energy trauma."
        return writer.say(rule, text, evidence=(f"{_F}definition",), certainty=Certainty.COMPUTED)
    if mechanism is Mechanism.LOW_ENERGY:
        text = "Low-energy mechanism, a fall from standing height or less: this is what defines a fragility fracture."
        return writer.say(rule, text, evidence=(f"{_F}definition",), record=(CLINICIAN,))
    women = plain(writer.value(f"{_F}high_trauma_density"))
    low = plain(writer.value(f"{_F}high_trauma_density", "women_low_trauma"))
    text = (
        "High-energy mechanism lowers the likelihood and does not exclude weak bone: for each standard deviation of"
        " lower"
        f" density older women had {women} times the high-trauma fractures and {low} times the low-trauma ones."
    )
    evidence = (f"{_F}high_trauma_density", f"{_F}high_trauma_next")
    return writer.say(rule, text, evidence=evidence, record=(CLINICIAN,))


def _age(facts: CaseFacts, writer: Writer) -> Statement:
    age, rule = facts.age_years, "fragility.age"
    if age is None:
        text = "Age not known: the range covers every adult age."
        return writer.say(rule, text, evidence=(f"{_F}below_50",), certainty=Certainty.COMPUTED)
    if age >= OLDER_FROM_YEARS:
        return writer.say(
            rule, f"Age from {OLDER_FROM_YEARS} years: raises the likelihood.", evidence=(f"{_F}attributable_sites",)
        )
    if age >= FRAGILITY_FROM_YEARS:
        text = f"Age from {FRAGILITY_FROM_YEARS} years: the age at which fragility fractures are looked for."
        return writer.say(rule, text, evidence=(ANY_FRACTURE,))
    text = (
        f"Age below {FRAGILITY_FROM_YEARS} years: lowers the likelihood; below this age risk is assessed only with a"
        " major risk"
        " factor,"
        " though low-energy hip and wrist fractures of younger adults went with lower bone density."
    )
    return writer.say(rule, text, evidence=(f"{_F}below_50", f"{_F}young_hip", f"{_F}young_wrist"))


def _site(facts: CaseFacts, writer: Writer, classes: frozenset[SiteClass]) -> Statement:
    site, rule = facts.context.site, "fragility.site"
    if site is None:
        text = "Site not stated: the range covers every site that the radiograph may show."
        record = (IMAGE,) if facts.region is not None else ()
        return writer.say(rule, text, evidence=(f"{_F}sites",), record=record, certainty=Certainty.COMPUTED)
    (kind,) = classes
    words, names = _SITES[kind]
    evidence = (*(_F + name for name in names), *((ANY_FRACTURE,) if kind is SiteClass.DISPUTED else ()))
    name = SITE_NAMES[site]
    return writer.say(rule, f"{name[:1].upper()}{name[1:]}: {words}.", evidence=evidence, record=(CLINICIAN,))


def _sex(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    if facts.sex is Sex.FEMALE:
        return
    text = (
        "Man: panels put smaller shares down to osteoporosis in men; this lowers the lower end."
        if facts.sex is Sex.MALE
        else "Sex not known: the lower end is that of men."
    )
    yield writer.say("fragility.sex", text, evidence=(f"{_F}attributable_other",))


def _density(facts: CaseFacts, writer: Writer, classes: frozenset[SiteClass], causes: Causes) -> Iterator[Statement]:
    scores, rule = facts.t_scores, "fragility.density"
    if causes.osteoporosis is not None:
        words, resources = causes.osteoporosis.words, causes.osteoporosis.resources
        text = f"{words[:1].upper()}{words[1:]}: raises the whole range."
        yield writer.say(rule, text, evidence=(T_SCORE,), record=resources)
    elif not scores:
        text = "Bone density not known: it moves nothing here and would narrow the range."
        yield writer.say(rule, text, evidence=(f"{_F}density_not_needed",), certainty=Certainty.COMPUTED)
    elif causes.osteopenia:
        site, score = scores[0]
        text = f"T-score {score.value:.1f} ({site}), below normal: moves nothing for this site and mechanism."
        if classes == {SiteClass.TYPICAL} and facts.context.mechanism is Mechanism.LOW_ENERGY:
            text = (
                f"T-score {score.value:.1f} ({site}), below normal: with it a low-energy fracture at this site"
                " counts as"
                " osteoporosis, or in some cases does; raises the lower end."
            )
        yield writer.say(rule, text, evidence=(f"{_F}diagnosis_by_fracture",), record=(score.resource,))
    else:
        site, score = scores[0]
        low = percent(writer.value(f"{_F}density_not_needed", "low"))
        text = (
            f"T-score {score.value:.1f} ({site}): a normal density lowers the lower end and excludes nothing; {low}"
            " or more"
            " of older women's fractures happen above -2.5."
        )
        yield writer.say(rule, text, evidence=(f"{_F}density_not_needed",), record=(score.resource,))


def _causes(writer: Writer, causes: Causes) -> Iterator[Statement]:
    strong = [
        ("fragility.glucocorticoids", causes.glucocorticoids, (GLUCOCORTICOIDS,)),
        ("fragility.coded_fracture", causes.coded_fracture, (f"{_F}diagnosis_by_fracture",)),
        ("fragility.brittle_bone", causes.brittle_bone, (f"{_F}rule",)),
    ]
    for rule, cause, evidence in strong:
        if cause is not None:
            yield _cause(writer, rule, cause, "raises the whole range", evidence)
    if causes.earlier_fracture is not None:
        effect = "its mechanism is not recorded; raises the upper end"
        yield _cause(writer, "fragility.earlier_fracture", causes.earlier_fracture, effect, (EARLIER,))
    if causes.secondary:
        every = Cause(
            words=join([one.words for one in causes.secondary]),
            resources=tuple(dict.fromkeys(one for cause in causes.secondary for one in cause.resources)),
        )
        yield _cause(writer, "fragility.secondary_causes", every, "raises the upper end", (f"{_F}secondary_causes",))


def _cause(writer: Writer, rule: str, cause: Cause, effect: str, evidence: tuple[str, ...]) -> Statement:
    text = f"{cause.words[:1].upper()}{cause.words[1:]}: {effect}."
    return writer.say(rule, text, evidence=evidence, record=cause.resources)


# --- remarks


def remarks_for(facts: CaseFacts, writer: Writer, classes: frozenset[SiteClass]) -> tuple[Statement, ...]:
    """What to keep in mind, and what would narrow the range."""
    child = facts.younger_than(ADULT_FROM_YEARS)
    return (
        *(_child(facts, writer) if child else ()),
        *_coded_as_pathological(facts, writer),
        *(() if child or facts.pathological else _to_narrow(facts, writer, classes)),
    )


def _child(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    fractures = long_bone_fractures(facts)
    references = tuple(one for one in fractures if one != "present")
    if len(fractures) > 1:
        two, three = (
            plain(writer.value(f"{_F}child", name)) for name in ("fractures_before_10", "fractures_before_19")
        )
        text = (
            f"{len(fractures)} long-bone fractures are known; how the earlier ones happened is not recorded."
            f" {two} before 10 or {three} before 19 years with low bone density define osteoporosis in a child."
        )
        yield writer.say("fragility.child.several", text, evidence=(f"{_F}child",), record=references)
    brittle = find_causes(facts).brittle_bone
    if brittle is not None:
        text = "Osteogenesis imperfecta in the record: involve the child's bone specialist."
        yield writer.say("fragility.child.brittle_bone", text, record=brittle.resources)


def _coded_as_pathological(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    coded = find_causes(facts).coded_fracture
    if coded is None or facts.pathological:
        return
    text = (
        "The record codes a fracture as pathological, which may mean osteoporosis or a lesion: look for a lesion"
        " before it is"
        " put down to osteoporosis."
    )
    yield writer.say("fragility.coded_pathological", text, evidence=(LESION,), record=coded.resources)


def _density_would_help(facts: CaseFacts) -> bool:
    """Not where it is known, nor after high-energy trauma below 50 years, where nobody would measure it."""
    young_crash = facts.context.mechanism is Mechanism.HIGH_ENERGY and facts.younger_than(FRAGILITY_FROM_YEARS)
    return not facts.t_scores and find_causes(facts).osteoporosis is None and not young_crash


def _to_narrow(facts: CaseFacts, writer: Writer, classes: frozenset[SiteClass]) -> Iterator[Statement]:
    if classes == {SiteClass.NOT_COUNTED}:
        return
    wanted = [
        words
        for words, missing in (
            ("the mechanism", facts.context.mechanism is None),
            ("the age", facts.age_years is None),
            ("the site", facts.context.site is None and len(classes) > 1),
            ("a bone density", _density_would_help(facts)),
        )
        if missing
    ]
    if wanted:
        text = f"To narrow the range: {join(wanted)}."
        yield writer.say("fragility.to_narrow", text, certainty=Certainty.COMPUTED)
