"""Random but plausible phantoms: what real radiographs vary in, drawn from a seed."""

from dataclasses import replace

import numpy as np

from imaging.phantom.spec import FractureSpec, Limb, PhantomBone, PhantomSpec, Processing


def random_spec(seed: int, *, limb: Limb | None = None, fractured: bool = True) -> PhantomSpec:
    """Draw a specification.

    Args:
        seed: Same seed, same specification.
        limb: Which limb; None draws one.
        fractured: False leaves the limb intact.
    """
    rng = np.random.default_rng((seed, 0x5EED))
    chosen = limb if limb is not None else (Limb.FOREARM if rng.random() < 0.6 else Limb.LOWER_LEG)
    plate = rng.random() < 0.7
    spacing = rng.uniform(0.78, 1.0) if plate else rng.uniform(0.45, 0.62)
    rows, columns = (454, 373) if plate else (640, 512)
    return PhantomSpec(
        limb=chosen,
        fractures=_fractures(chosen, rng) if fractured else (),
        height_px=rows,
        width_px=columns,
        spacing_mm=round(float(spacing), 4),
        laterality="L" if rng.random() < 0.5 else "R",
        rotation_deg=float(rng.normal(0.0, 7.0) + (180.0 if rng.random() < 0.1 else 0.0)),
        offset_mm=(float(rng.normal(0.0, 14.0)), float(rng.normal(0.0, 10.0))),
        bone_scale=float(np.clip(rng.normal(0.97, 0.06), 0.8, 1.12)),
        cortex_scale=float(rng.uniform(0.75, 1.15)),
        soft_tissue_scale=float(rng.uniform(0.85, 1.25)),
        exposure=float(np.exp(rng.uniform(-0.7, 0.7))),
        contrast=float(rng.uniform(0.88, 1.4)),
        brightness=float(rng.uniform(-0.035, 0.04)),
        processing=Processing.PLATE if plate else Processing.DETECTOR,
        centre_on_fracture=not plate,
    )


def _fractures(limb: Limb, rng: np.random.Generator) -> tuple[FractureSpec, ...]:
    forearm = limb is Limb.FOREARM
    strong, slender = (PhantomBone.RADIUS, PhantomBone.ULNA) if forearm else (PhantomBone.TIBIA, PhantomBone.FIBULA)
    width = 15.0 if forearm else 24.0
    near_joint = rng.random() < 0.45
    height = rng.uniform(18.0, 32.0) if near_joint else rng.uniform(48.0, 125.0)
    displacement = float(rng.choice((-1.0, 1.0)) * width * rng.triangular(0.0, 0.12, 0.8))
    angulation = float(rng.normal(0.0, 9.0))
    oblique = rng.random() < 0.5
    first = FractureSpec(
        bone=strong,
        height_mm=float(height),
        obliquity_deg=float(rng.uniform(25.0, 50.0) * rng.choice((-1.0, 1.0)) if oblique else rng.normal(0.0, 6.0)),
        depth_tilt_deg=float(rng.uniform(-35.0, 35.0)),
        gap_mm=float(rng.uniform(0.5, 2.2)),
        displacement_mm=displacement,
        angulation_deg=float(np.clip(angulation, -30.0, 30.0)),
        shortening_mm=float(rng.uniform(0.0, 8.0)) if abs(displacement) > 0.6 * width else 0.0,
        roughness_mm=float(rng.uniform(0.3, 1.5)),
        fragments=int(rng.integers(0, 4)) if rng.random() < 0.4 else 0,
        swelling_mm=float(rng.uniform(0.5, 5.0)),
    )
    if near_joint or rng.random() > 0.45:
        return (first,)
    second = FractureSpec(
        bone=slender,
        height_mm=float(height + rng.normal(0.0, 12.0) + (0.0 if forearm else 20.0)),
        obliquity_deg=float(np.clip(rng.normal(0.0, 22.0), -55.0, 55.0)),
        depth_tilt_deg=float(rng.uniform(-35.0, 35.0)),
        gap_mm=float(rng.uniform(0.4, 1.6)),
        displacement_mm=0.7 * displacement,
        angulation_deg=float(np.clip(0.9 * angulation, -30.0, 30.0)),
        shortening_mm=first.shortening_mm,
        roughness_mm=float(rng.uniform(0.3, 1.2)),
        swelling_mm=0.0,
    )
    return (first, second)


def random_measurement_spec(seed: int) -> PhantomSpec:
    """Draw a limb to prove measurements on: wider variety than `random_spec`, shafts before joints, some bayonets.

    The limb may lie at any angle, its bones may cross, dose and size vary more, and a sixth of the fractures are
    displaced by about the bone's width and shortened.

    Args:
        seed: Same seed, same specification; unrelated to that of `random_spec`.
    """
    rng = np.random.default_rng((seed, 0x6E0))
    base = random_spec(int(rng.integers(2**31)))
    forearm = base.limb is Limb.FOREARM
    width = 14.0 if forearm else 23.0
    near_joint = rng.random() < 0.2
    bayonet = not near_joint and rng.random() < 0.17
    share = rng.uniform(0.85, 1.15) if bayonet else rng.triangular(0.0, 0.1, 0.7)
    oblique = rng.random() < 0.5
    first = replace(
        base.fractures[0],
        height_mm=float(rng.uniform(18.0, 32.0) if near_joint else rng.uniform(48.0, 125.0)),
        obliquity_deg=float(rng.choice((-1.0, 1.0)) * rng.uniform(20.0, 50.0) if oblique else rng.normal(0.0, 7.0)),
        displacement_mm=float(rng.choice((-1.0, 1.0)) * width * share),
        angulation_deg=float(np.clip(rng.normal(0.0, 11.0), -32.0, 32.0)),
        shortening_mm=float(rng.uniform(2.0, 16.0)) if bayonet else 0.0,
    )
    fractures: tuple[FractureSpec, ...] = (first,)
    if not near_joint and rng.random() < 0.4:
        second = replace(
            first,
            bone=PhantomBone.ULNA if forearm else PhantomBone.FIBULA,
            height_mm=first.height_mm + float(rng.normal(0.0, 12.0)) + (0.0 if forearm else 20.0),
            obliquity_deg=float(np.clip(rng.normal(0.0, 22.0), -55.0, 55.0)),
            displacement_mm=0.6 * first.displacement_mm,
            angulation_deg=0.9 * first.angulation_deg,
            fragments=0,
            swelling_mm=0.0,
        )
        fractures = (first, second)
    return replace(
        base,
        fractures=fractures,
        rotation_deg=float(rng.uniform(-180.0, 180.0)) if rng.random() < 0.4 else float(rng.normal(0.0, 12.0)),
        crossing_height_mm=float(rng.uniform(70.0, 220.0)) if rng.random() < 0.2 else None,
        bone_scale=float(rng.uniform(0.75, 1.15)),
        exposure=float(np.exp(rng.uniform(-1.1, 1.1))),
        centre_on_fracture=base.centre_on_fracture or rng.random() < 0.5,
    )
