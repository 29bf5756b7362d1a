"""Synthetic limb radiographs with known geometry: no patient, every length and angle true by construction.

A limb is built from tubular bones and rounded pieces of soft tissue, broken by a plane that may be tilted to the beam,
and imaged: path lengths, attenuation at three energies, scatter, quantum noise, and the image processing of a console.
The results are made to look like the radiographs of FracAtlas (their grey-level percentiles, edge strength and power
spectrum were the yardstick), so that a detector trained on real radiographs can be tried on them. They prove that a
pipeline works and measures right; they prove nothing about accuracy on patients.

Map
---
``spec``      what to draw (`PhantomSpec`, `FractureSpec`) and what is true of it (`PhantomTruth`).
``build``     `make_phantom`, `phantom_truth`; the phantom as PNG.
``export``    the phantom as DICOM.
``sampling``  `random_spec`: plausible variety from a seed; `random_measurement_spec`: harder, to measure on.
``anatomy``   the limb asked for, at its size; ``forearm``, ``lower_leg`` and ``parts`` hold the millimetres.
``shapes``    solids and the beam's path through them.
``fracture``  breaking a bone, and the truth about it.
``render``    path lengths of the whole limb.
``physics``   path lengths to grey values.
``overlay``   margins, side marker, the words SYNTHETIC PHANTOM.
"""

from imaging.phantom.build import make_phantom, phantom_png, phantom_truth
from imaging.phantom.sampling import random_measurement_spec, random_spec
from imaging.phantom.spec import (
    FractureSpec,
    FractureTruth,
    Limb,
    Phantom,
    PhantomBone,
    PhantomSpec,
    PhantomTruth,
    Processing,
)

__all__ = [
    "FractureSpec",
    "FractureTruth",
    "Limb",
    "Phantom",
    "PhantomBone",
    "PhantomSpec",
    "PhantomTruth",
    "Processing",
    "make_phantom",
    "phantom_png",
    "phantom_truth",
    "random_measurement_spec",
    "random_spec",
]
