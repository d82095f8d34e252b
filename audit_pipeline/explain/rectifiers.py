"""Guided and deconvolution rules for every ReLU of a forward pass, without a hook on the model or a copy of it.

A ReLU is met where it is called, so a module, ``torch.relu``, ``functional.relu``, a method of a tensor, an in-place
call and one module that runs several times are all treated alike, and the model has nothing to be put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from audit_pipeline.errors import ExplainError

Rule = Literal["guided", "deconvolution"]

IN_PLACE = (torch.relu_, functional.relu_, Tensor.relu_)
RECTIFIERS = (torch.relu, functional.relu, Tensor.relu, *IN_PLACE)


class _Rectified(torch.autograd.Function):
    """A ReLU whose backward pass keeps only positive gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rule: Rule, in_place: bool) -> Tensor:  # noqa: FBT001 - apply has no keywords
        ctx.is_guided = rule == "guided"
        if ctx.is_guided:
            ctx.save_for_backward(values > 0)
        if in_place:
            ctx.mark_dirty(values)
            return values.clamp_(min=0)
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        passed: Tensor = gradients[0].clamp(min=0)
        return (passed * ctx.saved_tensors[0] if ctx.is_guided else passed), None, None


class _Rectifiers(TorchFunctionMode):
    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule: Rule = rule
        self.seen = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        given = kwargs or {}
        if func not in RECTIFIERS:
            return func(*args, **given)
        self.seen += 1
        values = args[0] if args else given["input"]
        in_place = func in IN_PLACE or bool(args[1] if len(args) > 1 else given.get("inplace", False))
        return _Rectified.apply(values, self.rule, in_place)  # type: ignore[no-untyped-call]


@contextmanager
def rectifiers_replaced(model: nn.Module, rule: Rule) -> Iterator[None]:
    """Give every ReLU that runs inside the context the backward rule.

    Raises
    ------
    ExplainError
        No ReLU ran where it can be met: the rule is not defined for the activations of this network, or the network is
        compiled, scripted or spread over threads.
    """
    if any(isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod") for module in model.modules()):
        raise ExplainError(
            "guided backpropagation and deconvolution change the ReLUs of a network, and those of a scripted or "
            "compiled network cannot be reached; explain the original module"
        )
    mode = _Rectifiers(rule)
    with mode:
        yield
    if not mode.seen:
        raise ExplainError(
            "guided backpropagation and deconvolution are rules for ReLU, and the forward pass ran none that can be "
            "reached (other activations, or replicas in other threads); choose another method"
        )
