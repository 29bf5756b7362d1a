"""Errors of skeletal age.

::

    OutsideIntendedUseError
    +-- NotReadAsHandError       imaging.bone_age.unlike_hands    the picture is not like the hands learned from
    ModelFilesError
    +-- BoneAgeNotInstalledError imaging.model.bone_age_missing   there are no weights
    TrainingDataError
    +-- TooFewHandsError         imaging.training.too_few_hands   no interval can be set on so few
"""

from imaging.errors import ModelFilesError, OutsideIntendedUseError
from imaging.training.errors import TrainingDataError


class NotReadAsHandError(OutsideIntendedUseError):
    """The picture looks unlike nearly all hands learned from."""

    code = "imaging.bone_age.unlike_hands"

    default_remedy = "Give a frontal radiograph of a child's whole hand with the wrist, fingers up."

    def __init__(
        self,
        message: str = "The picture does not look like a whole hand seen from the front.",
        *,
        remedy: str | None = None,
    ) -> None:
        """No figure of the picture is repeated."""
        super().__init__(message, remedy=remedy)


class BoneAgeNotInstalledError(ModelFilesError):
    """The folder of the weights holds no manifest."""

    code = "imaging.model.bone_age_missing"

    default_remedy = "Train them with `cds train bone-age`, or name their folder in FRACTURE_CDS_BONE_AGE_DIR."

    def __init__(
        self, message: str = "No weights for skeletal age are installed.", *, remedy: str | None = None
    ) -> None:
        """Says how to get the weights."""
        super().__init__(message, remedy=remedy)


class TooFewHandsError(TrainingDataError):
    """No interval can be set or measured on so few hands."""

    code = "imaging.training.too_few_hands"

    def __init__(self, count: int) -> None:
        """Name the number."""
        super().__init__(f"{count} hands are too few to set or measure an interval on", "give more hands")
