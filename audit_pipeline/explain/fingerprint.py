"""That the user's model leaves as it came: everything an explanation could change, compared before and after.

Compared are weights and buffers (content, storage and version), gradients, modes, hooks and flags of parameters; the
random state of torch, NumPy and Python; and the switches of torch that are global.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audit_pipeline.errors import ExplainError

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)
State = dict[str, Any]


def fingerprint(model: nn.Module) -> State:
    """Return the state of a model and of what it shares with the program, by name."""
    state: State = {}
    tensors: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        state[f"mode of {name or 'the model'}"] = module.training
        hooks = tuple(tuple(found) for kind in _HOOKS if (found := getattr(module, kind, None)))
        state[f"hooks of {name or 'the model'}"] = hooks
        if isinstance(getattr(module, "inplace", None), bool):
            state[f"inplace of {name}"] = module.inplace
        dot = f"{name}." if name else ""
        for own, parameter in module._parameters.items():
            if parameter is not None:
                tensors[f"weights {dot}{own}"] = parameter
                state[f"flag of {dot}{own}"] = parameter.requires_grad
                state[f"gradient of {dot}{own}"] = parameter.grad is not None
                if parameter.grad is not None:
                    tensors[f"gradient of {dot}{own}"] = parameter.grad
        tensors |= {f"buffer {dot}{own}": buffer for own, buffer in module._buffers.items() if buffer is not None}
    return state | _contents(tensors) | _of_the_program()


def _contents(tensors: Mapping[str, Tensor]) -> State:
    """Return where each tensor lies, how often it was written, and a checksum of its values.

    The checksums of floating-point tensors, their sums of magnitudes, are one call for all; that of NaN is NaN and
    compared as text.
    """
    with torch.no_grad():
        floats = [one.detach() for one in tensors.values() if one.is_floating_point() and one.numel()]
        sums = iter(torch._foreach_norm(floats, 1) if floats else ())
        found: State = {}
        for name, one in tensors.items():
            checksum = next(sums) if one.is_floating_point() and one.numel() else one.detach().sum()
            found[name] = (one.data_ptr(), one._version, checksum)
        values = torch.stack([entry[2].double().cpu() for entry in found.values()]).tolist() if found else []
    return {name: (*entry[:2], str(value)) for (name, entry), value in zip(found.items(), values, strict=True)}


def _of_the_program() -> State:
    state: State = {
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "random state of NumPy": _numpy_state(),
        "random state of Python": random.getstate(),
        "gradient switch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "determinism switch": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "benchmark switch": torch.backends.cudnn.benchmark,
        "default type": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        state["random state of the GPU"] = tuple(one.numpy().tobytes() for one in torch.cuda.get_rng_state_all())
    return state


def _numpy_state() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the state that others rely on
    return kind, np.asarray(keys).tobytes(), *rest


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Verify that the block inside leaves the model and the program as they came, also when it raises.

    Raises
    ------
    ExplainError
        Something differs; it is named.
    """
    before = fingerprint(model)
    try:
        yield
    finally:
        after = fingerprint(model)
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        if changed:
            shown = ", ".join(sorted(changed)[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
            raise ExplainError(f"the explanation changed what is not its own: {shown}; its maps are discarded")
