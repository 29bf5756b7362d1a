"""Errors of training and evaluation."""

from imaging.errors import ImagingError


class TrainingDataError(ImagingError):
    """A data set or a training configuration that cannot be used."""

    code = "imaging.training.data"

    def __init__(self, problem: str, remedy: str) -> None:
        """Say what is wrong (no full stop) and how to mend it."""
        super().__init__(f"{problem}.", remedy=f"{remedy[0].upper()}{remedy[1:]}.")
