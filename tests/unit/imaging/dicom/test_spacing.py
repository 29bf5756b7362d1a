"""Millimetres per pixel and where they hold."""

import pytest
from pydicom.dataset import Dataset

from imaging.dicom.spacing import pixel_spacing
from imaging.results import SpacingOrigin


def header(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize("kind", ["GEOMETRY", "FIDUCIAL"])
def test_calibrated_pixel_spacing(kind: str) -> None:
    spacing, warnings = pixel_spacing(
        header(PixelSpacing=["0.13", "0.13"], PixelSpacingCalibrationType=kind, ImagerPixelSpacing=["0.15", "0.15"])
    )
    assert spacing is not None and warnings == ()
    assert (spacing.row_mm, spacing.column_mm, spacing.origin) == (0.13, 0.13, SpacingOrigin.CALIBRATED)


def test_calibration_that_changed_nothing_is_none() -> None:
    spacing, warnings = pixel_spacing(
        header(
            PixelSpacing=["0.15", "0.15"], PixelSpacingCalibrationType="GEOMETRY", ImagerPixelSpacing=["0.15", "0.15"]
        )
    )
    assert spacing is not None and spacing.origin is SpacingOrigin.DETECTOR
    assert warnings == ("imaging.spacing.detector_plane",)


def test_magnification_gives_patient_millimetres() -> None:
    spacing, warnings = pixel_spacing(
        header(ImagerPixelSpacing=["0.2", "0.2"], EstimatedRadiographicMagnificationFactor="1.25")
    )
    assert spacing is not None and spacing.origin is SpacingOrigin.CALIBRATED and warnings == ()
    assert spacing.row_mm == pytest.approx(0.16)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagerPixelSpacing": ["0.2", "0.2"]},
        {"PixelSpacing": ["0.2", "0.2"]},
        {"NominalScannedPixelSpacing": ["0.2", "0.2"]},
        {"PixelSpacing": ["0.17", "0.17"], "ImagerPixelSpacing": ["0.2", "0.2"]},
        {"ImagerPixelSpacing": ["0.2", "0.2"], "EstimatedRadiographicMagnificationFactor": "0"},
        {"ImagerPixelSpacing": ["0.2", "0.2"], "EstimatedRadiographicMagnificationFactor": "17"},
    ],
)
def test_everything_else_holds_at_the_detector(attributes: dict[str, object]) -> None:
    spacing, warnings = pixel_spacing(header(**attributes))
    assert spacing is not None and spacing.row_mm == 0.2 and spacing.origin is SpacingOrigin.DETECTOR
    assert warnings == ("imaging.spacing.detector_plane",)


def test_none() -> None:
    assert pixel_spacing(header()) == (None, ("imaging.spacing.missing",))
    assert pixel_spacing(header(PixelSpacing=None)) == (None, ("imaging.spacing.missing",))


@pytest.mark.parametrize("pair", [["0", "0"], ["-0.1", "-0.1"], ["2.5", "2.5"], ["0.001", "0.001"]])
def test_implausible_values_are_not_used(pair: list[str]) -> None:
    assert pixel_spacing(header(PixelSpacing=pair)) == (None, ("imaging.spacing.implausible",))


def test_one_value_or_no_number_is_implausible() -> None:
    assert pixel_spacing(header(PixelSpacing="0.2")) == (None, ("imaging.spacing.implausible",))
    damaged = Dataset()
    damaged.add_new("PixelSpacing", "LO", ["wide", "narrow"])
    assert pixel_spacing(damaged) == (None, ("imaging.spacing.implausible",))


def test_pixels_that_are_not_square_are_not_used() -> None:
    assert pixel_spacing(header(PixelSpacing=["0.2", "0.3"])) == (None, ("imaging.spacing.anisotropic",))
    stretched = header(PixelSpacing=["0.2", "0.2"], PixelAspectRatio=["1", "2"])
    assert pixel_spacing(stretched) == (None, ("imaging.spacing.anisotropic",))
    square = header(PixelSpacing=["0.2", "0.2"], PixelAspectRatio=["1", "1"])
    assert pixel_spacing(square)[0] is not None


def test_a_sound_value_beside_an_implausible_one_is_used_with_both_warnings() -> None:
    spacing, warnings = pixel_spacing(header(ImagerPixelSpacing=["0", "0"], PixelSpacing=["0.2", "0.2"]))
    assert spacing is not None
    assert warnings == ("imaging.spacing.implausible", "imaging.spacing.detector_plane")
