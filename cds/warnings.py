"""Every warning code this package raises, in words for the reader of the report."""

WARNINGS: dict[str, str] = {
    "cds.explanation.failed": "The heat maps could not be made; the findings do not depend on them.",
    "cds.fracture.undated": (
        "A recorded fracture carries no date, so it could not be told whether it happened in adult life;"
        " it was not counted as a previous fragility fracture."
    ),
    "cds.fracture.site_unknown": (
        "A recorded fracture carries no usable site; it was not counted as a previous fragility fracture."
    ),
    "cds.fracture.present": (
        "A fracture recorded as active and recent was taken for the present one and not counted as a previous one."
    ),
    "cds.alcohol.quantity_missing": (
        "The record names an alcohol use disorder but no daily amount; alcohol was left unknown for the risk estimate."
    ),
    "cds.diabetes.type_unknown": (
        "The record names diabetes without its type; neither type was counted in the risk estimate."
    ),
}
"""Code without detail to one sentence."""
