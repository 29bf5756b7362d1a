"""The written DICOM is valid, and reads back as what was written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from imaging.dicom.writer import DicomHeader, RadiographClass, View, build_dicom, write_dicom
from imaging.labels import BodyRegion
from imaging.reader import read_radiograph
from imaging.results import SpacingOrigin
from tests.support.dicom import limb_image, spacing
from tests.support.tools import requires_dciodvfy

HEADERS = {
    "dx": DicomHeader(region=BodyRegion.WRIST, laterality="L", spacing=spacing(0.2), synthetic=True),
    "dx-detector": DicomHeader(
        region=BodyRegion.ANKLE, laterality="R", spacing=spacing(0.15, origin=SpacingOrigin.DETECTOR), view=View.AP
    ),
    "dx-inverted": DicomHeader(spacing=spacing(0.15), inverted=True, view=View.LL, bits_stored=16),
    "cr": DicomHeader(
        region=BodyRegion.LOWER_LEG, laterality="R", storage=RadiographClass.CR, spacing=spacing(0.1), bits_stored=8
    ),
    "cr-bare": DicomHeader(storage=RadiographClass.CR, inverted=True, bits_stored=10),
}


@pytest.mark.parametrize("name", HEADERS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    header, path = HEADERS[name], tmp_path / "x"
    write_dicom(path, limb_image(), header)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, limb_image(), atol=0.6 / (2**header.bits_stored - 1) + 1e-3)
    assert radiograph.region is header.region
    assert radiograph.laterality == (header.laterality or ("U" if header.storage is RadiographClass.DX else None))
    assert radiograph.synthetic is header.synthetic
    if header.spacing is None:
        assert radiograph.spacing is None
    else:
        assert radiograph.spacing == header.spacing


@requires_dciodvfy
@pytest.mark.parametrize("name", HEADERS)
def test_validator_reports_no_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    write_dicom(path, limb_image(), HEADERS[name])
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == []


def test_uids_follow_the_seed() -> None:
    first, second, third = (
        build_dicom(limb_image(), DicomHeader(storage=RadiographClass.CR, uid_seed=seed)) for seed in ("a", "a", "b")
    )
    assert first.SOPInstanceUID == second.SOPInstanceUID != third.SOPInstanceUID
    assert len({first.SOPInstanceUID, first.SeriesInstanceUID, first.StudyInstanceUID}) == 3
    assert first.SOPInstanceUID.is_valid


def test_refuses_what_would_not_be_valid() -> None:
    with pytest.raises(ValueError, match="spacing"):
        build_dicom(limb_image(), DicomHeader())
    with pytest.raises(ValueError, match="pixels"):
        build_dicom(np.zeros((4, 4, 3)), DicomHeader(storage=RadiographClass.CR))
