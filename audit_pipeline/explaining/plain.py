"""The facts of one image as lines of text that do not depend on any terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from audit_pipeline.explaining.columns import UNKNOWN, Block, Facts, across, listed, named, number, position, reasons
from audit_pipeline.explaining.sanity_text import sanity_block
from audit_pipeline.inspection.wording import plain

SHOWN_REGIONS = 3
"""Parts of a region that are shown per map; ``--json`` lists more."""


def explanation_text(found: Facts) -> str:
    """Return the tables of one image; of a refused one the reason alone."""
    if found["error"] is not None:
        return f"refused  {found['error']['code']}: {plain(found['error']['message'])}"
    blocks = ["\n".join(block.lines()) for block in explanation_blocks(found)]
    return "\n\n".join(filter(None, blocks))


def explanation_blocks(found: Facts) -> list[Block]:
    """Return everything about one image, subject by subject; some have nothing to say."""
    return [
        Block(title="Image and model", notes=list(_head(found))),
        _classes(found),
        _maps(found),
        _proofs(found),
        _followed(found),
        sanity_block(found),
        _regions(found),
        _localised(found),
        _layers(found),
        _written(found),
    ]


def _head(found: Facts) -> Iterator[str]:
    image, model = found["image"], found["model"]
    spacing = UNKNOWN if None in image["spacing_mm"] else f"{across(image['spacing_mm'])} mm"
    axes = f"axes {image['orientation']}" if image["orientation"] else ""
    facts = [image["modality"] or "no modality", across(image["shape"]), spacing, axes, image["unit"]]
    yield f"image  {plain('  '.join(part for part in facts if part))}"
    device = found["prediction"]["device"]
    yield f"model  {plain(model['name'])} {plain(model['version'])}, input {across(image['input_shape'])}, on {device}"
    yield f"layer  {plain(found['layer'])}"
    for finding in found["findings"]:
        yield f"{finding['outcome']}  {finding['code']} {plain(finding['message'])}"
    if found["mask"]:
        mask = found["mask"]
        size = f"{number(mask['area_mm2'])} mm2" if mask["volume_ml"] is None else f"{number(mask['volume_ml'])} mL"
        yield f"mask   {mask['marked_voxels']} voxels, {size}, {mask['share_in_image']:.0%} of it in the image"


def _classes(found: Facts) -> Block:
    prediction = found["prediction"]
    rows = [
        [
            plain(name),
            number(chance),
            number(prediction["thresholds"].get(name)),
            number(prediction["logits"][name]),
            "predicted" if name in prediction["predicted"] else "",
        ]
        for name, chance in prediction["probabilities"].items()
    ]
    return Block(title="Prediction", heads=["class", "probability", "threshold", "logit", ""], rows=rows)


def _maps(found: Facts) -> Block:
    rows = [[*named(one), *_numbers(one)] for one in found["maps"]]
    frame = _frame(found)
    heads = ["grid", "cell mm", "min", "max", "unit", "peak voxel", f"peak mm{frame}", f"centre mm{frame}"]
    notes = [f"blank    {one['method']}: {plain(one['blank'])}" for one in found["maps"] if one["blank"]]
    notes += [f"caution  {one['method']}: {one['caution']}" for one in found["maps"] if one["caution"]]
    return Block(title="Maps", heads=["map of", "target", *heads], rows=rows, notes=notes)


def _frame(found: Facts) -> str:
    """Return what positions in mm refer to, as an addition to a head."""
    frame = found["maps"][0]["place"]["frame"]
    return f" ({frame})" if frame else ""


def _numbers(one: Facts) -> list[str]:
    statistics = one["statistics"]
    return [
        across(one["grid"]),
        across(one["cell_mm"]),
        number(statistics["min"]),
        number(statistics["max"]),
        one["unit"],
        "-" if one["blank"] else listed(statistics["peak_index"]),
        "-" if one["blank"] else position(one["place"]["peak_mm"]),
        position(one["place"]["centre_mm"]),
    ]


def _proofs(found: Facts) -> Block:
    owed = {(one["target_name"], proof["kind"]): proof for one in found["maps"] for proof in one["proofs"]}
    words = {True: "holds", False: "BROKEN", None: "not owed"}
    rows = [
        [kind, plain(target), words[proof["holds"]], number(proof["residual"]), number(proof["tolerance"])]
        for (target, kind), proof in owed.items()
    ]
    return Block(title="Proofs", heads=["proof", "target", "", "residual", "allowed"], rows=rows)


def _followed(found: Facts) -> Block:
    kinds = ("deletion", "insertion", "between")
    measured = [one for one in found["maps"] if "deletion" in one["faithfulness"]]
    rows = [
        [*named(one), *(number(one["faithfulness"][kind][what]) for kind in kinds for what in ("area", "p_value"))]
        for one in measured
    ]
    heads = ["faithfulness of", "target", *(word for kind in kinds for word in (kind, "p"))]
    return Block(title="Faithfulness", heads=heads, rows=rows, notes=reasons(found, "faithfulness"))


def _regions(found: Facts) -> Block:
    rows = [
        [
            *named(one),
            f"{place} of {one['region']['count']}",
            listed([f"{first}:{last}" for first, last in part["box"]]),
            UNKNOWN if part["box_mm"] is None else listed([f"{low:.1f}:{high:.1f}" for low, high in part["box_mm"]]),
            _size(part),
        ]
        for one in found["maps"]
        for place, part in enumerate(one["region"]["parts"][:SHOWN_REGIONS], 1)
    ]
    heads = ["region of", "target", "part", "box voxels", f"box mm{_frame(found)}", "size"]
    return Block(title="Regions", heads=heads, rows=rows, notes=reasons(found, "region"))


def _size(part: Facts) -> str:
    if part["volume_ml"] is not None:
        return f"{number(part['volume_ml'])} mL"
    return UNKNOWN if part["area_mm2"] is None else f"{number(part['area_mm2'])} mm2"


def _localised(found: Facts) -> Block:
    if not found["mask"]:
        return Block(title="Agreement with the mask")
    heads = {"pointing": "pointing", "hit": "hit", "mass_in_mask": "mass in mask", "iou_otsu": "IoU Otsu"}
    heads["auprc"] = "AUPRC"
    rows = [[*named(one), *(number(one["localisation"][name]) for name in heads)] for one in found["maps"]]
    return Block(
        title="Agreement with the mask",
        heads=["against the mask", "target", *heads.values()],
        rows=rows,
        notes=reasons(found, "localisation"),
    )


def _layers(found: Facts) -> Block:
    if not found["layers"]:
        return Block(title="Layers")
    names: dict[str, Callable[[Any], str]] = {
        "grid": across, "cell_mm": number, "unaccounted": number, "gain": number, "p_value": number,
        "stability": number,
    }  # fmt: skip
    rows = [
        [str(one["rank"]), plain(one["layer"]), *(show(one[name]) for name, show in names.items())]
        for one in found["layers"]
    ]
    seen = found["receptive_field"]
    heads = ["rank", "layer", "grid", "cell mm", "unaccounted", "gain", "p", "stability"]
    theoretical = ["all" if side is None else number(side) for side in seen["theoretical_mm"]]
    sentence = (
        f"receptive field of {plain(seen['layer'])}: effective {across(seen['effective_mm'])} mm, "
        f"theoretical {' x '.join(theoretical)} mm, stride {across(seen['stride_mm'])} mm"
    )
    return Block(title="Layers", heads=heads, rows=rows, notes=[plain(found["layer_reason"]), sentence])


def _written(found: Facts) -> Block:
    pictures = sum(len(one["overlays"]) for one in found["maps"])
    files = f"{len(found['maps'])} maps, {pictures} pictures, explanation.json and explanation.html"
    return Block(title="Files", notes=[f"{files} in {plain(found['folder'])}"])
