"""The released peers, each reduced to its raw map on the layer's grid; absent ones skip with the reason.

Every function takes (net, layer module, images, target) and returns (N, *grid) float32, before any normalisation where
the peer lets us, so that formulas are compared and not displays.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
import warnings
from functools import cache
from typing import Any

import pytest
import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def need(name: str) -> Any:
    """Return the module of a peer, or skip the test with the reason."""
    module, reason = _imported(name)
    if module is None:
        pytest.skip(reason)
    return module


@cache
def _imported(name: str) -> tuple[types.ModuleType | None, str]:
    package = name.partition(".")[0]
    if package in {"pytorch_grad_cam", "torchcam"}:
        _define_torchvision_schemas()
    if package == "medcam":
        _leave_out_the_evaluator()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name), ""
    except ImportError as error:
        return None, f"peer {name} cannot be imported: {error}"


@cache
def _define_torchvision_schemas() -> torch.library.Library:
    """Define what torchvision's import expects; its wheel's own library does not load beside a CPU build of torch."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            library.define(schema)
    return library


def _leave_out_the_evaluator() -> None:
    """M3d-Cam imports scikit-image for its evaluation of masks; its maps do not need it."""
    try:
        importlib.import_module("skimage.filters")
    except ImportError:
        parent, filters = types.ModuleType("skimage"), types.ModuleType("skimage.filters")
        filters.threshold_otsu = None
        sys.modules.setdefault("skimage", parent)
        sys.modules.setdefault("skimage.filters", filters)


def name_of(net: torch.nn.Module, layer: torch.nn.Module) -> str:
    return next(name for name, module in net.named_modules() if module is layer)


def captum(method: str):
    attr = need("captum.attr")

    def attribute(net, layer, images, target):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it sets backward hooks
            found = getattr(attr, method)(net, layer).attribute(images, target=target)
        return found.detach().sum(dim=1)

    return attribute


def captum_input(method: str, **settings: Any):
    attr = need("captum.attr")

    def attribute(net, _layer, images, target):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = images.clone().requires_grad_()
            found = getattr(attr, method)(net).attribute(given, target=target, **settings)
        return found.detach().sum(dim=1)

    return attribute


def monai_input(method: str):
    visualize = need("monai.visualize")

    def attribute(net, _layer, images, target):
        found = [getattr(visualize, method)(net)(image[None].clone(), index=target) for image in images]
        return torch.cat([one.detach() for one in found]).sum(dim=1)

    return attribute


def monai(method: str, **settings: Any):
    visualize = need("monai.visualize")

    def attribute(net, layer, images, target):
        extractor = getattr(visualize, method)(net, name_of(net, layer), **settings)
        classes = [target] if method == "CAM" else target
        # one image at a time: with more its Grad-CAM++ mixes scores of patients
        return torch.cat([extractor.compute_map(image[None], class_idx=classes).detach()[:, 0] for image in images])

    return attribute


def medcam(backend: str):
    package = need("medcam.medcam")

    def attribute(net, layer, images, target):
        injected = package.inject(net, backend=backend, layer=name_of(net, layer), label=target)
        found = []
        for image in images:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                injected(image[None])
            found.append(torch.from_numpy(injected.get_attention_map().copy())[0])
        return torch.cat(found)

    return attribute


def torchcam(method: str, **settings: Any):
    methods = need("torchcam.methods")

    def attribute(net, layer, images, target):
        with getattr(methods, method)(net, layer, **settings) as extractor:
            scores = net(images)
            given = {"scores": scores} if method not in {"CAM", "ScoreCAM", "SmoothGradCAMpp"} else {}
            return extractor(class_idx=target, normalized=False, **given)[0].detach()

    return attribute


def grad_cam(method: str, **settings: Any):
    """pytorch-grad-cam before its clipping, its two min-max stretches and its upsampling."""
    package = need("pytorch_grad_cam")
    targets = need("pytorch_grad_cam.utils.model_targets")

    def attribute(net, layer, images, target):
        chosen = [targets.ClassifierOutputTarget(target)] * len(images)
        with getattr(package, method)(net, [layer], **settings) as extractor:
            outputs = extractor.activations_and_grads(images)
            sum(one(output) for one, output in zip(chosen, outputs, strict=True)).backward()
            pair = extractor.activations_and_grads
            activations, gradients = pair.activations[0].numpy().copy(), pair.gradients[0].numpy().copy()
            with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():  # progress bars
                warnings.simplefilter("ignore")
                raw = extractor.get_cam_image(images, layer, chosen, activations, gradients, False)
        return torch.as_tensor(raw)

    return attribute
