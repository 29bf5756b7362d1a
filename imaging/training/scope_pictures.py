"""Pictures for the scope model: which of the documented collections' are limbs, and real ones that are none."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.reader import read_radiograph
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError

OUTSIDE_LIST = Path(__file__).resolve().parent / "outside_scope.csv"
"""Pictures that a look at every ``bb_`` file of ``fracture_types`` found to be chests, skulls, spines or slices."""

Pixels = NDArray[np.float32]
Report = Callable[[str], None]


class Listed:
    """Collections without the pictures that `OUTSIDE_LIST` names, and those pictures."""

    def __init__(self) -> None:
        with OUTSIDE_LIST.open(encoding="utf-8", newline="") as lines:
            self._kinds = {(row["collection"], row["image"]): row["kind"] for row in csv.DictReader(lines)}
        self.outside: list[tuple[Path, str]] = []

    def kind(self, collection: str, image_id: str) -> str | None:
        """What a listed picture shows instead of a limb; None for one that is not listed."""
        return self._kinds.get((collection, image_id))

    def limbs(self, root: Path, split: str = "all") -> list[LabelledRadiograph]:
        """The samples of a collection that are not on the list; those that are go to `outside`."""
        name, inside = root.resolve().name, []
        for sample in read_collection(root, split).samples:
            kind = self.kind(name, sample.image_id)
            if kind is None:
                inside.append(sample)
            else:
                self.outside.append((sample.path, kind))
        return inside


def outside_files(paths: Sequence[Path], report: Report) -> Iterator[tuple[Path, Pixels]]:
    """Each readable picture under `paths`, and its mirror image."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    seen: set[str] = set()
    for file in files:
        if not file.is_file() or (digest := hashlib.sha256(file.read_bytes()).hexdigest()) in seen:
            continue
        seen.add(digest)
        try:
            pixels = picture(file)
        except ImagingError as error:
            report(f"{file.name}: left out, {error}")
            continue
        yield from ((file, one) for one in both_ways(pixels))


def hands(folder: Path, most: int) -> Iterator[Pixels]:
    """Hands of the documented bone-age files, evenly spread over all of them; rows that hold no picture are left out.

    Args:
        folder: holds Parquet files with a column ``jpeg``; or one such file.
        most: hands at most.

    Raises:
        TrainingDataError: no such file, or not one hand in them.
    """
    files = [folder] if folder.is_file() else sorted(folder.glob("*.parquet"))
    try:
        rows = [bytes(row) for file in files for row in pd.read_parquet(file, columns=["jpeg"])["jpeg"]]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingDataError(
            f"{folder.name} holds no bone-age files", "give Parquet files with a column jpeg"
        ) from error
    found = 0
    for number in np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int):
        try:
            yield read_radiograph(rows[number]).pixels
        except ImagingError:
            continue
        found += 1
    if not found:
        raise TrainingDataError(
            f"{folder.name} holds no hand that can be read", "give Parquet files with a column jpeg"
        )


def both_ways(pixels: Pixels) -> tuple[Pixels, Pixels]:
    return pixels, np.ascontiguousarray(pixels[:, ::-1])


def picture(file: Path) -> Pixels:
    """A picture [H, W] in 0..1 as somebody would export it, DICOM of any modality and body part included.

    The reader refuses a chest or a slice by its header, and rightly; the scope model must know their pixels, for the
    day they come as PNG.

    Raises:
        ImagingError: the file holds no picture.
    """
    data = file.read_bytes()
    if data[128:132] != b"DICM":
        return read_radiograph(data).pixels
    import pydicom
    from PIL import Image

    try:
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        values = np.asarray(dataset.pixel_array)
    except Exception as error:  # pydicom answers damaged or foreign files with almost any exception
        raise TrainingDataError(f"{file.name} holds no picture that can be decoded", "leave the file out") from error
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        values = values[0]
    if values.ndim == 2:
        low, high = np.percentile(values, [1, 99.5])
        grey = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
        values = 255 * (1 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey)
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return read_radiograph(buffer.getvalue()).pixels
