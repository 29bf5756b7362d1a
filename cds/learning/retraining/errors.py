"""What can go wrong while a candidate is made."""

from cds.errors import InputError


class RetrainingError(InputError):
    """A candidate cannot be made from what was given."""

    code = "cds.learning.retraining"

    def __init__(self, problem: str, remedy: str, *, code: str | None = None) -> None:
        """Say what is wrong (no full stop) and how to mend it; neither may hold patient data."""
        super().__init__(f"{problem}.", remedy=f"{remedy[0].upper()}{remedy[1:]}.")
        if code is not None:
            self.code = code
