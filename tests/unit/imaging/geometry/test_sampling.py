"""Many directions sampled at once, and other short cuts, give what the long way gives."""

import math

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.edges import fit_axis
from imaging.geometry.window import Window, open_window
from imaging.results import BoxPx


def _picture(seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((160, 200)).astype(np.float32)


def _window(box: BoxPx) -> Window:
    window = open_window(_picture(), box)
    assert window is not None
    return window


def test_fan_is_one_direction_after_another() -> None:
    """Grey values and rows inside the picture alike, also where the picture ends."""
    window = _window(BoxPx(x1=120.0, y1=10.0, x2=180.0, y2=60.0))
    angles = [math.radians(step) for step in range(0, 360, 24)]
    along = np.asarray([np.arange(20.0 + index, 60.0 + index, 1.5) for index in range(len(angles))])
    counts = np.asarray([30 + index for index in range(len(angles))])
    across = np.asarray([-15.5 + np.arange(counts.max()) for _ in angles])
    values, inside = window.sample_fan(angles, along, across, counts)
    shares = set()
    for index, angle in enumerate(angles):
        wanted, within = window.sample(angle, along[index], across[index, : counts[index]])
        np.testing.assert_allclose(values[index, :, : counts[index]], wanted, atol=2e-4)
        np.testing.assert_array_equal(inside[index], within)
        shares.add(float(within.mean()))
    assert min(shares) == 0.0
    assert max(shares) == 1.0


def test_noise_and_edge_are_those_of_the_whole_window() -> None:
    """Gradients are taken near the box only, and are the same there."""
    picture = _picture()
    small = open_window(picture, BoxPx(x1=90.0, y1=70.0, x2=110.0, y2=86.0))
    assert small is not None
    across, down = np.gradient(small.image)
    reach = 1.3 * small.side
    (x, y), size = small.centre, np.hypot(across, down)
    near = size[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1]
    # Sobel's differences are smoothed across, so they are smaller on noise, by a factor that does not depend on place.
    assert 0.5 * np.percentile(near, 93) < small.edge < np.percentile(near, 93)


def test_a_line_among_outliers_is_found() -> None:
    """The closed form of the weighted line agrees with the line drawn, a fifth of the rows being wrong."""
    along = np.arange(30.0, 90.0)
    middle = 4.0 - 0.12 * along
    middle[::5] += 9.0
    axis = fit_axis(along, middle)
    assert abs(axis.slope + 0.12) < 1e-3
    assert abs(axis.offset - 4.0) < 0.1
