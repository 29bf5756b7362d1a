"""What is refused and what is judged: on drawn vectors, and with the shipped weights on real and drawn pictures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from imaging.training.errors import TrainingDataError
from imaging.training.negatives import KINDS
from imaging.training.scope import ScopeVectors, fit_vectors, picture, write
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
    torch.testing.assert_close(read.scores(probe), model.scores(probe))
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
def test_limbs_are_judged_however_they_lie(engine: FractureEngine, limb: Limb) -> None:
    pixels = make_phantom(random_spec(5, limb=limb), seed=5).pixels
    for turned in (pixels, np.rot90(pixels), pixels[:, ::-1]):
        assert call(engine, turned) is not FractureCall.CANNOT_JUDGE


@requires_shared
def test_the_chest_is_refused_and_the_tibia_judged(engine: FractureEngine) -> None:
    shared = shared_dir()
    assert shared is not None
    assert call(engine, picture(shared / "data/dicom/RG1_J2KI.dcm")) is FractureCall.CANNOT_JUDGE
    tibia = read_radiograph(shared / "data/dicom/RG3_J2KR.dcm")
    assert engine.analyse(tibia).call is not FractureCall.CANNOT_JUDGE
