"""Every warning code this package raises, in words for the reader of the report."""

WARNINGS: dict[str, str] = {
    "fusion.evidence.unknown_id": (
        "The risk estimate cites evidence that the evidence base does not hold; that source cannot be shown."
    ),
    "fusion.calcium_diet.implausible": (
        "The stated dietary calcium is not a plausible daily amount; it was left out of the advice."
    ),
    "fusion.context.contradiction": (
        "Two of the clinician's statements contradict each other; the more serious reading was used."
    ),
    "fusion.context.site_region_mismatch": (
        "The stated fracture site does not lie in the body region of the radiograph; check that both belong together."
    ),
    "fusion.lab.old": "A laboratory result is older than one year; it may no longer describe the patient.",
}
"""Code without detail to one sentence."""
