"""From weights to one checked file: all or nothing."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imaging.attributes.scope import ScopeModel
from imaging.errors import ImagingError, ModelFilesError
from imaging.export import calibration, check, edge_reader, edge_scope
from imaging.export.card import as_text, make_card
from imaging.export.errors import CheckFailedError, ExportError
from imaging.export.network import EdgeNetwork
from imaging.export.writers import SUFFIX, EdgeFormat, write
from imaging.manifest import DetectorManifest, read_manifest
from imaging.runtime import load_network
from imaging.training.datasets import LabelledRadiograph
from imaging.yolov7 import Yolov7
from imaging.yolov7.checkpoint import CheckpointError

STRIDE: Final = 32
PHANTOMS: Final = calibration.AGREEMENT_IMAGES

Report = Callable[[str], None]
Track = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written."""

    model: Path
    card: Path
    reader: Path
    """The script that reads the file; the scope model's lies beside it where the card has one."""
    document: dict[str, Any]
    """The card's content."""


def export_detector(
    edge_format: EdgeFormat,
    out: Path,
    *,
    model: Path | None = None,
    int8: bool = False,
    data: Path | None = None,
    size: int | None = None,
    report: Report = lambda _: None,
    track: Track = lambda items: items,
    phantoms: int = PHANTOMS,
) -> Export:
    """Export a detector and check it; when the check fails nothing is left in `out`.

    Args:
        edge_format: the kind of file.
        out: folder for the file, its card and the reader script.
        model: folder of weights and manifest; the shipped one by default.
        int8: quantise weights and activations; needs `data`.
        data: labelled radiographs in a documented layout. Training radiographs among them calibrate int8; held-out
            ones check the result. Without them a float file is checked on phantoms.
        size: side of the square canvas in pixels; that of the manifest by default.
        report: receives one line per stage.
        track: wraps the radiographs of a stage, for a progress bar.
        phantoms: how many synthetic radiographs check a file that comes without `data`.

    Raises:
        ExportError: the combination makes no sense, a library is missing, or the check failed.
        ModelFilesError: the weights cannot be used.
        TrainingDataError: the radiographs cannot be used.
    """
    manifest = read_manifest(model)
    if manifest.companion is not None:
        raise ExportError(
            "A pair of detectors is not exported: a tablet runs one.", remedy="Export the folder of its first detector."
        )
    side = manifest.image_size if size is None else size
    if side < STRIDE or side % STRIDE:
        raise ExportError(f"A canvas of {side} pixels cannot be exported.", remedy="Give a multiple of 32.")
    if int8 and data is None:
        raise ExportError(
            "int8 needs radiographs to set its ranges and to check its accuracy.",
            remedy="Name a labelled data set with --calibration.",
        )
    try:
        detector = load_network(manifest)
    except (CheckpointError, OSError) as error:
        raise ModelFilesError(f"The detector's weights cannot be used: {error}") from error
    # The AI Edge quantiser has no ranges for feature maps that leave the network in its midst.
    scope = None if int8 and edge_format is EdgeFormat.TFLITE else _scope(manifest, detector, side)
    if scope is None:
        report("no scope model goes along: the file will not check whether a picture is a limb radiograph")
    network = EdgeNetwork(detector, with_features=scope is not None)
    radiographs = None
    if data is not None:
        trained_with = manifest.document.get("training", {}).get("config", {})
        radiographs = calibration.read_export_data(data, trained_with)
    canvases = None
    if int8 and radiographs is not None:
        paths = [sample.path for sample in radiographs.calibration]
        canvases = list(calibration.canvases(paths, side, manifest.pad_value))
        report(f"int8 ranges from {len(canvases)} training radiographs of {radiographs.name}")
    report(f"converting {manifest.model_id} to {edge_format.value}, {side} px")
    written = write(network, edge_format, side, canvases)
    name = f"detector{'.int8' if int8 else ''}{SUFFIX[edge_format]}"
    card = make_card(manifest, network, written, edge_format, side, name, scope)
    if canvases is not None and radiographs is not None:
        card["quantisation"] |= {
            "radiographs": len(canvases),
            "data": radiographs.name,
            "data_sha256": radiographs.digest,
        }
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        staged = Path(folder) / name
        staged.write_bytes(written.data)
        staged_card = Path(f"{staged}.json")
        staged_card.write_text(as_text(card), encoding="utf-8")
        card["check"] = _check(manifest, staged, card, radiographs, side, phantoms, report, track)
        staged_card.write_text(as_text(card), encoding="utf-8")
        scripts = [edge_reader.__file__] if scope is None else [edge_reader.__file__, edge_scope.__file__]
        copies = [Path(shutil.copy(script, folder)) for script in scripts]
        for file in (*copies, staged_card, staged):
            file.replace(out / file.name)
    return Export(model=out / name, card=out / staged_card.name, reader=out / copies[0].name, document=card)


def _scope(manifest: DetectorManifest, network: Yolov7, size: int) -> ScopeModel | None:
    """The scope model, where there is one and its features come from a canvas of this size."""
    if network.graph.features is None or size != manifest.image_size:
        return None
    return ScopeModel.load(manifest.heads, manifest.sha256)


def _check(
    manifest: DetectorManifest,
    file: Path,
    card: dict[str, Any],
    radiographs: calibration.ExportData | None,
    size: int,
    phantoms: int,
    report: Report,
    track: Track,
) -> dict[str, Any]:
    """Everything the card says of the check.

    Raises:
        CheckFailedError: the file is not what the network is.
    """
    reference = check.eager_detector(manifest, size)
    try:
        found = check.edge_detector(file)
    except ImportError:
        raise
    except Exception as error:  # a runtime refuses a file with almost any exception
        raise CheckFailedError(f"The written file cannot be loaded again ({type(error).__name__}).") from error
    thresholds = (manifest.high_sensitivity.threshold, manifest.high_specificity.threshold)
    with tempfile.TemporaryDirectory() as folder:
        if radiographs is None:
            paths, source = calibration.draw_phantoms(Path(folder), phantoms), "synthetic limbs"
        else:
            chosen = calibration.choose(radiographs.development, calibration.AGREEMENT_IMAGES)
            paths, source = [sample.path for sample in chosen], f"{radiographs.name}, held out in training"
        report(f"comparing boxes with eager torch on {len(paths)} radiographs ({source})")
        measured = _agreement(paths, reference, found, manifest.score_floor, thresholds, track)
    check.require_agreement(measured, card["precision"])
    result: dict[str, Any] = {"agreement": {"source": source, **check.as_figures(measured)}}
    if radiographs is None:
        return result
    accuracy: dict[str, Any] = {}
    for where, samples in (("development", radiographs.development), ("val", radiographs.confirmation)):
        if not samples or (where == "val" and card["precision"] == "float32"):
            continue
        accuracy[where] = _accuracy(samples, reference, found, where, card["precision"], thresholds, report, track)
    return result | {"data": radiographs.name, "data_sha256": radiographs.digest, "accuracy": accuracy}


def _agreement(
    paths: Sequence[Path],
    reference: check.Detect,
    found: check.Detect,
    score_floor: float,
    thresholds: tuple[float, float],
    track: Track,
) -> check.Agreement:
    pairs = []
    for path in track(paths):
        try:
            pairs.append((reference(path), found(path)))
        except ImagingError:  # the application refuses this file, so that there is nothing to agree on
            continue
    return check.agreement(
        [one for one, _ in pairs], [two for _, two in pairs], score_floor=score_floor, thresholds=thresholds
    )


def _accuracy(
    samples: Sequence[LabelledRadiograph],
    reference: check.Detect,
    found: check.Detect,
    where: str,
    precision: str,
    thresholds: tuple[float, float],
    report: Report,
    track: Track,
) -> dict[str, Any]:
    report(f"measuring accuracy on {len(samples)} labelled radiographs ({where})")
    measured = check.measure_accuracy(samples, reference, found, thresholds=thresholds, track=track)
    check.require_accuracy(measured, where, precision)
    return measured
