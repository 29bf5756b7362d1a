"""A trained folder read again: one person in, `LearnedHealing` out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost as xgb

from tabular.healing.boosting import FEATURES, log_weeks
from tabular.healing.errors import HealingModelError
from tabular.healing.outcomes import SITE_GROUPS, HealingRow
from tabular.healing.training import MANIFEST_FILE, SCHEMA
from tabular.model import sha256_of
from tabular.results import HealingComparison, LearnedHealing

_REMEDY = "Train the folder again with `cds train healing`, or unset FRACTURE_CDS_HEALING_DIR."


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingModel:
    """A model of one site's recorded outcomes."""

    model_id: str
    booster: xgb.Booster
    shift: float
    sigma: float
    groups: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, folder: Path) -> "HealingModel":
        """Read a folder and check it against its manifest.

        Raises:
            HealingModelError: a file is missing, is not the one of the manifest, or the manifest is not of this
                release.
        """
        manifest = _read_manifest(folder)
        try:
            weights = folder / str(manifest["file"])
            if weights.parent != folder or sha256_of(weights) != manifest["sha256"]:
                raise HealingModelError(
                    "the model of recorded outcomes is not the file that its manifest names", remedy=_REMEDY
                )
            booster = xgb.Booster()
            booster.load_model(weights)
            return cls(
                model_id=str(manifest["model_id"]),
                booster=booster,
                shift=float(manifest["shift"]),
                sigma=float(manifest["sigma"]),
                groups=manifest["groups"],
            )
        except (OSError, KeyError, TypeError, ValueError, xgb.core.XGBoostError) as error:
            raise HealingModelError("the model of recorded outcomes cannot be read", remedy=_REMEDY) from error

    def estimate(self, row: HealingRow, start_log_weeks: float) -> LearnedHealing | None:
        """What the model says of one fracture; None for a group of bones it was not taught.

        Args:
            row: what is known of the fracture.
            start_log_weeks: `Forecast.base_log_median` of the same fracture.
        """
        found = self.groups.get(SITE_GROUPS[row.site])
        if found is None:
            return None
        weight = float(found["weight"])
        compared = found["comparison"]
        value = None if weight <= 0 else log_weeks(self.booster, [row], [start_log_weeks])[0] + self.shift
        return LearnedHealing(
            model_id=self.model_id,
            group=SITE_GROUPS[row.site],
            cases=int(found["cases"]),
            events=int(found["events"]),
            weight=weight,
            log_median=value,
            log_sigma=None if value is None else self.sigma,
            comparison=None if compared is None else HealingComparison(**compared),
        )


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HealingModelError(
            f"the folder of the model of recorded outcomes has no readable {MANIFEST_FILE}", remedy=_REMEDY
        ) from error
    known = isinstance(manifest, dict) and manifest.get("schema") == SCHEMA
    if not known or manifest.get("features") != list(FEATURES):
        raise HealingModelError("the model of recorded outcomes is not one of this release", remedy=_REMEDY)
    return dict(manifest)
