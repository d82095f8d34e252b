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
from isal.isal_zlib import crc32
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
Part = tuple[str, ...]
State = dict[Part, Any]
"""Facts by what they are about: a kind, the name of a module, and the key of a tensor in it."""


def fingerprint(model: nn.Module) -> State:
    """Return the state of a model and of what it shares with the program, by kind and name."""
    state: State = {}
    tensors: dict[Part, Tensor] = {}
    for name, module in model.named_modules():
        # by the dictionary: an attribute that a module lacks is searched for long
        own = module.__dict__
        inplace = own.get("inplace")
        state["mode of", name] = module.training
        state["hooks of", name] = [tuple(hooks) for kind in _HOOKS if (hooks := own.get(kind))]
        if isinstance(inplace, bool):
            state["inplace of", name] = inplace
        for key, parameter in module._parameters.items():
            if parameter is not None:
                tensors["weights", name, key] = parameter
                state["flag of", name, key] = parameter.requires_grad
                if parameter.grad is not None:
                    tensors["gradient of", name, key] = parameter.grad
        for key, buffer in module._buffers.items():
            if buffer is not None:
                tensors["buffer", name, key] = buffer
    return state | _contents(tensors) | _of_the_program()


def _shown(part: Part) -> str:
    kind, *names = part
    return f"{kind} {'.'.join(name for name in names if name) or 'the model'}" if names else kind


def _contents(tensors: Mapping[Part, Tensor]) -> State:
    """Return where each tensor lies, how often it was written, and a checksum of its values.

    In the memory of the host the checksum is that of the bytes (CRC-32), on a device the sum of magnitudes, computed
    there for all at once; that of NaN is NaN and compared as text.
    """
    found: State = {
        part: (one.data_ptr(), one._version, _checksum(one) if one.is_cpu else None) for part, one in tensors.items()
    }
    away = {part: one.detach().float() for part, one in tensors.items() if not one.is_cpu}
    if away:
        sums = torch._foreach_norm(list(away.values()), 1)
        values = torch.stack([one.double().cpu() for one in sums]).tolist()
        found |= {part: (*found[part][:2], str(value)) for part, value in zip(away, values, strict=True)}
    return found


def _checksum(tensor: Tensor) -> int:
    values = tensor.detach()
    try:
        return int(crc32(values.numpy()))
    except (TypeError, ValueError, BufferError):  # a type NumPy does not know, or values that do not lie side by side
        return int(crc32(values.contiguous().flatten().view(torch.uint8).numpy()))


def _of_the_program() -> State:
    state: State = {
        ("random state of torch",): torch.get_rng_state().numpy().tobytes(),
        ("random state of NumPy",): _numpy_state(),
        ("random state of Python",): random.getstate(),
        ("gradient switch",): (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        ("determinism switch",): (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        ("benchmark switch",): torch.backends.cudnn.benchmark,
        ("default type",): torch.get_default_dtype(),
        ("threads",): torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        state["random state of the GPU",] = tuple(one.numpy().tobytes() for one in torch.cuda.get_rng_state_all())
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
        if before != after:
            changed = [_shown(part) for part in before.keys() | after.keys() if before.get(part) != after.get(part)]
            shown = ", ".join(sorted(changed)[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
            raise ExplainError(f"the explanation changed what is not its own: {shown}; its maps are discarded")
