"""Every warning the image branch may attach to a result, with the sentence a reader sees.

A warning is a dotted code; a colon may add a detail (``imaging.frames.several:3``). The mapping is keyed by the code
without detail.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WARNINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "imaging.spacing.missing": "The file does not state a pixel spacing: no lengths in millimetres are given.",
        "imaging.spacing.detector_plane": (
            "The pixel spacing holds at the detector, not in the patient: lengths in millimetres are too large by the "
            "radiographic magnification."
        ),
        "imaging.spacing.implausible": (
            "The pixel spacing in the file is not plausible for a radiograph and was not used."
        ),
        "imaging.spacing.anisotropic": (
            "The pixels are stated not to be square, which radiographs are; the pixel spacing was not used."
        ),
        "imaging.frames.several": "The file holds several images; only one of them was judged.",
        "imaging.region.missing": "The file does not state the body part: check that the image shows a limb.",
        "imaging.region.unspecific": "The file states only that a limb is shown, not which part of it.",
        "imaging.region.unrecognised": "The body part stated in the file is not a known term and was ignored.",
        "imaging.region.from_description": (
            "The body part was read from a free-text description, not from the field meant for it."
        ),
        "imaging.region.conflict": "The fields of the file contradict each other about the body part.",
        "imaging.modality.unspecific": (
            "The file does not say that it is a radiograph (modality OT or secondary capture): check that it is one."
        ),
        "imaging.presentation.for_processing": (
            "The image is raw detector data (for processing), not the image meant for reading."
        ),
        "imaging.window.derived": (
            "The file gives no display window: brightness was set from the image's own grey values."
        ),
        "imaging.window.invalid": (
            "The display window in the file cannot be used: brightness was set from the image's own grey values."
        ),
        "imaging.polarity.suspect": (
            "The image looks inverted (bone dark on a bright background); it was judged as it is. "
            "Send it with bone bright."
        ),
        "imaging.colour.converted": (
            "The image has colour and was converted to grey: it may carry drawings or not be a radiograph."
        ),
        "imaging.content.low_contrast": "The image has very little contrast.",
        "imaging.content.few_grey_levels": "The image has too few grey levels for fine lines to show.",
        "imaging.annotation.burned_in": (
            "Text is burned into the image: it may mislead the detector and may name the patient."
        ),
        "imaging.scope.outside": (
            "The image does not look like a radiograph of a limb, shoulder, pelvis or hip: it was not judged."
        ),
        "imaging.scope.unusual": (
            "The image looks unlike nearly all radiographs the model was made for: read the result with caution."
        ),
        "imaging.scope.not_checked": (
            "It was not checked from the pixels that the image is a radiograph of a limb, shoulder, pelvis or hip."
        ),
        "imaging.quality.blank": "Nothing can be made out on the image: it was not judged.",
        "imaging.quality.too_bright": "Most of the image is pure white: detail of the bone may be lost.",
        "imaging.quality.too_dark": "Nearly all of the image is black: detail of the bone may be lost.",
        "imaging.quality.blurred": "The image is blurred, by motion or by scaling: fine fracture lines cannot show.",
        "imaging.identifiers.missing": (
            "The DICOM identifiers of the image are incomplete: results cannot be filed beside it in the PACS."
        ),
        "imaging.geometry.box_too_small": "The marked area is too small, or lies outside the image, to measure in it.",
        "imaging.geometry.low_contrast": (
            "The image has too little contrast around the fracture for bone edges to be traced."
        ),
        "imaging.geometry.no_edges": "No pair of bone edges could be traced around the fracture.",
        "imaging.geometry.one_fragment": (
            "Only one fragment has edges that can be traced, so there is nothing to compare it with."
        ),
        "imaging.geometry.not_a_shaft": (
            "The bone around the fracture is not a straight shaft (a joint, a small bone or overlying bones)."
        ),
        "imaging.geometry.too_narrow": "The bone is only a few pixels wide: too little to measure on.",
        "imaging.geometry.too_short": "Too short a stretch of a fragment's edges is visible to give it an axis.",
        "imaging.geometry.unlike_widths": (
            "The edges found on the two sides of the fracture are unlike in width: they may belong to different bones."
        ),
        "imaging.geometry.hardware": "A nail or plate seems to lie along the bone and hides its edges.",
        "imaging.geometry.too_uncertain": "The edges leave the value too uncertain to be of use.",
        "imaging.geometry.no_line": "No fracture line stands out clearly enough to be measured.",
        "imaging.geometry.not_among_best": "Only definite findings, or else the best suspected one, are measured.",
        "imaging.geometry.no_overlap": "The fragments are not seen to lie side by side: no shortening was measured.",
        "imaging.geometry.no_calibrated_spacing": (
            "Without a pixel spacing calibrated to the patient, lengths are given in pixels only."
        ),
        "imaging.bone_age.not_a_hand": (
            "Skeletal age is read from radiographs of the hand only; this one shows another part of the body."
        ),
        "imaging.bone_age.adult": "Skeletal age is read in children and adolescents under 19 only.",
        "imaging.bone_age.age_unknown": (
            "Skeletal age was not read: the record gives no age, so it is not known whether this is a child's hand."
        ),
        "imaging.bone_age.not_judged": "Skeletal age was not read: the radiograph is not fit to be judged.",
        "imaging.bone_age.unlike_hands": (
            "Skeletal age was not read: the picture is unlike the whole, frontal hands that the model learned from."
        ),
        "imaging.bone_age.not_installed": "Skeletal age was not read: no weights for it are installed.",
        "imaging.bone_age.model_unusable": "Skeletal age was not read: its weights are damaged or do not fit.",
        "imaging.bone_age.few_infants": (
            "Few hands of children under two years were learned from: skeletal age is less sure there."
        ),
        "imaging.bone_age.near_maturity": (
            "The hand is nearly mature: once its growth plates have closed, skeletal age says nothing more."
        ),
        "imaging.bone_age.sex_unknown": (
            "Sex is not recorded: girls mature earlier than boys, so skeletal age is less sure."
        ),
        "imaging.bone_age.no_standard": (
            "Skeletal age was not compared with chronological age: the table has no standard deviation for this age."
        ),
        "imaging.bone_age.no_standard_without_sex": (
            "Skeletal age was not compared with chronological age: the standards need the sex, which is not recorded."
        ),
    }
)
"""Code without detail to one sentence for the reader."""
