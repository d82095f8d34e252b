"""Weights from a file, checked before they are read: digest first, then a format that cannot execute code.

A ``.safetensors`` file holds numbers only. Any other file is treated as a PyTorch ``state_dict``: its pickle is scanned
for every global it would import before anything is loaded, and it is then loaded with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import pickletools
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from audit_pipeline.card import WeightsCard
from audit_pipeline.errors import UnsafeWeightsError, WeightsError

CHUNK = 1 << 20

ALLOWED_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.serialization _get_layout",
    "torch Size",
    "torch device",
}
"""What the pickle of a plain state_dict refers to, besides the typed storages of torch."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
    except OSError as error:
        raise WeightsError(f"the weights file {path.name} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def load_weights(model: nn.Module, card: WeightsCard) -> None:
    """Load the weights of a card into a network, in place.

    Raises
    ------
    WeightsError
        The digest differs from the card, the file is damaged, or names or shapes do not fit the network.
    UnsafeWeightsError
        The file would import or call something that a table of tensors does not need.
    """
    found = digest_of(card.path)
    if found != card.sha256:
        raise WeightsError(
            f"the weights file {card.path.name} has SHA-256 {found}, the model card pins {card.sha256}; "
            "use the file the card was written for, or review the file and update the card"
        )
    state = _read_safetensors(card.path) if card.path.suffix == ".safetensors" else _read_state_dict(card.path)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        problems = str(error).split("\n\t")[1:4]
        raise WeightsError(
            f"the weights in {card.path.name} do not fit the network of the card: {' '.join(problems)} "
            "Check network.name and network.args."
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"the weights file {path.name} is not valid safetensors: {error}") from error
    return state


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    _refuse_code(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"the weights file {path.name} cannot be loaded as a state_dict: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(
            f"the weights file {path.name} holds {type(state).__name__}, not a state_dict of tensors; save it with "
            "torch.save(model.state_dict(), path)"
        )
    return state


def _refuse_code(path: Path) -> None:
    for pickled in _pickles(path):
        for name in _globals(pickled, path):
            is_storage = name.startswith("torch ") and name.endswith("Storage")
            if name not in ALLOWED_GLOBALS and not is_storage:
                raise UnsafeWeightsError(
                    f"the weights file {path.name} was refused before loading: it refers to {name.replace(' ', '.')}, "
                    "which a table of tensors does not need; ask for safetensors or a plain state_dict"
                )


def _pickles(path: Path) -> list[bytes]:
    """Return the pickle streams of a PyTorch file: the members of its archive, or the whole legacy file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in archive.namelist() if name.endswith(".pkl")]
    except zipfile.BadZipFile:
        raise WeightsError(
            f"the weights file {path.name} is neither safetensors nor a torch.save archive; convert it to safetensors"
        ) from None


def _globals(pickled: bytes, path: Path) -> list[str]:
    """Return every ``module name`` that unpickling would import, in order, also through the stack (STACK_GLOBAL)."""
    found: list[str] = []
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in {"GLOBAL", "INST"}:
                found.append(str(argument))
            elif opcode.name == "STACK_GLOBAL":
                found.append(" ".join(strings[-2:]))
            elif "UNICODE" in opcode.name or "STRING" in opcode.name:
                strings.append(str(argument))
    except Exception as error:
        raise WeightsError(f"the weights file {path.name} holds a damaged pickle") from error
    return found
