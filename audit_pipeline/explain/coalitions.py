"""Which pieces of an image to show together, and what the answers say about each piece: Shapley values and LIME.

Pure functions on players 0 ... M-1; a coalition is a row of booleans, true where the player is present.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from audit_pipeline.errors import ExplainError


def shapley_coalitions(players: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return coalitions (n, M) bool, neither empty nor full, and their weights (n,) float64 in the regression.

    All of them with the Shapley kernel as weight when there are at most `samples`; otherwise sizes are drawn by the
    kernel, members evenly, each coalition together with its complement, and every row weighs the same.

    References
    ----------
    Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874, theorem 2 (kernel); Covert and Lee, AISTATS 2021,
    arXiv:2012.01536, section 4.1 (pairing).
    """
    if 2**players - 2 <= samples:
        numbers = torch.arange(1, 2**players - 1)
        coalitions = (numbers[:, None] >> torch.arange(players)) % 2 == 1
        kernel = [
            (players - 1) / (math.comb(players, size) * size * (players - size))
            for size in coalitions.sum(dim=1).tolist()
        ]
        return coalitions, torch.tensor(kernel, dtype=torch.float64)
    sizes = torch.arange(1, players, dtype=torch.float64)
    drawn = 1 + torch.multinomial(1 / (sizes * (players - sizes)), -(-samples // 2), True, generator=generator)
    ranks = torch.rand(len(drawn), players, generator=generator).argsort(dim=1).argsort(dim=1)
    half = ranks < drawn[:, None]
    coalitions = torch.stack([half, ~half], dim=1).flatten(0, 1)[:samples]
    return coalitions, torch.ones(len(coalitions), dtype=torch.float64)


def shapley_values(coalitions: Tensor, weights: Tensor, answers: Tensor, empty: Tensor, full: Tensor) -> Tensor:
    """Return the value of every player, (M, T) float64; the values of a column sum to full - empty exactly.

    Parameters
    ----------
    coalitions : (n, M) bool; weights : (n,); answers : (n, T) the game's value for each; empty, full : (T,)

    Raises
    ------
    ExplainError
        The coalitions do not determine the values.

    References
    ----------
    Lundberg and Lee 2017, arXiv:1705.07874, equation 8, with the sum as an equality constraint that removes the last
    player from the regression.
    """
    present = coalitions.double()
    last = present[:, -1:]
    gain = (full - empty).double()
    design = present[:, :-1] - last
    wanted = answers.double() - empty.double() - last * gain
    root = weights.sqrt()[:, None]
    if design.shape[1] and (len(design) == 0 or int(torch.linalg.matrix_rank(root * design)) < design.shape[1]):
        raise ExplainError(
            f"{len(design)} samples do not determine the values of {present.shape[1]} segments; "
            "raise samples or lower n_segments"
        )
    others = torch.linalg.lstsq(root * design, root * wanted).solution if design.shape[1] else wanted[:0]
    return torch.cat([others, (gain - others.sum(dim=0))[None]])


def lime_coalitions(players: int, samples: int, generator: torch.Generator) -> Tensor:
    """Return coalitions (n, M) bool: the full one first, in the others each player by the toss of a coin."""
    coalitions = torch.rand(samples, players, generator=generator) < 0.5
    coalitions[0] = True
    return coalitions


def lime_values(coalitions: Tensor, answers: Tensor, *, width: float, ridge: float) -> Tensor:
    r"""Return the slope of a local linear model for every player, (M, T) float64.

    Rows weigh :math:`\exp(-d^2 / w^2)` with d the cosine distance to the full coalition; the intercept is free;
    ``ridge`` is the penalty on the squared slopes per unit of total weight.

    Parameters
    ----------
    coalitions : (n, M) bool; answers : (n, T)

    References
    ----------
    Ribeiro, Singh and Guestrin, KDD 2016, arXiv:1602.04938, equations 1 and 2 and section 3.4 (there K-Lasso, here a
    ridge, as in the authors' code for images).
    """
    present, wanted = coalitions.double(), answers.double()
    distance = 1 - present.mean(dim=1).sqrt()
    weights = torch.exp(-((distance / width) ** 2))
    weights = (weights / weights.sum())[:, None]
    centred = present - (weights * present).sum(dim=0)
    centred_answers = wanted - (weights * wanted).sum(dim=0)
    normal = centred.T @ (weights * centred) + ridge * torch.eye(present.shape[1], dtype=torch.float64)
    slopes: Tensor = torch.linalg.lstsq(normal, centred.T @ (weights * centred_answers)).solution
    return slopes
