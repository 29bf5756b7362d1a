"""A risk model's answers to the people of a survey file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cds.errors import InputError
from cds.learning.model_kinds import sha256_of_file
from cds.learning.scored import Answer, Scored
from cds.learning.subgroups import NOT_STATED, age_band

if TYPE_CHECKING:  # at run time it is slow to load
    import pandas as pd

RISK_AGE_BANDS: Final = ((40, 50), (50, 60), (60, 70), (70, 200))


def score_people(folder: Path | None, data: Path, split: str = "all") -> Scored:
    """A risk model on the people of 40 years or more of a survey file."""
    import pandas as pd

    from tabular.cohort import build_cohort
    from tabular.errors import CohortError
    from tabular.evaluation import predict
    from tabular.formula import HEADS
    from tabular.model import DEFAULT_DIRECTORY, load_model
    from tabular.teaching import MINIMUM_AGE_YEARS
    from tabular.validation import official_margins

    model = load_model(folder or DEFAULT_DIRECTORY)
    try:
        raw = pd.read_csv(data, low_memory=False)
        whole = (sha256_of_file(data),)
    except (OSError, ValueError) as error:
        raise CohortError("the file cannot be read as CSV", remedy="Give the path of a CSV file.") from error
    people = build_cohort(raw)
    wanted = people["age_years"] >= MINIMUM_AGE_YEARS
    people = people[wanted if split == "all" else wanted & (people["cycle"] == split)]
    if people.empty:
        raise InputError("Nobody of 40 years or more is in this set.", remedy="Give another file or another split.")
    rows = people.index.to_numpy()
    people = people.reset_index(drop=True)
    told = predict(model, people)
    major, hip = HEADS
    official = people["official_major"].notna().to_numpy()
    target = np.full(len(people), np.nan)
    target[official] = official_margins(people[official], major)
    fractures = people["vertebral_fracture"].to_numpy()
    answers = [
        Answer(
            id=str(int(row)),
            group=f"{people['cycle'][place]}/{people['stratum'][place]}/{people['psu'][place]}",
            positive=None if np.isnan(fractures[place]) else bool(fractures[place]),
            score=float(told.by_head[hip][place]),
            target=None if np.isnan(target[place]) else float(target[place]),
            estimate=float(told.by_head[major][place]),
            subgroups=_person(people, place),
            digests=whole,
        )
        for place, row in enumerate(rows)
        if official[place] or not np.isnan(fractures[place])
    ]
    return Scored(model_id=model.model_id, answers=tuple(answers), data_name=data.name)


def _person(people: "pd.DataFrame", place: int) -> dict[str, str]:
    from tabular.validation import ETHNICITY

    female = people["female"][place]
    return {
        "sex": NOT_STATED if np.isnan(female) else ("female" if female == 1.0 else "male"),
        "age_band": age_band(float(people["age_years"][place]), RISK_AGE_BANDS),
        "ethnicity": ETHNICITY.get(people["ethnicity"][place], NOT_STATED),
        "cycle": str(people["cycle"][place]),
    }
