"""The viewer's colours as eyes that lack one kind of cone see them.

Simulation: Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15:1291), severity 1.0, in linear RGB; distances in CIELAB
(CIE 1976), lightness L* in 0..100.
"""

import itertools
import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from cds.presenters.viewer.assets import script

EYES = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ @ np.ones(3)
JUST_TOLD_APART = 2.3
"""The usual just noticeable difference in CIELAB."""
SCRIPT = script("viewer")


def linear(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    part = np.array(colour) / 255
    return np.asarray(np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4))


def lab(colour: tuple[int, int, int], eye: str) -> NDArray[np.float64]:
    """L*, a*, b* as that eye sees a colour."""
    xyz = TO_XYZ @ np.clip(EYES[eye] @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def colours() -> dict[str, tuple[int, int, int]]:
    """Those of the boxes, by what they mark."""
    (row,) = re.findall(r"const COLOURS = \{(.*?)\};", SCRIPT)
    found = dict(re.findall(r'(\w+): "#([0-9a-f]{6})"', row))
    return {name: (int(one[:2], 16), int(one[2:4], 16), int(one[4:], 16)) for name, one in found.items()}


def distance(one: str, other: str, eye: str) -> float:
    known = colours()
    return math.dist(lab(known[one], eye), lab(known[other], eye))


def test_there_are_the_colours_that_are_looked_at() -> None:
    assert set(colours()) == {"definite", "suspected", "own", "corrected", "missed"}


@pytest.mark.parametrize("eye", EYES)
def test_the_machine_s_two_kinds_of_box_are_far_apart(eye: str) -> None:
    assert distance("definite", "suspected", eye) > 50


@pytest.mark.parametrize("eye", EYES)
def test_a_person_s_boxes_are_told_from_the_machine_s(eye: str) -> None:
    for person, machine in itertools.product(("own", "corrected", "missed"), ("definite", "suspected")):
        assert distance(person, machine, eye) > 6 * JUST_TOLD_APART


def test_no_kind_of_box_is_told_by_its_colour_alone() -> None:
    dashes = re.search(
        r'setLineDash\(kind === "definite" \? (\[.*?\]) : kind === "suspected" \? (\[.*?\]) : (\[.*?\])', SCRIPT
    )
    assert dashes is not None and len(set(dashes.groups())) == 3


@pytest.mark.parametrize("eye", EYES)
def test_the_heat_map_rises_in_lightness_for_every_eye(eye: str) -> None:
    (row,) = re.findall(r"const CIVIDIS = \[(.*?)\];", SCRIPT)
    stops = [tuple(int(part) for part in one.split(",")) for one in re.findall(r"\[([\d, ]+)\]", "[" + row + "]")]
    assert len(stops) == 5
    lightness = [lab((red, green, blue), eye)[0] for red, green, blue in stops]
    assert all(after - before > 10 for before, after in itertools.pairwise(lightness))


def test_labels_are_read_on_their_boxes() -> None:
    """Black on the box's colour: contrast after WCAG 2.2, at least 4.5."""
    for colour in colours().values():
        luminance = float(TO_XYZ[1] @ linear(colour))
        assert (luminance + 0.05) / 0.05 > 4.5
