"""The files of an export as bytes: the same rows give the same bytes, in whatever order they come."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cds.learning.feedback.outcomes import COLUMNS as OUTCOME_COLUMNS
from cds.learning.feedback.rows import COLUMNS, HEALTHY, ExportRow, Labelled, age_band, record_of

IMAGE_COLUMNS: Final = (
    "image", "width", "height", "has_fracture", "group", "split", "source", "type", "displaced", "region", "hardware",
    "age_band", "sex", "boxes_known",
)  # fmt: skip
BOX_COLUMNS: Final = ("image", "x1", "y1", "x2", "y2", "type", "drawn")
CATEGORY: Final = {"id": 1, "name": "fracture", "supercategory": "finding"}


def images_csv(rows: Iterable[ExportRow]) -> bytes:
    """``images.csv``."""
    return _csv(
        IMAGE_COLUMNS,
        (
            {
                "image": labelled.image,
                "width": labelled.width,
                "height": labelled.height,
                "has_fracture": int(row.fracture),
                "group": row.group,
                "source": row.site,
                "type": row.pattern if row.fracture else HEALTHY,
                "region": row.judged.facts.region,
                "hardware": row.hardware,
                "age_band": age_band(row.judged.facts.age_years),
                "sex": row.judged.facts.sex,
                "boxes_known": int(labelled.places_known),
            }
            for row, labelled in _with_images(rows)
        ),
    )


def boxes_csv(rows: Iterable[ExportRow]) -> bytes:
    """``boxes.csv``."""
    return _csv(
        BOX_COLUMNS,
        (
            {
                "image": labelled.image,
                **{name: f"{value:.2f}" for name, value in zip(BOX_COLUMNS[1:5], place.box, strict=True)},
                "type": None if place.fracture_type is None else place.fracture_type.value,
                "drawn": int(place.drawn),
            }
            for _, labelled in _with_images(rows)
            for place in labelled.places
        ),
    )


def coco_json(rows: Iterable[ExportRow]) -> bytes:
    """``annotations.json``: images whose boxes are all known, the healthy ones among them."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row, labelled in _with_images(rows):
        if not labelled.places_known:
            continue
        number = len(images) + 1
        images.append(
            {
                "id": number,
                "file_name": labelled.image,
                "width": labelled.width,
                "height": labelled.height,
                "group": row.group,
            }
        )
        for place in labelled.places:
            x0, y0, x1, y1 = place.box
            wide, high = round(x1 - x0, 2), round(y1 - y0, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CATEGORY["id"],
                    "bbox": [round(x0, 2), round(y0, 2), wide, high],
                    "area": round(wide * high, 2),
                    "iscrowd": 0,
                    "attributes": {
                        "type": None if place.fracture_type is None else place.fracture_type.value,
                        "drawn": place.drawn,
                    },
                }
            )
    return as_json({"images": images, "annotations": annotations, "categories": [CATEGORY]})


def rows_parquet(rows: Iterable[ExportRow]) -> bytes:
    """``rows.parquet``, without compression, so that what it holds can be searched."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"list<string>": pa.list_(pa.string()), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds.get(kind) or pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    table = pa.Table.from_pylist([record_of(row) for row in _sorted(rows)], schema=schema)
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="none")
    return bytes(sink.getvalue().to_pybytes())


def outcomes_csv(rows: Iterable[ExportRow]) -> bytes | None:
    """``healing_outcomes.csv``; None where there is no follow-up."""
    found = [row.outcome for row in _sorted(rows) if row.outcome is not None]
    return _csv(OUTCOME_COLUMNS, found) if found else None


def as_json(document: Mapping[str, Any]) -> bytes:
    """JSON with a fixed order."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _sorted(rows: Iterable[ExportRow]) -> list[ExportRow]:
    """By pseudonym: the order tells nothing of when a case came."""
    return sorted(rows, key=lambda row: row.case)


def _with_images(rows: Iterable[ExportRow]) -> list[tuple[ExportRow, Labelled]]:
    found = [(row, row.labelled) for row in rows if row.labelled is not None]
    return sorted(found, key=lambda one: one[1].image)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode()
