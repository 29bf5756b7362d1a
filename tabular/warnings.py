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
    "risk.secondary_osteoporosis.in_t_score": (
        "A cause of secondary osteoporosis is recorded; with a T-score its effect is taken to be in the bone density."
    ),
}
"""Code without detail -> one sentence for the reader."""


def describe(code: str) -> str:
    """The sentence for a code, with or without a detail.

    Raises:
        KeyError: The code is not one of this package's.
    """
    return WARNINGS[code.partition(":")[0]]
