"""The facts of one image as lines of text that do not depend on any terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from audit_pipeline.inspection.wording import plain

Facts = Mapping[str, Any]

SHOWN_REGIONS = 3
"""Parts of a region that are shown per map; ``--json`` lists more."""

UNKNOWN = "-"


def explanation_text(found: Facts) -> str:
    """Return the tables of one image; of a refused one the reason alone."""
    if found["error"] is not None:
        return f"refused  {found['error']['code']}: {plain(found['error']['message'])}"
    blocks = [_head(found), _classes(found), _maps(found), _proofs(found), _followed(found), _regions(found)]
    blocks += [_localised(found), _layers(found), _written(found)]
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def _head(found: Facts) -> Iterator[str]:
    image, model = found["image"], found["model"]
    spacing = UNKNOWN if None in image["spacing_mm"] else f"{_across(image['spacing_mm'])} mm"
    axes = f"axes {image['orientation']}" if image["orientation"] else ""
    facts = [image["modality"] or "no modality", _across(image["shape"]), spacing, axes, image["unit"]]
    yield f"image  {plain('  '.join(part for part in facts if part))}"
    device = found["prediction"]["device"]
    yield f"model  {plain(model['name'])} {plain(model['version'])}, input {_across(image['input_shape'])}, on {device}"
    yield f"layer  {plain(found['layer'])}"
    for finding in found["findings"]:
        yield f"{finding['outcome']}  {finding['code']} {plain(finding['message'])}"
    if found["mask"]:
        mask = found["mask"]
        size = f"{_number(mask['area_mm2'])} mm2" if mask["volume_ml"] is None else f"{_number(mask['volume_ml'])} mL"
        yield f"mask   {mask['marked_voxels']} voxels, {size}, {mask['share_in_image']:.0%} of it in the image"


def _classes(found: Facts) -> list[str]:
    prediction = found["prediction"]
    rows = [
        [
            plain(name),
            _number(chance),
            _number(prediction["thresholds"].get(name)),
            _number(prediction["logits"][name]),
            "predicted" if name in prediction["predicted"] else "",
        ]
        for name, chance in prediction["probabilities"].items()
    ]
    return table(["class", "probability", "threshold", "logit", ""], rows)


def _maps(found: Facts) -> list[str]:
    rows = [[*_of(one), *_numbers(one)] for one in found["maps"]]
    frame = _frame(found)
    heads = ["grid", "cell mm", "min", "max", "unit", "peak voxel", f"peak mm{frame}", f"centre mm{frame}"]
    lines = table(["map of", "target", *heads], rows)
    lines += [f"blank    {one['method']}: {plain(one['blank'])}" for one in found["maps"] if one["blank"]]
    return lines + [f"caution  {one['method']}: {one['caution']}" for one in found["maps"] if one["caution"]]


def _frame(found: Facts) -> str:
    """Return what positions in mm refer to, as an addition to a head."""
    frame = found["maps"][0]["place"]["frame"]
    return f" ({frame})" if frame else ""


def _numbers(one: Facts) -> list[str]:
    statistics = one["statistics"]
    return [
        _across(one["grid"]),
        _across(one["cell_mm"]),
        _number(statistics["min"]),
        _number(statistics["max"]),
        one["unit"],
        "-" if one["blank"] else _listed(statistics["peak_index"]),
        "-" if one["blank"] else _position(one["place"]["peak_mm"]),
        _position(one["place"]["centre_mm"]),
    ]


def _proofs(found: Facts) -> list[str]:
    owed = {(one["target_name"], proof["kind"]): proof for one in found["maps"] for proof in one["proofs"]}
    words = {True: "holds", False: "BROKEN", None: "not owed"}
    rows = [
        [kind, plain(target), words[proof["holds"]], _number(proof["residual"]), _number(proof["tolerance"])]
        for (target, kind), proof in owed.items()
    ]
    return table(["proof", "target", "", "residual", "allowed"], rows) if rows else []


def _followed(found: Facts) -> list[str]:
    kinds = ("deletion", "insertion", "between")
    measured = [one for one in found["maps"] if "deletion" in one["faithfulness"]]
    rows = [
        [*_of(one), *(_number(one["faithfulness"][kind][what]) for kind in kinds for what in ("area", "p_value"))]
        for one in measured
    ]
    heads = [word for kind in kinds for word in (kind, "p")]
    lines = table(["faithfulness of", "target", *heads], rows) if rows else []
    return lines + _reasons(found, "faithfulness")


def _regions(found: Facts) -> list[str]:
    rows = [
        [
            *_of(one),
            f"{number} of {one['region']['count']}",
            _listed([f"{first}:{last}" for first, last in part["box"]]),
            UNKNOWN if part["box_mm"] is None else _listed([f"{low:.1f}:{high:.1f}" for low, high in part["box_mm"]]),
            _size(part),
        ]
        for one in found["maps"]
        for number, part in enumerate(one["region"]["parts"][:SHOWN_REGIONS], 1)
    ]
    heads = ["part", "box voxels", f"box mm{_frame(found)}", "size"]
    lines = table(["region of", "target", *heads], rows) if rows else []
    return lines + _reasons(found, "region")


def _size(part: Facts) -> str:
    if part["volume_ml"] is not None:
        return f"{_number(part['volume_ml'])} mL"
    return UNKNOWN if part["area_mm2"] is None else f"{_number(part['area_mm2'])} mm2"


def _localised(found: Facts) -> list[str]:
    if not found["mask"]:
        return []
    heads = {"pointing": "pointing", "hit": "hit", "mass_in_mask": "mass in mask", "iou_otsu": "IoU Otsu"}
    heads["auprc"] = "AUPRC"
    rows = [[*_of(one), *(_number(one["localisation"][name]) for name in heads)] for one in found["maps"]]
    return table(["against the mask", "target", *heads.values()], rows) + _reasons(found, "localisation")


def _layers(found: Facts) -> list[str]:
    if not found["layers"]:
        return []
    names: dict[str, Callable[[Any], str]] = {
        "grid": _across, "cell_mm": _number, "unaccounted": _number, "gain": _number, "p_value": _number,
        "stability": _number,
    }  # fmt: skip
    rows = [
        [str(one["rank"]), plain(one["layer"]), *(show(one[name]) for name, show in names.items())]
        for one in found["layers"]
    ]
    seen = found["receptive_field"]
    lines = table(["rank", "layer", "grid", "cell mm", "unaccounted", "gain", "p", "stability"], rows)
    theoretical = ["all" if side is None else _number(side) for side in seen["theoretical_mm"]]
    sentence = (
        f"receptive field of {plain(seen['layer'])}: effective {_across(seen['effective_mm'])} mm, "
        f"theoretical {' x '.join(theoretical)} mm, stride {_across(seen['stride_mm'])} mm"
    )
    return [*lines, plain(found["layer_reason"]), sentence]


def _written(found: Facts) -> list[str]:
    pictures = sum(len(one["overlays"]) for one in found["maps"])
    return [f"{len(found['maps'])} maps, {pictures} pictures and explanation.json in {plain(found['folder'])}"]


def _reasons(found: Facts, measure: str) -> list[str]:
    """Return why a measure is missing or weaker than asked for, each reason once with the methods it struck."""
    struck: dict[str, list[str]] = {}
    for one in found["maps"]:
        if one[measure]["reason"]:
            struck.setdefault(one[measure]["reason"], []).append(one["method"])
    return [f"{measure}: {plain(reason)} ({', '.join(methods)})" for reason, methods in struck.items()]


def _of(one: Facts) -> list[str]:
    return [one["method"], plain(one["target_name"])]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a head and rows in columns two spaces apart.

    >>> table(["a", "size"], [["longer", "1"]])
    ['a       size', 'longer  1']
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (heads, *rows)]
    return ["  ".join(line).rstrip() for line in lines]


def _number(value: float | None) -> str:
    """Return four significant digits; a dash for what is unknown.

    >>> _number(0.123456), _number(None)
    ('0.1235', '-')
    """
    return UNKNOWN if value is None else f"{value:.4g}"


def _across(sides: Sequence[float | None]) -> str:
    return " x ".join(map(_number, sides))


def _listed(parts: Sequence[object]) -> str:
    return " ".join(map(str, parts))


def _position(position: Sequence[float] | None) -> str:
    return UNKNOWN if position is None else _listed([f"{part:.1f}" for part in position])
