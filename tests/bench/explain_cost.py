"""What explaining costs beside predicting, for us and our peers: ``python tests/bench/explain_cost.py``.

Every engine explains the same input for all classes at the last convolutional stage of the same network, in a process
of its own that first runs plain ``no_grad`` inference: its time and its memory growth are the unit. Inference and
explanation take turns. Ours computes all gradient-based CAM methods at once and verifies that the model is unchanged;
each peer computes Grad-CAM alone. Slow peers are measured for two classes and multiplied, which the table says.

Memory is read in a second process whose allocator gives every tensor back as soon as it is free: what the allocator
keeps for later differs between runs of the same program by a third.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CLASSES, FEW = 14, 2
METHODS = ("gradcam", "hirescam", "gradcam++", "xgradcam", "layercam", "elementwise", "eigencam", "eigengradcam")
_DENSE = {"in_channels": 1, "out_channels": CLASSES}
_RESIDUAL = {"n_input_channels": 1, "num_classes": CLASSES}
CASES: dict[str, tuple[str, dict[str, int], tuple[int, ...], str]] = {
    "ResNet-18 3D, 96^3": ("resnet18", {"spatial_dims": 3, **_RESIDUAL}, (1, 1, 96, 96, 96), "layer4"),
    "DenseNet-121 3D, 96^3": ("DenseNet121", {"spatial_dims": 3, **_DENSE}, (1, 1, 96, 96, 96), "features"),
    "DenseNet-121 2D, 8 x 224^2": ("DenseNet121", {"spatial_dims": 2, **_DENSE}, (8, 1, 224, 224), "features"),
}
ENGINES = ("audit_pipeline", "captum", "torch-cam", "pytorch-grad-cam", "MONAI", "M3d-Cam")


def network_of(case: str) -> tuple[nn.Module, Tensor, str]:
    """Return the network in evaluation mode, its input, and the name of the layer."""
    nets = importlib.import_module("monai.networks.nets")
    name, arguments, shape, layer = CASES[case]
    torch.manual_seed(0)
    return getattr(nets, name)(**arguments).eval(), torch.randn(shape), layer


def _ours(net: nn.Module, images: Tensor, _layer: str, _classes: int) -> Callable[[], object]:
    from audit_pipeline import explain_batch

    return lambda: explain_batch(net, images, methods=METHODS)


def _captum(net: nn.Module, images: Tensor, layer: str, classes: int) -> Callable[[], object]:
    from captum.attr import LayerGradCam

    method = LayerGradCam(net, net.get_submodule(layer))
    return lambda: [method.attribute(images, target=one) for one in range(classes)]


def _torch_cam(net: nn.Module, images: Tensor, layer: str, classes: int) -> Callable[[], object]:
    from torchcam.methods import GradCAM

    def explain() -> object:
        with GradCAM(net, target_layer=layer) as method:
            scores = net(images)
            return [method([one] * len(images), scores, retain_graph=True) for one in range(classes)]

    return explain


def _pytorch_grad_cam(net: nn.Module, images: Tensor, layer: str, classes: int) -> Callable[[], object]:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    method = GradCAM(model=net, target_layers=[net.get_submodule(layer)])
    return lambda: [method(images, targets=[ClassifierOutputTarget(one)] * len(images)) for one in range(classes)]


def _monai(net: nn.Module, images: Tensor, layer: str, classes: int) -> Callable[[], object]:
    from monai.visualize import GradCAM

    method = GradCAM(nn_module=net, target_layers=layer)
    return lambda: [[method(image[None], class_idx=one) for image in images] for one in range(classes)]


def _m3d_cam(net: nn.Module, images: Tensor, layer: str, classes: int) -> Callable[[], object]:
    from medcam import medcam

    injected = medcam.inject(net, backend="gcam", layer=layer, label=0, return_attention=True, save_maps=False)

    def explain() -> object:
        found = []
        for one in range(classes):
            injected.medcam_dict["label"] = one
            found.append([injected(image[None]) for image in images])
        return found

    return explain


BUILDERS = dict(zip(ENGINES, (_ours, _captum, _torch_cam, _pytorch_grad_cam, _monai, _m3d_cam), strict=True))


def _held_bytes(device: str) -> int:
    """Return what the process holds now, and count its peak from here on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _peak_bytes(device: str) -> int:
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def _seconds(run: Callable[[], object], device: str, clock: str) -> float:
    if device == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    now = time.process_time if clock == "cpu" else time.perf_counter
    begun = now()
    run()
    return now() - begun


def measure(case: str, engine: str, device: str, precision: str, clock: str) -> dict[str, Any]:
    """Return medians of plain inference, of explanation and of their ratio by turn, and the growth of memory of each.

    To be run in a fresh process.
    """
    if clock == "cpu":
        torch.set_num_threads(1)  # threads that wait for each other count as busy
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    net, images, layer = network_of(case)
    net, images = net.to(device, dtype), images.to(device, dtype)
    is_ours = engine == "audit_pipeline"
    classes = CLASSES if is_ours or engine == "torch-cam" else FEW

    def plain() -> None:
        with torch.no_grad():
            net(images)

    # code and tables of the libraries do not count, so both run once on a small image
    small = images[(slice(1), slice(None), *[slice(64)] * (images.ndim - 2))]
    with torch.no_grad():
        net(small)
    BUILDERS[engine](net, small, layer, FEW)()
    torch.linalg.eigh(torch.eye(8, dtype=torch.float64)[None])
    held = _held_bytes(device)
    for _ in range(3):  # the allocator needs a few turns to find its place
        plain()
    grown = _peak_bytes(device) - held
    explain = BUILDERS[engine](net, images, layer, classes)
    held = _held_bytes(device)
    explain()
    grown_by_explaining = _peak_bytes(device) - held
    turns = 40 if is_ours else 3
    taken = [(_seconds(plain, device, clock), _seconds(explain, device, clock)) for _ in range(turns)]
    seconds = np.array(taken) * (1, CLASSES / classes)
    plain_s, explain_s = (float(one) for one in np.median(seconds, axis=0))
    best_plain_s, best_explain_s = (float(one) for one in seconds.min(axis=0))
    return {
        "plain_s": plain_s,
        "explain_s": explain_s,
        "ratio": float(np.median(seconds[:, 1] / seconds[:, 0])),
        "best_ratio": best_explain_s / best_plain_s,
        "plain_bytes": grown,
        "explain_bytes": grown_by_explaining,
        "is_scaled": classes != CLASSES,
    }


def _measured(case: str, engine: str, arguments: argparse.Namespace) -> dict[str, Any] | str:
    """Return the times of one process and, on the host, the memory of another."""
    timed = _in_own_process(case, engine, arguments, {})
    if isinstance(timed, str) or arguments.device != "cpu":
        return timed
    weighed = _in_own_process(case, engine, arguments, {"MALLOC_MMAP_THRESHOLD_": "65536"})
    if isinstance(weighed, str):
        return weighed
    return timed | {key: value for key, value in weighed.items() if key.endswith("_bytes")}


def _in_own_process(
    case: str, engine: str, arguments: argparse.Namespace, environment: dict[str, str]
) -> dict[str, Any] | str:
    command = [sys.executable, __file__, "--case", case, "--engine", engine, "--device", arguments.device]
    try:
        done = subprocess.run(  # noqa: PLW1510 - the code is looked at below
            [*command, "--precision", arguments.precision, "--clock", arguments.clock],
            capture_output=True,
            text=True,
            timeout=arguments.seconds,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        return f"not done after {arguments.seconds} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return f"fails: {lines[-1][:100] if lines else done.returncode}"
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "cpu"], help="cpu: of one thread, on a busy machine"
    )
    parser.add_argument("--seconds", type=int, default=300, help="longest time for one engine and network")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--engine", choices=ENGINES)
    arguments = parser.parse_args()
    if arguments.engine:
        found = measure(arguments.case, arguments.engine, arguments.device, arguments.precision, arguments.clock)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for case in CASES:
        sys.stdout.write(f"\n{case}, {CLASSES} classes, {arguments.device} {arguments.precision}\n")
        for engine in arguments.engines:
            found = _measured(case, engine, arguments)
            sys.stdout.write(f"  {engine:18} {found if isinstance(found, str) else _row(found)}\n")
            sys.stdout.flush()


def _row(found: dict[str, Any]) -> str:
    growth = found["explain_bytes"] / max(found["plain_bytes"], 1)
    scaled = f", measured for {FEW} classes x {CLASSES // FEW}" if found["is_scaled"] else ""
    return (
        f"{found['explain_s']:8.3f} s, {found['ratio']:7.2f} x plain (best turns {found['best_ratio']:.2f}); "
        f"{found['explain_bytes'] / 2**20:7.0f} MiB, {growth:6.2f} x plain{scaled}"
    )


if __name__ == "__main__":
    main()
