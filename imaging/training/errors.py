"""Errors of training and evaluation."""


class TrainingDataError(Exception):
    """A data set that cannot be used: what is wrong, and how to mend it."""

    code = "imaging.training.data"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy[0].upper()}{remedy[1:]}.")
        self.remedy = remedy
