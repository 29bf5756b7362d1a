"""Every warning code this package raises, in words for the reader of the report."""

WARNINGS: dict[str, str] = {
    "cds.explanation.failed": "The heat maps could not be made; the findings do not depend on them.",
    "cds.fracture.undated": (
        "A recorded fracture carries no date, so it could not be told whether it happened in adult life;"
        " it was not counted as a previous fragility fracture."
    ),
    "cds.fracture.dated_by_record": (
        "A recorded fracture carries no date; it was counted as a previous fragility fracture because it was entered"
        " into the record in adult life."
    ),
    "cds.fracture.neoplastic": (
        "A recorded fracture is coded as due to a tumour of the bone; it was not counted as a fragility fracture."
    ),
    "cds.falls.count_missing": (
        "The record names repeated falls but not how many in the last year; falls were left unknown."
    ),
    "cds.glucocorticoids.recent": (
        "Systemic glucocorticoids are recorded as current but were begun less than three months ago; they were counted,"
        " which overstates the risk if the course is short."
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
    "cds.screen.on_treatment": (
        "A bone-protecting drug is being taken; the risk model does not know of treatment, so the estimate does not"
        " allow for it."
    ),
    "cds.screen.record_unusable": (
        "The record of the patient could not be used; the radiograph was assessed without it."
    ),
    "cds.screen.laterality_conflict": (
        "The header of the radiograph names the other side than the work list: make sure whose and which limb it is."
    ),
    "cds.screen.care_gaps_not_judged": (
        "The patient came as a row of risk factors without a record, so care gaps could not be looked for."
    ),
}
"""Code without detail to one sentence."""
