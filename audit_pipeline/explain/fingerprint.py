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
Name = tuple[str, ...]
"""Of a module, or of a module and a tensor in it; empty for what the program shares."""

State = dict[str, dict[Name, Any]]
"""Facts by what they are about: their kind, and whose they are."""


def fingerprint(model: nn.Module) -> State:
    """Return the state of a model and of what it shares with the program, by kind and name."""
    modules = dict(model.named_modules())
    weights = _tensors({name: module._parameters for name, module in modules.items()})
    gradients = {names: one.grad for names, one in weights.items()}
    # by the dictionary: an attribute that a module lacks is searched for long
    attributes = {name: module.__dict__ for name, module in modules.items()}
    return {
        "mode of": {(name,): module.training for name, module in modules.items()},
        "inplace of": {
            (name,): own["inplace"] for name, own in attributes.items() if isinstance(own.get("inplace"), bool)
        },
        "hooks of": {(name,): _hooks(own) for name, own in attributes.items() if any(map(own.get, _HOOKS))},
        "flag of": {names: one.requires_grad for names, one in weights.items()},
        "weights": _contents(weights),
        "gradient of": _contents({names: one for names, one in gradients.items() if one is not None}),
        "buffer": _contents(_tensors({name: module._buffers for name, module in modules.items()})),
        **{kind: {(): fact} for kind, fact in _of_the_program().items()},
    }


def _tensors(owned: Mapping[str, Mapping[str, Tensor | None]]) -> dict[Name, Tensor]:
    return {(name, key): one for name, own in owned.items() for key, one in own.items() if one is not None}


def _hooks(own: Mapping[str, Mapping[int, object]]) -> list[tuple[int, ...]]:
    return [tuple(own.get(kind, ())) for kind in _HOOKS]


def _changed(before: State, after: State) -> list[str]:
    """Return what differs, in words."""
    return [
        f"{kind} {'.'.join(part for part in name if part) or 'the model'}" if name else kind
        for kind in before.keys() | after.keys()
        for name in before[kind].keys() | after[kind].keys()
        if name not in before[kind] or name not in after[kind] or before[kind][name] != after[kind][name]
    ]


def _contents(tensors: Mapping[Name, Tensor]) -> dict[Name, Any]:
    """Return where each tensor lies, how often it was written, and a checksum of its values.

    In the memory of the host the checksum is that of the bytes (CRC-32), on a device the sum of magnitudes, computed
    there for all at once; that of NaN is NaN and compared as text.
    """
    found: dict[Name, Any] = {
        names: (one.data_ptr(), one._version, _checksum(one) if one.is_cpu else None) for names, one in tensors.items()
    }
    away = {names: one.detach().float() for names, one in tensors.items() if not one.is_cpu}
    if away:
        sums = torch._foreach_norm(list(away.values()), 1)
        values = torch.stack([one.double().cpu() for one in sums]).tolist()
        found |= {names: (*found[names][:2], str(value)) for names, value in zip(away, values, strict=True)}
    return found


def _checksum(tensor: Tensor) -> int:
    try:
        return crc32(tensor.numpy(force=True))
    except (TypeError, ValueError, BufferError):  # a type NumPy does not know, or values that do not lie side by side
        return crc32(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())


def _of_the_program() -> dict[str, Any]:
    state: dict[str, Any] = {
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
        if before != after:
            changed = _changed(before, after)
            shown = ", ".join(sorted(changed)[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
            raise ExplainError(f"the explanation changed what is not its own: {shown}; its maps are discarded")
