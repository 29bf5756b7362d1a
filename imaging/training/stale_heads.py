"""Attribute heads whose features are no longer there: left in place they would keep a model from loading."""

from collections.abc import Callable
from pathlib import Path

from imaging.attributes.manifest import ATTRIBUTES_NAME, read_attribute_manifest
from imaging.errors import ModelFilesError
from imaging.manifest import PAIR_MARK, read_manifest


def drop_stale_heads(folder: Path, report: Callable[[str], None]) -> None:
    """Remove the attribute heads of a model's folder when they read weights that the model no longer has.

    Args:
        folder: of the model, its manifest already the new one.
        report: receives one line when heads were removed.
    """
    try:
        heads = read_attribute_manifest(folder)
    except ModelFilesError:
        return
    there = set(read_manifest(folder).digest.split(PAIR_MARK))
    if heads is None or set(heads.detector_sha256.split(PAIR_MARK)) <= there:
        return
    (folder / ATTRIBUTES_NAME).unlink()
    heads.weights.unlink(missing_ok=True)
    report("the attribute heads of the earlier weights are removed: fit new ones with `cds train fracture-type`")
