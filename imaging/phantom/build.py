"""A specification and a seed in, a radiograph with its truth out."""

import math
from io import BytesIO

import numpy as np

from imaging.phantom.anatomy import limb_model
from imaging.phantom.fracture import Break, Placement, break_bone, truth
from imaging.phantom.overlay import annotate, margins
from imaging.phantom.parts import LimbModel
from imaging.phantom.physics import detect, develop, transmission
from imaging.phantom.render import path_lengths
from imaging.phantom.spec import BONES, REGIONS, Phantom, PhantomBone, PhantomSpec, PhantomTruth
from imaging.results import PixelSpacing, SpacingOrigin


def make_phantom(spec: PhantomSpec, *, seed: int) -> Phantom:
    """Draw a phantom radiograph.

    Args:
        spec: What to draw.
        seed: Decides noise, teeth of the fracture, trabeculae and plate marks; the geometry comes from `spec` alone.

    Returns:
        Pixels [H, W] float32 0..1, bone bright, and the truth.
    """
    rng = np.random.default_rng(seed)
    model, breaks, placement = _lay_out(spec, rng)
    paths = path_lengths(model, breaks, placement, spec, rng)
    pixels = develop(detect(transmission(paths), spec, rng), spec, rng)
    pixels = margins(pixels, spec, rng)
    if spec.annotate:
        pixels = annotate(pixels, spec)
    return Phantom(
        pixels=np.clip(pixels, 0.0, 1.0).astype(np.float32),
        truth=_truth(spec, breaks, placement),
        spec=spec,
        seed=seed,
    )


def phantom_truth(spec: PhantomSpec) -> PhantomTruth:
    """What will be true of the phantom, without drawing it."""
    _, breaks, placement = _lay_out(spec, np.random.default_rng(0))
    return _truth(spec, breaks, placement)


def _lay_out(spec: PhantomSpec, rng: np.random.Generator) -> tuple[LimbModel, dict[PhantomBone, Break], Placement]:
    model = limb_model(spec)
    breaks = {fracture.bone: break_bone(model.long_bones[fracture.bone], fracture, rng) for fracture in spec.fractures}
    return model, breaks, _placement(spec, model.centre, breaks)


def _truth(spec: PhantomSpec, breaks: dict[PhantomBone, Break], placement: Placement) -> PhantomTruth:
    return PhantomTruth(
        fractures=tuple(truth(breaks[name], placement) for name in BONES[spec.limb] if name in breaks),
        spacing=PixelSpacing(row_mm=spec.spacing_mm, column_mm=spec.spacing_mm, origin=SpacingOrigin.CALIBRATED),
        region=REGIONS[spec.limb],
        laterality=spec.laterality,
    )


def _placement(spec: PhantomSpec, centre: tuple[float, float], breaks: dict[PhantomBone, Break]) -> Placement:
    if spec.centre_on_fracture and breaks:
        centre = breaks[spec.fractures[0].bone].centre
    return Placement(
        spacing_mm=spec.spacing_mm,
        mirrored=spec.laterality == "L",
        angle_rad=math.radians(spec.rotation_deg),
        centre_mm=centre,
        centre_px=(
            spec.width_px / 2.0 + spec.offset_mm[0] / spec.spacing_mm,
            spec.height_px / 2.0 + spec.offset_mm[1] / spec.spacing_mm,
        ),
    )


def phantom_png(phantom: Phantom) -> bytes:
    """The phantom as an 8-bit grey PNG with the tEXt chunk that `imaging.raster` knows as the synthetic mark."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Synthetic Data", "YES")
    info.add_text("Software", "fracture-cds phantom")
    buffer = BytesIO()
    grey = np.rint(phantom.pixels * 255.0).astype(np.uint8)
    Image.fromarray(grey).save(buffer, format="PNG", pnginfo=info, optimize=True)
    return buffer.getvalue()
