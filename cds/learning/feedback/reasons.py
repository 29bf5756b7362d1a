"""Why a case, or a part of it, is left out, in words."""

from typing import Final

NOBODY: Final = "feedback.truth.nobody"
UNDETERMINED: Final = "feedback.truth.undetermined"
DISPUTED: Final = "feedback.truth.disputed"
SELF_CONTRADICTION: Final = "feedback.truth.self_contradiction"
PLACE_UNKNOWN: Final = "feedback.truth.place_unknown"
FINDING_UNKNOWN: Final = "feedback.truth.finding_unknown"
ROLE: Final = "feedback.truth.role"
NO_IMAGE: Final = "feedback.export.no_image"
IMAGE_UNUSABLE: Final = "feedback.export.image_unusable"
TEXT_LEFT: Final = "feedback.export.text_left"
MUCH_MASKED: Final = "feedback.export.much_masked"
LABEL_MASKED: Final = "feedback.export.label_masked"
BOX_OUTSIDE: Final = "feedback.export.box_outside"
SYNTHETIC: Final = "feedback.export.synthetic"
ERASED: Final = "feedback.export.erased_patient"
DUPLICATE: Final = "feedback.export.duplicate"
DUPLICATE_CONTRADICTS: Final = "feedback.export.duplicate_contradicts"
NO_SITE: Final = "feedback.outcome.no_site"
OUTCOMES_CONTRADICT: Final = "feedback.outcome.contradicts"
NO_TIME: Final = "feedback.outcome.no_time"
RECORD_UNUSABLE: Final = "feedback.outcome.record_unusable"

REASONS: Final[dict[str, str]] = {
    NOBODY: "No clinician or radiologist said anything about the radiograph.",
    UNDETERMINED: "What was said does not tell whether there is a fracture.",
    DISPUTED: "Readers disagree, and nobody has settled it.",
    SELF_CONTRADICTION: "A reader said two things that exclude each other, and neither replaces the other.",
    PLACE_UNKNOWN: "There is a fracture, but not every place is settled: no box is used.",
    FINDING_UNKNOWN: "Feedback speaks of a finding that the kept report does not hold.",
    ROLE: "Feedback came in a role that does not read radiographs.",
    NO_IMAGE: "No radiograph is kept with the case.",
    IMAGE_UNUSABLE: "The radiograph cannot be read or freed of identifiers.",
    TEXT_LEFT: "The file says that text is burned into the image, and none was found: a person has to look.",
    MUCH_MASKED: "So much of the image looks like text that a person has to look.",
    LABEL_MASKED: "Text that had to be painted over hides a labelled place.",
    BOX_OUTSIDE: "A labelled place lies outside the radiograph.",
    SYNTHETIC: "The image is a phantom, no patient's radiograph.",
    ERASED: "The patient's data were erased at the patient's request before.",
    DUPLICATE: "The same radiograph is in the export already, with the same answer.",
    DUPLICATE_CONTRADICTS: "The same radiograph was answered differently in another case.",
    NO_SITE: "The broken bone was not stated, or not one that healing is learned for.",
    OUTCOMES_CONTRADICT: "Follow-ups contradict each other: united first and not united later, or both at once.",
    NO_TIME: "The follow-up was at the time of the injury.",
    RECORD_UNUSABLE: "The patient's record or the bedside findings cannot be read again.",
}
"""Every code that an export or a list gives, without its detail after a colon, and its sentence."""


def sentence(code: str) -> str:
    """The words of a code; a detail after a colon follows in brackets."""
    name, _, detail = code.partition(":")
    return f"{REASONS[name]} [{detail}]" if detail else REASONS[name]
