"""What is looked at beside the figures: whether a candidate is a model, and whole, and whom the locked set favours."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cds.errors import InputError
from cds.learning.model_kinds import ModelKind, Question, is_pair
from cds.learning.provenance import read_provenance
from cds.learning.scored import Answer

DETECTOR_PARTS: Final = ("attributes.json", "scope.json")
"""Files beside a detector's weights without which a service would say less, or refuse less."""
ANSWERING_HEADS: Final = ("pattern", "displaced", "limb", "view", "hardware")
"""Of the attribute heads, those that a result quotes."""


def check_course(kind: ModelKind, candidate: Path) -> None:
    """Whether a retraining made a model at all: of risk it may have moved the mean only, or left everything alone.

    Raises:
        InputError: it did not.
    """
    found = read_provenance(candidate) if kind is ModelKind.RISK and candidate.is_dir() else None
    course = None if found is None else found.details.get("course")
    if course == "anchored":
        raise InputError(
            "This retraining moved the mean risk and made no new model, so there is nothing to promote.",
            remedy="Name its anchor.json in FRACTURE_CDS_RISK_ANCHOR.",
        )
    if course == "left_alone":
        raise InputError(
            "This retraining left the risk model alone; its provenance.json says what was missing.",
            remedy="Retrain when more rows have come in.",
        )


def check_parts(question: Question, current: Path | None, candidate: Path) -> None:
    """Whether the candidate brings every part that the model in use has, and changes none that this set cannot judge.

    Raises:
        InputError: it is a pair; it lacks a part, so that with it the service would, for instance, no longer refuse
            other pictures; or the question asked of it is not the one about what changed.
    """
    if question.kind is not ModelKind.DETECTOR:
        return
    from imaging.attributes.model import heads_folder
    from imaging.manifest import read_manifest

    if read_manifest(candidate).companion is not None:
        raise InputError(
            "The candidate is a pair of detectors; the store keeps single ones.",
            remedy="Promote its first detector, or name the pair's folder in FRACTURE_CDS_DETECTOR_DIR.",
        )
    if current is None:
        return
    in_use = read_manifest(current)
    heads, scope = parts = (heads_folder(in_use) / DETECTOR_PARTS[0], in_use.heads / DETECTOR_PARTS[1])
    lacking = [one.name for one in parts if one.is_file() and not (candidate / one.name).is_file()]
    if lacking:
        raise InputError(
            f"The candidate lacks {', '.join(lacking)}, which the model in use has.",
            remedy="Make it again with `cds learn retrain --heads-data FOLDER`, or fit them for it by"
            " `cds train fracture-type` and `cds train scope`.",
        )
    lost = [name for name in ANSWERING_HEADS if name in _heads(heads.parent) - _heads(candidate)]
    if lost:
        raise InputError(
            f"The candidate has no head any more for: {', '.join(lost)}; the model in use answers that.",
            remedy="Make it again with the data that teach it: `cds learn retrain` says of each head why it was not"
            " fitted.",
        )
    same_detector = in_use.judging == read_manifest(candidate).judging
    changed = [one.name for one in parts if _content(one) != _content(candidate / one.name)]
    if question is Question.DETECTOR and same_detector and changed:
        raise InputError(
            "The candidate's detector is the one in use; only the heads beside it differ, and those a set of"
            " radiographs does not judge.",
            remedy="Promote it with --kind fracture-type and a locked set of types.",
        )
    if question is Question.FRACTURE_TYPE and (not same_detector or scope.name in changed):
        part = "scope model" if same_detector else "detector"
        raise InputError(
            f"The candidate's {part} is not the one in use; a set of types judges the heads alone.",
            remedy="Promote it with --kind detector, and the set of types as --locked-types.",
        )


def _heads(folder: Path) -> frozenset[str]:
    """Names of the attribute heads in a detector's folder; none where they cannot be read, which loading them tells."""
    from safetensors import SafetensorError, safe_open

    try:
        document = json.loads((folder / DETECTOR_PARTS[0]).read_text(encoding="utf-8"))
        with safe_open(folder / str(document["weights"]), framework="numpy") as file:
            return frozenset(name.partition(".")[0] for name in file.keys())  # noqa: SIM118 (no mapping)
    except (OSError, ValueError, KeyError, SafetensorError):
        return frozenset()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def known_to_current(question: Question, current: Path | None, answers: Sequence[Answer]) -> tuple[str, ...]:
    """A sentence for the report where the model in use learned from the locked set; nothing otherwise.

    Its figures are then too good, which refuses candidates that are no worse; it lets none pass that is.

    Args:
        question: asked of both models.
        current: folder of the model in use; None for none.
        answers: to the locked set, with the digests of its items.

    Raises:
        InputError: ``provenance.json`` cannot be read.
        ImagingError: ``attributes.json`` cannot be used.
    """
    if current is None:
        return ()
    folders = {current}
    if is_pair(question.kind, current):
        from imaging.manifest import read_manifest

        folders.add(read_manifest(current).heads)
    found = [read_provenance(one) for one in folders]
    learned = frozenset[str]().union(*(one.digests for one in found if one is not None))
    if question is Question.FRACTURE_TYPE:
        from imaging.attributes.manifest import read_attribute_manifest
        from imaging.attributes.model import heads_folder
        from imaging.manifest import read_manifest

        heads = read_attribute_manifest(heads_folder(read_manifest(current)))
        learned |= frozenset() if heads is None else heads.training_images
    known = sum(not learned.isdisjoint(one.digests) for one in answers)
    if not known:
        return ()
    return (
        f"The model in use learned from {known} of the {len(answers)} items: its figures here are too good, and the"
        " candidate looks worse than it is. A set that neither model learned from tells more.",
    )
