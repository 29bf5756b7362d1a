"""What is watched, in words, and what to do when it moves."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Group(StrEnum):
    """Where a monitor looks."""

    INPUT = "input"
    OUTPUT = "output"
    OUTCOME = "outcome"


class Kind(StrEnum):
    """What a monitor reads of a case."""

    NUMBER = "number"
    SHARE = "share"
    """Yes or no."""
    CATEGORY = "category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """One thing that is watched."""

    name: str
    group: Group
    kind: Kind
    title: str
    meaning: str
    """What the figure is, with its unit."""
    action: str
    """What to do when it moves."""


_EXPOSURE_ACTION: Final = (
    "Ask the radiographers whether a device, its console processing or the export window was changed; look at ten"
    " recent radiographs beside ten of the reference. Until it is explained, the detector counts as not validated here."
)
_MIX_ACTION: Final = (
    "Ask who began or stopped sending radiographs. If the new mix is to stay, compare the subgroups in the gate's"
    " report, then set a new reference."
)
_SCORE_ACTION: Final = (
    "Look at the input monitors first. If these are quiet, the share of fractures may have changed: set"
    " FRACTURE_CDS_LIMB_FRACTURE_SHARE to what is known of it, and have fifty recent cases read to check calibration."
)
_JUDGED_ACTION: Final = (
    "Have the last cases with this verdict read again by a second radiologist. If it is confirmed, retrain"
    " (cds learn retrain) and compare at the gate; roll back (cds learn rollback) if it began with a new model."
)

MONITORS: Final[tuple[Monitor, ...]] = (
    Monitor(
        name="exposure",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Exposure",
        meaning="Mean grey level of what is not black, 0 to 1.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="dark",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Dark end",
        meaning="5th percentile of the grey levels, 0 to 1.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="bright",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Bright end",
        meaning="95th percentile of the grey levels, 0 to 1.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="contrast",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Contrast",
        meaning="Range from the 1st to the 99th percentile of the smoothed picture, 0 to 1.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="sharpness",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Sharpness",
        meaning="Fine edges relative to coarse ones; low when blurred.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="size",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Size",
        meaning="Longer side of the radiograph, pixels.",
        action="Check the export: thumbnails, screenshots or a new matrix size reach the detector otherwise.",
    ),
    Monitor(
        name="likeness",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Likeness to what was learned",
        meaning="Share of the radiographs learned from that lie further out, 0 to 1; small means strange.",
        action="Look at the cases with the smallest figures: which view, device or patients are new?",
    ),
    Monitor(
        name="device",
        group=Group.INPUT,
        kind=Kind.CATEGORY,
        title="Device",
        meaning="Maker and model in the DICOM header.",
        action="A device is new or gone. Have fifty of its radiographs read, and compare the verdicts, before relying"
        " on the detector there.",
    ),
    Monitor(
        name="modality",
        group=Group.INPUT,
        kind=Kind.CATEGORY,
        title="Modality",
        meaning="CR, DX or another, in the DICOM header.",
        action=_EXPOSURE_ACTION,
    ),
    Monitor(
        name="region",
        group=Group.INPUT,
        kind=Kind.CATEGORY,
        title="Region mix",
        meaning="Limb group, of the DICOM header or as the network sees it.",
        action=_MIX_ACTION,
    ),
    Monitor(
        name="age",
        group=Group.INPUT,
        kind=Kind.NUMBER,
        title="Age",
        meaning="Lower end of the ten-year age band, years.",
        action=_MIX_ACTION,
    ),
    Monitor(
        name="sex",
        group=Group.INPUT,
        kind=Kind.CATEGORY,
        title="Sex",
        meaning="Administrative sex in the record.",
        action=_MIX_ACTION,
    ),
    Monitor(
        name="positive",
        group=Group.OUTPUT,
        kind=Kind.SHARE,
        title="Positive rate",
        meaning="Share of judged radiographs with a definite or suspected fracture.",
        action=_SCORE_ACTION,
    ),
    Monitor(
        name="suspected",
        group=Group.OUTPUT,
        kind=Kind.SHARE,
        title="Suspected share",
        meaning="Share of judged radiographs between the two operating points.",
        action=_SCORE_ACTION,
    ),
    Monitor(
        name="probability",
        group=Group.OUTPUT,
        kind=Kind.NUMBER,
        title="Probability",
        meaning="Calibrated probability of a fracture, 0 to 1.",
        action=_SCORE_ACTION,
    ),
    Monitor(
        name="boxes",
        group=Group.OUTPUT,
        kind=Kind.NUMBER,
        title="Marked places",
        meaning="Boxes per judged radiograph.",
        action=_SCORE_ACTION,
    ),
    Monitor(
        name="abstained",
        group=Group.OUTPUT,
        kind=Kind.SHARE,
        title="Abstentions",
        meaning="Share of radiographs that the detector refused to judge.",
        action="Open the last refused cases: another kind of picture, blank plates or a new device send them.",
    ),
    Monitor(
        name="agreement",
        group=Group.OUTCOME,
        kind=Kind.SHARE,
        title="Agreement",
        meaning="Share of judged cases in which clinicians say what the detector said.",
        action=_JUDGED_ACTION,
    ),
    Monitor(
        name="false_alarm",
        group=Group.OUTCOME,
        kind=Kind.SHARE,
        title="False alarms",
        meaning="Share of positive calls, among those judged, that clinicians reject.",
        action=_JUDGED_ACTION,
    ),
    Monitor(
        name="missed",
        group=Group.OUTCOME,
        kind=Kind.SHARE,
        title="Missed fractures",
        meaning="Share of fractures, by what clinicians say, that the detector called not seen.",
        action=_JUDGED_ACTION,
    ),
    Monitor(
        name="calibration",
        group=Group.OUTCOME,
        kind=Kind.NUMBER,
        title="Calibration",
        meaning="What clinicians say (1 or 0) minus the probability: 0 on average while it is calibrated.",
        action="Probabilities no longer mean what they say here: recalibrate on recent cases, or retrain and compare at"
        " the gate.",
    ),
)
BY_NAME: Final = {one.name: one for one in MONITORS}
