"""Errors of the model of recorded healing times.

TabularError                 risk.error
+-- OutcomesError            healing.outcomes.*      a table of outcomes that cannot be used
+-- HealingModelError        healing.model.*         a folder that is not a model of this release
"""

from tabular.errors import TabularError


class OutcomesError(TabularError):
    """A table of recorded outcomes that cannot be read, or lacks what is needed."""

    code = "healing.outcomes.invalid"


class HealingModelError(TabularError):
    """A folder that holds no usable model of recorded outcomes."""

    code = "healing.model.invalid"
