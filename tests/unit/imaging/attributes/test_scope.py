"""What is refused and what is judged: on drawn vectors, and with the shipped weights on real and drawn pictures."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from pydicom.data import get_testdata_file
from sklearn.datasets import load_sample_images

from imaging.attributes.pixel_statistics import LENGTH, pixel_statistics
from imaging.attributes.scope import ScopeModel
from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.phantom import Limb, make_phantom, random_spec
from imaging.radiograph import Radiograph
from imaging.reader import read_radiograph
from imaging.results import FractureCall
from imaging.training.datasets import read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.negatives import KINDS
from imaging.training.scope import ScopeVectors, fit_vectors, write
from imaging.training.scope_pictures import OUTSIDE_LIST, Listed, hands, picture
from tests.support.shared import requires_shared, shared_dir


def vectors(seed: int = 0) -> ScopeVectors:
    generator = torch.Generator().manual_seed(seed)
    normal = lambda n, shift: torch.randn(n, 12, generator=generator) + shift  # noqa: E731
    return ScopeVectors(
        inside=normal(400, 0.0),
        groups=tuple(f"g{number // 10}" for number in range(400)),
        extra=normal(20, 0.0),
        pooled_size=8,
        drawn=normal(60, 3.0),
        real=normal(5, -3.0),
    )


@pytest.fixture(scope="module")
def model() -> ScopeModel:
    return fit_vectors(vectors())


def test_shares_hold_on_new_radiographs(model: ScopeModel) -> None:
    fresh = torch.randn(4000, 12, generator=torch.Generator().manual_seed(9))
    scores = model.scores(fresh)
    assert float(scores.min()) > 0 and float(scores.max()) <= 1
    for share in (0.02, 0.1):
        assert float((scores < share).float().mean()) < share * 1.6


def test_what_lies_elsewhere_is_refused(model: ScopeModel) -> None:
    generator = torch.Generator().manual_seed(10)
    for shift in (6.0, -6.0):
        assert bool((model.scores(torch.randn(50, 12, generator=generator) + shift) < 0.02).all())


def test_files_are_bound_to_the_detector(model: ScopeModel, tmp_path: Path) -> None:
    assert ScopeModel.load(tmp_path, "a" * 64) is None
    write(tmp_path, model, "a" * 64, {"seed": 0})
    read = ScopeModel.load(tmp_path, "a" * 64)
    assert read is not None and read.document["fit"]["n_in_scope"] == 400
    probe = torch.randn(7, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(read.scores(probe), model.scores(probe), rtol=0, atol=0.02)  # stored in half precision
    assert ScopeModel.load(tmp_path, "b" * 64) is None
    data = bytearray((tmp_path / "scope.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "scope.safetensors").write_bytes(data)
    with pytest.raises(ModelFilesError):
        ScopeModel.load(tmp_path, "a" * 64)
    (tmp_path / "scope.json").write_text(json.dumps([]))
    with pytest.raises(ModelFilesError):
        ScopeModel.load(tmp_path, "a" * 64)


def test_too_few_radiographs_are_refused() -> None:
    few = vectors()
    with pytest.raises(TrainingDataError):
        fit_vectors(replace(few, inside=few.inside[:30], groups=few.groups[:30]))


def test_real_pictures_are_left_out_in_turn() -> None:
    """Refused by a fit that has not seen them, counted by kind; both views of a picture in one fold."""
    generator = torch.Generator().manual_seed(4)
    far, near = torch.randn(20, 12, generator=generator) - 6, torch.randn(20, 12, generator=generator)
    groups = tuple(f"{kind}/{number // 2}" for kind in ("chest", "limb") for number in range(20))
    found = fit_vectors(replace(vectors(), real=torch.cat((far, near)), real_groups=groups))
    refused = found.document["fit"]["refused_when_left_out"]
    assert refused["chest"] == "20 of 20" and int(refused["limb"].split()[0]) <= 4
    assert "refused_when_left_out" not in fit_vectors(vectors()).document["fit"]


def test_listed_pictures_are_no_limbs(tmp_path: Path) -> None:
    """A collection is known by the name of its folder."""
    with OUTSIDE_LIST.open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["kind"] for row in rows} == {"chest", "skull", "slice", "spine"}
    listed = next(row["image"] for row in rows if row["collection"] == "fracture_types")
    folder = tmp_path / "fracture_types"
    (folder / "images").mkdir(parents=True)
    for name in (listed, "limb.jpg"):
        cv2.imwrite(str(folder / "images" / name), np.full((40, 40), 90, np.uint8))
    (folder / "images.csv").write_text(
        f"image,source,group,type,displaced\n{listed},w,a,oblique,\nlimb.jpg,w,b,oblique,\n"
    )
    found = Listed()
    assert [one.image_id for one in found.limbs(folder)] == ["limb.jpg"]
    assert [(path.name, kind) for path, kind in found.outside] == [
        (listed, next(r["kind"] for r in rows if r["image"] == listed))
    ]


def test_hands_are_read_evenly_and_bad_rows_left_out(tmp_path: Path) -> None:
    good = cv2.imencode(".png", np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))[1].tobytes()
    pd.DataFrame({"jpeg": [good, b"nothing", good, good, good]}).to_parquet(tmp_path / "a.parquet")
    assert [one.shape for one in hands(tmp_path, 3)] == [(64, 64)] * 3
    assert len(list(hands(tmp_path, 9))) == 4
    pd.DataFrame({"jpeg": [b"nothing"]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(TrainingDataError):
        list(hands(tmp_path / "b.parquet", 3))
    pd.DataFrame({"months": [3]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(TrainingDataError):
        list(hands(tmp_path / "c.parquet", 3))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_drawn_pictures_can_be_described(kind: str) -> None:
    picture = KINDS[kind](np.random.default_rng(0))
    assert picture.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
    found = pixel_statistics(picture)
    assert found.shape == (LENGTH,) and bool(found.isfinite().all())
    assert np.array_equal(picture, KINDS[kind](np.random.default_rng(0)))


def test_a_mirror_image_is_known_by_its_symmetry() -> None:
    half = np.random.default_rng(0).random((64, 32)).astype(np.float32)
    symmetric = np.concatenate((half, half[:, ::-1]), axis=1)
    across, down = pixel_statistics(symmetric)[-19:-17].tolist()
    assert across > 0.9 and abs(down) < 0.5


@pytest.fixture(scope="module")
def engine() -> FractureEngine:
    """The shipped detector; whoever replaces it fits its scope model anew (``cds train scope``)."""
    shipped = FractureEngine.load(runtime="torch", threads=1)
    assert shipped.scope is not None, "the shipped scope model belongs to another detector: run cds train scope"
    return shipped


def call(engine: FractureEngine, pixels: np.ndarray) -> FractureCall:
    radiograph = Radiograph(pixels=np.ascontiguousarray(pixels, np.float32), sha256="0" * 64, source_format="png")
    return engine.analyse(radiograph).call


@pytest.mark.parametrize("name", ["CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "MR_small.dcm", "examples_overlay.dcm"])
def test_slices_are_refused_by_their_pixels(engine: FractureEngine, name: str) -> None:
    """These were among the pictures it was fitted on: a check of the chain, not of how well it generalises."""
    assert call(engine, picture(Path(get_testdata_file(name, download=False)))) is FractureCall.CANNOT_JUDGE


def test_photographs_are_refused(engine: FractureEngine) -> None:
    for photograph in load_sample_images().images:
        grey = photograph.astype(np.float32).mean(axis=2) / 255
        assert call(engine, grey) is FractureCall.CANNOT_JUDGE


@pytest.mark.parametrize("kind", ["blank", "document", "pattern"])
def test_blanks_and_pages_never_drawn_before_are_refused(engine: FractureEngine, kind: str) -> None:
    assert call(engine, KINDS[kind](np.random.default_rng(77))) is FractureCall.CANNOT_JUDGE


@pytest.mark.parametrize("limb", list(Limb))
def test_drawn_limbs_are_judged(engine: FractureEngine, limb: Limb) -> None:
    pixels = make_phantom(random_spec(5, limb=limb), seed=5).pixels
    for turned in (pixels, np.rot90(pixels), pixels[:, ::-1]):
        assert call(engine, turned) is not FractureCall.CANNOT_JUDGE


@requires_shared
def test_limbs_are_judged_however_they_lie(engine: FractureEngine) -> None:
    """Radiographs of the validation split, as they are and turned by a quarter."""
    shared = shared_dir()
    assert shared is not None
    limbs = read_collection(shared / "data/fracatlas", "val").samples[::24]
    assert len(limbs) >= 9
    for limb in limbs:
        pixels = read_radiograph(limb.path).pixels
        for seen in (pixels, np.rot90(pixels)):
            assert call(engine, seen) is not FractureCall.CANNOT_JUDGE


@requires_shared
def test_the_chest_is_refused_and_the_tibia_judged(engine: FractureEngine) -> None:
    shared = shared_dir()
    assert shared is not None
    assert call(engine, picture(shared / "data/dicom/RG1_J2KI.dcm")) is FractureCall.CANNOT_JUDGE
    tibia = read_radiograph(shared / "data/dicom/RG3_J2KR.dcm")
    assert engine.analyse(tibia).call is not FractureCall.CANNOT_JUDGE
