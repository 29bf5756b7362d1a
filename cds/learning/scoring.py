"""A model's answers to a locked set: read once, kept by digest, so that no model is run twice on the same exam.

Locked sets
-----------
detector       a folder in FracAtlas' official layout, or ``images.csv`` with ``boxes.csv``
               (`imaging.training.datasets`), such as ``cds feedback export`` writes. Where ``images.csv`` states types,
               the heads are asked as well; a set of types may stand beside it (``--locked-types``).
fracture-type  ``images.csv`` (image, type, and any of displaced, source, group) with ``images/``
               (`imaging.training.attributes_data.read_types`): the heads alone. Healthy images take no part.
risk           a CSV file in the layout of the US survey (`tabular.cohort`): vertebral fractures read on images rank the
               hip probability, the survey's own ten-year probabilities are the reference of the major osteoporotic one.
healing        recorded outcomes (`tabular.healing.outcomes`): a CSV or Parquet table, or a feedback export that holds
               one. Where no model is in use, the published figures answer.
bone-age       Parquet files with id, months, male, jpeg (`imaging.bone_age.data`): a folder or one file.

Subgroups come from the columns region, view, age_band or age_years, sex, hardware, site, manufacturer and type of
``images.csv``, of fractures of known type from source and displaced too; of people from sex, age and what else the
table tells. Items of one ``group`` are drawn together: patient, limb, block of ids, sampling unit; where a table names
none, each row is its own.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cds.errors import InputError
from cds.learning.digests import file_digests
from cds.learning.model_kinds import ModelKind, Question, sha256_of_file
from cds.learning.score_cache import cached
from cds.learning.scored import HIGH_SENSITIVITY, HIGH_SPECIFICITY, Answer, Scored
from cds.learning.subgroups import subgroup_columns

if TYPE_CHECKING:  # at run time it loads torch
    from imaging.training.datasets import Collection, LabelledRadiograph

Report = Callable[[str], None]

NEIGHBOURS: Final = 10
"""FracAtlas ids of one block of ten are drawn together: neighbouring ids are views of one limb. Data sets are split by
blocks of a hundred; of those a set has too few to draw from."""
TYPES_PREFIX: Final = "types/"
"""Before the ids and groups of a set of types that stands beside another set."""


def score(
    question: Question,
    folder: Path | None,
    data: Path,
    *,
    types: Path | None = None,
    split: str = "all",
    split_list: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Scored:
    """Ask a model about every item of a locked set.

    Args:
        question: what of the model is judged.
        folder: its weights; None for the shipped one, or for the published figures of healing.
        data: the locked set, see the module.
        types: fractures of known type, for a detector beside `data`; all of them.
        split: ``all``, or a split of the set's own list or of `split_list`; for risk a survey cycle.
        split_list: CSV file of ``cds data split``.
        cache: folder in which answers are kept by digest of model and set; None keeps none.
        report: receives a line about each item that cannot be used.

    Raises:
        InputError: `data` is no locked set for this question.
        ImagingError, TabularError: the model or the data cannot be used.
    """
    if question in (Question.DETECTOR, Question.FRACTURE_TYPE):
        collection = _collection(data, split, split_list)
        if question is Question.FRACTURE_TYPE:
            return _score_types(folder, data, {one.image_id for one in collection.samples}, cache, report)
        scored = score_collection(folder, collection, data, cache=cache, report=report)
        return scored if types is None else together(scored, _score_types(folder, types, None, cache, report))
    if question is not Question.RISK and split != "all":
        raise InputError(
            f"A locked set of {question.value} has no splits.", remedy="Leave --split out; give the part as a file."
        )
    return _score_table(question, folder, data, split, cache, report)


def _score_table(
    question: Question, folder: Path | None, data: Path, split: str, cache: Path | None, report: Report
) -> Scored:
    if question is Question.HEALING:
        from cds.learning.scoring_healing import outcome_table, score_healing

        table = outcome_table(data)
        content = f"{sha256_of_file(table)}|{data.is_dir()}"
        return cached(cache, ModelKind.HEALING, folder, content, lambda: score_healing(folder, data))
    if question is Question.BONE_AGE:
        from cds.learning.scoring_bone_age import hands_digest, score_hands

        kept = hands_digest(data)
        return cached(cache, ModelKind.BONE_AGE, folder, kept, lambda: score_hands(folder, data, report=report))
    if not data.is_file():
        raise InputError("The locked set of a risk model is a CSV file.", remedy="Give the file.")
    from cds.learning.scoring_risk import score_people

    content = f"{sha256_of_file(data)}|{split}"
    return cached(cache, ModelKind.RISK, folder, content, lambda: score_people(folder, data, split))


def together(one: Scored, other: Scored) -> Scored:
    """A model's answers to two sets as one; each metric is taken over the items that tell it.

    Args:
        one: gives name and thresholds.
        other: its ids and groups get `TYPES_PREFIX`, so that none of them meets one of `one`.
    """
    added = (replace(each, id=TYPES_PREFIX + each.id, group=TYPES_PREFIX + each.group) for each in other.answers)
    return replace(
        one,
        answers=(*one.answers, *added),
        data_sha256=hashlib.sha256(f"{one.data_sha256}|{other.data_sha256}".encode()).hexdigest(),
        data_name=f"{one.data_name}, {other.data_name}",
    )


def _collection(data: Path, split: str, split_list: Path | None) -> "Collection":
    from imaging.training.datasets import read_collection
    from imaging.training.splits import part_of, read_list

    listed = split_list is not None and split != "all"
    collection = read_collection(data, "all" if listed else split)
    return part_of(collection, read_list(split_list), split) if listed and split_list is not None else collection


def _score_types(
    folder: Path | None, data: Path, wanted: set[str] | None, cache: Path | None, report: Report
) -> Scored:
    from cds.learning.scoring_heads import content_of, samples_of, score_types

    samples = samples_of(data, wanted, report)
    return cached(
        cache,
        ModelKind.DETECTOR,
        folder,
        content_of(samples),
        lambda: score_types(folder, samples, data, report=report),
    )


def score_collection(
    folder: Path | None,
    collection: "Collection",
    root: Path,
    *,
    cache: Path | None = None,
    report: Report = lambda _: None,
) -> Scored:
    """A detector on radiographs that are read already.

    Args:
        folder: weights; None for the shipped ones.
        collection: the radiographs.
        root: the data set's folder, which holds the columns of the subgroups.
        cache: as for `score`.
        report: as for `score`.
    """
    from cds.learning.scoring_heads import known_types, with_types

    digests = {one.image_id: file_digests(one.path) for one in collection.samples}
    columns = subgroup_columns(root)
    typed = known_types(columns)
    content = json.dumps(
        [(one.image_id, one.boxes, one.fractured, digests[one.image_id][0]) for one in collection.samples]
    ) + (json.dumps(sorted(typed.items())) if typed else "")

    def ask() -> Scored:
        from imaging.engine import FractureEngine
        from imaging.training.evaluate import records_of

        engine = FractureEngine.load(folder, boxes_only=True)
        records, _ = records_of(collection, engine, report=report)
        answers = [
            Answer(
                id=record.image_id,
                group=_group(sample),
                positive=record.fractured,
                score=record.image_score,
                probability=record.probability,
                truth=record.truth,
                boxes_known=record.boxes_known,
                boxes=record.boxes,
                box_scores=record.scores,
                digests=digests[record.image_id],
            )
            for record, sample in zip(records, collection.samples, strict=True)
        ]
        manifest = engine.manifest
        return Scored(
            model_id=engine.model_id,
            answers=tuple(with_types(answers, typed, collection.samples, engine, folder, report)),
            thresholds={
                HIGH_SENSITIVITY: manifest.high_sensitivity.threshold,
                HIGH_SPECIFICITY: manifest.high_specificity.threshold,
            },
            data_name=collection.name,
        )

    scored = cached(cache, ModelKind.DETECTOR, folder, content, ask)
    told = tuple(replace(one, subgroups=columns.get(one.id, {})) for one in scored.answers)
    return replace(scored, answers=told)


def _group(sample: "LabelledRadiograph") -> str:
    from imaging.training.datasets import id_block

    stem = Path(sample.image_id).stem
    digits = "".join(letter for letter in stem if letter.isdigit())
    if digits and sample.group == id_block(stem):
        return f"ids{int(digits) // NEIGHBOURS}"
    return sample.group or sample.image_id
