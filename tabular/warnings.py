"""Every warning code of the tabular branch, in words. A code may carry a detail after a colon."""

WARNINGS: dict[str, str] = {
    "risk.age.top_coded": (
        "The survey that taught the model records every age of 80 or more as 80, so the estimate is that of all people "
        "of 80 and over."
    ),
    "risk.age.above_model": "The person is older than 90; the estimate is that of people of 80 and over.",
    "risk.sex.missing": "Sex is not recorded; the estimate is an average of women and men.",
    "risk.bone_density.missing": (
        "No femoral neck T-score: the estimate averages over the bone densities of people with the same risk factors."
    ),
    "risk.inputs.few": "Fewer than half of the inputs are known: the estimate mostly reflects age.",
    "risk.bmi.derived": "The body mass index was calculated from the recorded weight and height.",
    "risk.value.implausible": "A value outside the plausible range was treated as not known.",
    "risk.prior_fracture.from_recent": "A recent fracture is recorded, so a prior fracture was counted.",
    "risk.major.raised_to_hip": (
        "The probability of a major osteoporotic fracture was raised to that of a hip fracture, which it includes."
    ),
    "risk.diabetes.both_types": "Both types of diabetes are recorded; only type 1 was counted.",
    "risk.anchor.applied": (
        "The probability was moved to the mean risk of another population; its ranking and its reasons are unchanged."
    ),
    "risk.anchor.not_covered": (
        "The table of the population's risk does not cover this age and sex: the probability is that of the US survey."
    ),
    "risk.bmi.beyond_taught": (
        "The body mass index lies outside 15 to 45 kg/m2, where the survey has few people: the estimate is that of the "
        "nearest people it has."
    ),
    "risk.comorbidities.several": (
        "Three or more diseases or drugs each multiply the risk by a published ratio: together they are less certain "
        "than one alone, and death from other causes is not taken off."
    ),
    "risk.secondary_osteoporosis.in_t_score": (
        "A cause of secondary osteoporosis is recorded; with a T-score its effect is taken to be in the bone density."
    ),
}
"""Code without detail -> one sentence for the reader."""


REASONS: dict[str, str] = {
    "risk.osteoporosis.t_score_known": (
        "The femoral neck T-score is known, so there is nothing to guess about osteoporosis at this site."
    ),
    "risk.osteoporosis.already_diagnosed": "Osteoporosis is diagnosed already.",
    "risk.osteoporosis.no_model": "The model folder in use was written before this estimate existed.",
}
"""Why an estimate is absent: code -> one sentence for the reader. Not warnings: nothing is amiss."""


def describe(code: str) -> str:
    """The sentence for a warning or a reason, with or without a detail.

    Raises:
        KeyError: The code is not one of this package's.
    """
    bare = code.partition(":")[0]
    return REASONS[bare] if bare in REASONS else WARNINGS[bare]
