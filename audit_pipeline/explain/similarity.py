r"""How alike two maps are, how complex one is, and random maps of the same smoothness."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from audit_pipeline.agreement import spearman

Map = NDArray[np.float64]

WINDOW_CELLS = 1.5
"""Standard deviation of the Gaussian window of the structural similarity, cut off at 3.5 of it (11 cells)."""

K1, K2 = 0.01, 0.03


def pairwise_scores(one: Map, other: Map) -> tuple[float | None, float | None, float | None]:
    """Return Spearman's correlation of the maps and of their magnitudes, and their structural similarity."""
    return spearman(one, other), spearman(np.abs(one), np.abs(other)), ssim(one, other)


def ssim(one: Map, other: Map) -> float | None:
    r"""Return the mean structural similarity of two maps of any number of axes; None when both are zero.

    Each map is divided by its largest magnitude, so scales do not count; then both are brought to 0..1 by the smallest
    and the largest value of the two together and 0. That keeps their signs apart and is needed: with negative means
    and covariances the product below would be positive, and a map would resemble its own negative. With Gaussian
    weighted means, variances and covariance around every place, whose weights at the rim are those inside the map, it
    is the mean of :math:`(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2) / ((\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 +
    \sigma_y^2 + C_2))` with :math:`C_i = K_i^2`.

    References
    ----------
    Z. Wang et al., Image quality assessment: from error visibility to structural similarity, 2004,
    doi:10.1109/TIP.2003.819861, equation 13.
    """
    first, second = (values / (np.abs(values).max() or 1.0) for values in (one, other))
    lowest = min(0.0, first.min(), second.min())
    reach = max(0.0, first.max(), second.max()) - lowest
    if reach == 0:
        return None
    first, second = (first - lowest) / reach, (second - lowest) / reach
    weights = _windowed(np.ones(one.shape))
    mean_one, mean_other, square_one, square_other, product = (
        _windowed(values) / weights for values in (first, second, first * first, second * second, first * second)
    )
    low, high = K1**2, K2**2
    covariance = product - mean_one * mean_other
    variances = square_one - mean_one**2 + square_other - mean_other**2
    alike = (2 * mean_one * mean_other + low) * (2 * covariance + high)
    return float((alike / ((mean_one**2 + mean_other**2 + low) * (variances + high))).mean())


def _windowed(values: Map) -> Map:
    return np.asarray(ndimage.gaussian_filter(values, WINDOW_CELLS, mode="constant", truncate=3.5), dtype=np.float64)


def histogram_entropy(values: Map, bins: int = 100) -> float:
    """Return the entropy in nats of the histogram over the map's own range; 0 for a constant map."""
    if values.min() == values.max():
        return 0.0
    scaled = (values - values.min()) / (values.max() - values.min())
    counts, _ = np.histogram(scaled, bins=bins, range=(0, 1))
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log(shares)).sum())


def surrogate(values: Map, generator: torch.Generator) -> Map:
    """Return a random map with the values of the one given and its power spectrum: as smooth, elsewhere.

    The phases of the Fourier transform are those of white noise; the values are then put in the order of the result
    (amplitude adjusted Fourier transform surrogate). A constant map is its own surrogate.

    References
    ----------
    J. Theiler et al., Testing for nonlinearity in time series: the method of surrogate data, 1992,
    doi:10.1016/0167-2789(92)90102-S, section 2.4.
    """
    noise = torch.randn(values.shape, generator=generator, dtype=torch.float64).numpy()
    spectrum, phases = np.fft.fftn(values - values.mean()), np.fft.fftn(noise)
    drawn = np.fft.ifftn(np.abs(spectrum) * phases / np.maximum(np.abs(phases), 1e-300)).real
    found = np.empty(values.size)
    found[np.argsort(drawn.ravel(), kind="stable")] = np.sort(values.ravel())
    return found.reshape(values.shape)
