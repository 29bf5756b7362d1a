"""What the heads beside a detector say of fractures whose type is known."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cds.learning.digests import file_digests
from cds.learning.scored import Answer, Scored
from cds.learning.subgroups import NOT_STATED, subgroup_columns

if TYPE_CHECKING:  # at run time they load torch
    from imaging.engine import FractureEngine
    from imaging.results import PatternEstimate
    from imaging.training.attributes_data import AttributeSample
    from imaging.training.datasets import LabelledRadiograph

Report = Callable[[str], None]

DISPLACED: Final = "displaced"
LEAST: Final = 1e-6
"""A true type is given at least this probability, so that one image cannot decide a mean of logarithms."""


def samples_of(data: Path, wanted: set[str] | None, report: Report) -> list["AttributeSample"]:
    """The fractures of known type in a folder, see `imaging.training.attributes_data.read_types`.

    Pictures that are listed as no limb radiographs are left out, as from the heads' training.

    Args:
        data: the folder; its name tells which list applies.
        wanted: ids to keep; None keeps all.
        report: receives a line per row that is left out.

    Raises:
        TrainingDataError: the folder holds none.
    """
    from imaging.training.attributes_data import read_types, without_outside_scope
    from imaging.training.errors import TrainingDataError

    name = data.resolve().name
    read = {name: [one for one in read_types(data, report) if wanted is None or one.image_id in wanted]}
    without_outside_scope(read, report)
    samples = read[name]
    if not samples:
        raise TrainingDataError("this split holds no fracture of known type", "give another split")
    return samples


def content_of(samples: Sequence["AttributeSample"]) -> str:
    """What decides the answers: images, types and groups."""
    return json.dumps([(one.image_id, one.pattern, one.displaced, one.group, one.sha256()) for one in samples])


def score_types(
    folder: Path | None, samples: Sequence["AttributeSample"], root: Path, *, report: Report = lambda _: None
) -> Scored:
    """The heads on fractures of known type.

    A model without heads names nothing, and a radiograph that the application refuses counts as not named.

    Args:
        folder: detector and heads; None for the shipped ones.
        samples: what to ask about.
        root: the data set's folder, which holds the columns of the subgroups.
        report: receives a line about each image that cannot be used.
    """
    from imaging.engine import FractureEngine

    engine = FractureEngine.load(folder, boxes_only=True)
    told = estimates_of(engine, samples, report)
    columns = subgroup_columns(root)
    answers = tuple(
        _told(
            Answer(
                id=one.image_id,
                group=one.group,
                digests=file_digests(one.path),
                subgroups={**columns.get(one.image_id, {}), **_subgroups(one)},
            ),
            one.pattern.value,
            told.get(one.image_id),
            one.displaced,
        )
        for one in samples
        if one.pattern is not None
    )
    return Scored(model_id=engine.model_id, answers=answers, data_name=root.resolve().name)


def known_types(columns: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Image id to its type, of a set whose table states types; empty for others."""
    from imaging.training.attributes_data import pattern_of

    words = {name: pattern_of(row.get("type", "")) for name, row in columns.items()}
    return {name: pattern.value for name, pattern in words.items() if pattern is not None}


def with_types(
    answers: Sequence[Answer],
    typed: Mapping[str, str],
    samples: Sequence["LabelledRadiograph"],
    engine: "FractureEngine",
    folder: Path | None,
    report: Report,
) -> list[Answer]:
    """The detector's answers, those of fractures of known type with what the heads say as well."""
    from imaging.training.attributes_data import AttributeSample

    asked = [
        AttributeSample(image_id=one.image_id, path=one.path, collection="", source="", group=one.group)
        for one in samples
        if one.image_id in typed
    ]
    if not asked:
        return list(answers)
    told = estimates_of(engine, asked, report)
    return [_told(one, typed[one.id], told.get(one.id), None) if one.id in typed else one for one in answers]


def estimates_of(
    engine: "FractureEngine", samples: Sequence["AttributeSample"], report: Report
) -> dict[str, "PatternEstimate"]:
    """Image id to what the pattern head says; empty without one. Refused images are missing."""
    import torch

    from imaging.attributes.model import AttributeModel
    from imaging.training.attributes_features import extract_for_patterns

    heads = AttributeModel.of(engine.manifest)
    if heads is None or not heads.manifest.patterns:
        report("this model has no head for types")
        return {}
    table = extract_for_patterns(samples, engine, heads, report=report)
    anywhere = torch.zeros(1, 4)  # the pattern is read from the whole radiograph, and holds for each of its boxes
    return {
        sample.image_id: heads.patterns(torch.from_numpy(vector), anywhere)[0]
        for sample, vector in zip(table.samples, table.vectors, strict=True)
    }


def _told(answer: Answer, label: str, estimate: "PatternEstimate | None", displaced: bool | None) -> Answer:
    """The answer with the true type, and what the heads say of it."""
    if estimate is None:
        return replace(answer, label=label, named=NOT_STATED)
    probabilities = {pattern.value: probability for pattern, probability in estimate.probabilities}
    chance = estimate.displaced_probability
    return replace(
        answer,
        label=label,
        named=estimate.pattern.value,
        class_probabilities=probabilities,
        log_score=math.log(max(probabilities.get(label, 0.0), LEAST)),
        further={} if displaced is None or chance is None else {DISPLACED: (displaced, chance)},
    )


def _subgroups(sample: "AttributeSample") -> dict[str, str]:
    words = {True: "yes", False: "no", None: NOT_STATED}
    kind = NOT_STATED if sample.pattern is None else sample.pattern.value
    return {"type": kind, "source": sample.source, DISPLACED: words[sample.displaced]}
