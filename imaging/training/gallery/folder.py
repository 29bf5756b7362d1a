"""One folder per evaluation: ``metrics.json``, curves as SVG, the worst errors as JPEG, and ``index.html``."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.errors import TrainingDataError
from imaging.training.evaluate import Evaluation, assess
from imaging.training.gallery import plots
from imaging.training.gallery.curves import FROC_IOU, FrocTable, calibration_groups, precision_recall_curve, roc_curve
from imaging.training.gallery.details import Details
from imaging.training.gallery.pictures import draw, worst_errors
from imaging.training.metrics import ImageRecord

PAGE = "index.html"
FOLDER = "evaluation"
GALLERIES = (
    ("misses", "Worst misses", "Radiographs with a fracture below the high-sensitivity point, lowest score first."),
    (
        "false_alarms",
        "Worst false alarms",
        "Radiographs labelled without a fracture at or above the high-sensitivity point, highest score first.",
    ),
    (
        "elsewhere",
        "Called for the wrong place",
        "Radiographs with a fracture that were called, but no mark lies on a labelled fracture: they count as hits by "
        "image and as misses by box.",
    ),
)
METRIC_WORDS = {
    "map50": "mAP at IoU 0.5",
    "map50_95": "mAP at IoU 0.5 to 0.95",
    "image_auc": "image-level AUC",
    "sensitivity_high_sensitivity": "sensitivity, high-sensitivity point",
    "specificity_high_sensitivity": "specificity, high-sensitivity point",
    "sensitivity_high_specificity": "sensitivity, high-specificity point",
    "specificity_high_specificity": "specificity, high-specificity point",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "mean_probability": "mean probability",
    "cannot_judge": "not judged, share of all",
    "cannot_judge_fractured": "not judged, share of fractured",
}


def write_evaluation(evaluation: Evaluation, out: Path, *, root: Path, gallery: int = 12) -> Path:
    """Write the folder anew, in one piece: it appears complete, in place of an earlier evaluation.

    Args:
        evaluation: what was measured.
        out: the folder; an earlier evaluation there is replaced, anything else is not touched.
        root: the data set's folder, for the tables per region, view and hardware.
        gallery: images per gallery.

    Returns:
        The page, ``index.html``.

    Raises:
        TrainingDataError: `out` holds something else than an evaluation.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / PAGE).is_file())):
        raise TrainingDataError(f"{out.name!r} is there already and is no evaluation", "give a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        _fill(partial, evaluation, root, gallery)
        partial.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return out / PAGE


def evaluate_development(
    out: Path,
    collection: Collection,
    development: Sequence[LabelledRadiograph],
    *,
    root: Path,
    gallery: int = 12,
    report: Callable[[str], None] = print,
) -> Path | None:
    """The evaluation folder of a finished training, on its development images; None when there are none.

    Args:
        out: the training's folder, with weights and manifest; the evaluation goes into ``out/evaluation``.
        collection: what the training read.
        development: the images it held out.
        root: the data set's folder.
        gallery: images per gallery.
        report: receives one line per image that is refused, and where the page lies.
    """
    if not development:
        return None
    held_out = Collection(name=collection.name, samples=tuple(development))
    evaluation = assess(held_out, "development", model=out, report=report)
    page = write_evaluation(evaluation, out / FOLDER, root=root, gallery=gallery)
    report(f"evaluation on the development images: {page}")
    return page


def _fill(folder: Path, evaluation: Evaluation, root: Path, gallery: int) -> None:
    details = Details.of(evaluation.records, evaluation.thresholds, root)
    figures = _plot(folder, evaluation, details.froc, details.points)
    pictures = _draw_galleries(folder, evaluation, gallery)
    document = {**evaluation.result, **details.as_entry()}
    (folder / "metrics.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    page = _template().render(
        result=evaluation.result,
        metric_words=METRIC_WORDS,
        points=details.points,
        point_words=plots.POINT_NAMES,
        marks=list(details.marks.items()),
        froc_iou=FROC_IOU,
        tables=details.tables,
        figures=figures,
        galleries=pictures,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _plot(folder: Path, evaluation: Evaluation, froc: FrocTable, points: Sequence[Any]) -> list[tuple[str, str]]:
    """(file, words for a reader who does not see it) of each plot that these images can give."""
    records, metrics = evaluation.records, evaluation.result["metrics"]
    made = [(plots.plot_confusion(folder / "confusion.svg", points), "Images by truth and call at both points")]
    roc = roc_curve(records)
    if roc is not None:
        area = metrics["image_auc"]["value"]
        made.append((plots.plot_roc(folder / "roc.svg", roc, points, area), f"ROC curve, area {area:.3f}"))
    precision = precision_recall_curve(records)
    if precision is not None:
        value = metrics["map50"]["value"]
        path = plots.plot_precision_recall(folder / "precision-recall.svg", precision, value)
        made.append((path, f"Precision-recall curve of boxes, mAP50 {value:.3f}"))
    curve = froc.curve()
    if curve is not None:
        made.append((plots.plot_froc(folder / "froc.svg", curve, FROC_IOU), "FROC curve"))
    groups = calibration_groups(records)
    if groups:
        made.append((plots.plot_calibration(folder / "calibration.svg", groups), "Calibration plot"))
    return [(path.name, words) for path, words in made]


def _draw_galleries(folder: Path, evaluation: Evaluation, gallery: int) -> list[dict[str, Any]]:
    threshold = evaluation.thresholds.high_sensitivity
    errors = worst_errors(evaluation.records, threshold)
    paths = {sample.image_id: sample.path for sample in evaluation.collection.samples}
    (folder / "pictures").mkdir()
    galleries = []
    for key, title, words in GALLERIES:
        records: tuple[ImageRecord, ...] = getattr(errors, key)
        cards = []
        for number, record in enumerate(records[:gallery], start=1):
            name = f"pictures/{key.replace('_', '-')}-{number:02d}.jpg"
            drawn = draw(record, paths[record.image_id], folder / name, threshold)
            cards.append({"file": name if drawn else None, "image_id": record.image_id, "score": record.image_score})
        galleries.append({"title": title, "words": words, "total": len(records), "cards": cards})
    return galleries


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = lambda share: f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
    return environment.get_template("page.html")
