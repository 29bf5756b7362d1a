"""Errors of the tabular branch.

    TabularError                  risk.error
    +-- AgeMissingError           risk.age.missing        no age: no estimate
    +-- AgeBelowModelError        risk.age.below_model    younger than the model's population
    +-- AnchorError               risk.anchor.*           a table of a population's risk that cannot be used
    +-- CohortError               risk.cohort.*           a survey file that cannot be read as one
    +-- WeightsError              risk.weights.*          shipped model files
        +-- WeightsMissingError   risk.weights.missing
        +-- WeightsDigestError    risk.weights.digest     a file is not the one the manifest names
        +-- ManifestError         risk.weights.manifest
        +-- IntervalsError        risk.weights.intervals  the table of intervals lacks a level

Messages carry no patient data: no age, no value of a feature.
"""


class TabularError(Exception):
    """Base of all errors raised here: what went wrong, and how to mend it.

    Attributes:
        code: Dotted identifier, stable across releases.
        remedy: One sentence that says what to do.
    """

    code: str = "risk.error"

    def __init__(self, message: str, *, remedy: str, code: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        if code is not None:
            self.code = code


class AgeMissingError(TabularError):
    """The risk of a person of unknown age cannot be estimated: age drives it more than anything else."""

    code = "risk.age.missing"

    def __init__(self) -> None:
        super().__init__(
            "the age is not known, so the ten-year fracture probability cannot be estimated",
            remedy="Record the date of birth (or the age) and assess again.",
        )


class AgeBelowModelError(TabularError):
    """Published ten-year probabilities start at 40 years; below it there is nothing to learn from."""

    code = "risk.age.below_model"

    def __init__(self, minimum_years: int) -> None:
        super().__init__(
            f"the person is younger than {minimum_years} years, the youngest age the risk model was taught",
            remedy="Judge fracture risk clinically; ten-year probabilities are not defined at this age.",
        )


class CohortError(TabularError):
    """A survey file that cannot be read, or lacks what was asked of it."""

    code = "risk.cohort.unreadable"


class AnchorError(TabularError):
    """A table of a population's mean risk that cannot be read or cannot be met."""

    code = "risk.anchor.invalid"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(
            f"the risk anchor cannot be used: {detail}",
            remedy="Write the file as the documentation of `tabular.anchoring` describes, or unset it.",
            code=code,
        )


class WeightsError(TabularError):
    """Something is wrong with the files of a trained model."""

    code = "risk.weights"


class WeightsMissingError(WeightsError):
    """A file of the model is not there."""

    code = "risk.weights.missing"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"model file {name!r} is not in the weights folder",
            remedy="Restore the folder from the release, or train again with `tabular.training.train`.",
        )


class WeightsDigestError(WeightsError):
    """A file of the model differs from the one that was measured and released."""

    code = "risk.weights.digest"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"model file {name!r} does not have the SHA-256 digest that the manifest states",
            remedy="Do not use it: restore the file from the release, or train again.",
        )


class ManifestError(WeightsError):
    """The manifest is not one this release understands."""

    code = "risk.weights.manifest"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the model manifest cannot be used: {detail}",
            remedy="Use the manifest that came with the weights, or train again with this release.",
        )


class IntervalsError(WeightsError):
    """The table of intervals has no entry for an outcome at a level of information."""

    code = "risk.weights.intervals"

    def __init__(self, head: str, level: str) -> None:
        super().__init__(
            f"the table of intervals has no entry for {head} at the level {level}",
            remedy="Restore the file from the release, or train again on a survey with people of both levels.",
        )
