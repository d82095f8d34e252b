"""The model from its input to one layer, on noise of any size, with or without a part that is not a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError, LayerError


class _Reached(Exception):  # noqa: N818 - not an error: it ends the pass at the layer
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put back every buffer a pass changes: running statistics must not learn from NaN."""
    kept = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in kept:
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


class Probe:
    """The model from the input to the layer, on noise of any size.

    size, grid : of the images and of the layer's answer to them; growth : by how much the last probe had to be longer
    """

    def __init__(self, model: nn.Module, name: str, module: nn.Module, images: Tensor, seed: int) -> None:
        self.model, self.name, self.module, self.seed = model, name, module, seed
        self.growth = 0
        self.channels, self.size = int(images.shape[1]), tuple(int(side) for side in images.shape[2:])
        parameter = next(model.parameters(), images)
        self.kind = {"dtype": images.dtype, "device": parameter.device}
        with torch.no_grad():
            output = self.activations(self.noise(self.size, 0))
        if not bool(torch.isfinite(output).all()):
            raise ExplainError(f"layer {name!r} answers noise with values that are not finite; check the weights")
        self.grid = tuple(int(side) for side in output.shape[2:])

    def noise(self, size: Sequence[int], draw: int) -> Tensor:
        """Return (1, C, *size) standard normal noise."""
        generator = torch.Generator().manual_seed(self.seed + draw)
        return torch.randn(1, self.channels, *size, generator=generator).to(**self.kind)  # type: ignore[call-overload,no-any-return]

    def activations(self, images: Tensor) -> Tensor:
        """Return the output of the layer, (1, C', *grid); nothing behind the layer runs."""

        def stop(_module: nn.Module, _inputs: object, output: object) -> None:
            raise _Reached(output)

        handle = self.module.register_forward_hook(stop)
        try:
            self.model(images)
        except _Reached as reached:
            output = reached.output
        else:
            raise LayerError(f"layer {self.name!r} does not run in a forward pass; name a layer that does")
        finally:
            handle.remove()
        if not isinstance(output, Tensor) or output.ndim != images.ndim:
            raise LayerError(
                f"layer {self.name!r} has no spatial output of its own; name one that returns (N, C, *grid)"
            )
        return output

    def reach(self, size: Sequence[int], axis: int, start: int, *, is_mirrored: bool) -> NDArray[np.bool_]:
        """Return which cells along `axis` see a pixel at `start` or beyond; mirrored, both count from the far end."""
        images = self.noise(size, 0)
        first = 0 if is_mirrored else start
        images.narrow(axis + 2, first, size[axis] - start).fill_(torch.nan)
        # Winograd and Fourier convolutions of cuDNN mix neighbouring outputs, which would spread NaN beyond the field.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            output = self.activations(images)
        others = tuple(other for other in range(output.ndim) if other != axis + 2)
        seen = np.asarray(torch.isnan(output).amax(dim=others).cpu().numpy(), dtype=np.bool_)
        return seen[::-1] if is_mirrored else seen
