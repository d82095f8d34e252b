"""Curves, nulls, infidelity, sensitivity and average drop in closed form on linear models, and against torch-cam."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.faithfulness import CurveSettings, deletion_insertion, shifts
from audit_pipeline.explain.infidelity import drop_and_increase, image_noise, infidelity, max_sensitivity
from tests.explain.peers import need

SIZES = [(12, 10), (6, 8, 10)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(size, seed=0, classes=2):
    """Return the weights (K, *size) of a linear model of one channel, and the model."""
    weights = torch.randn(classes, *size, generator=seeded(seed))
    return weights, lambda images: images.flatten(1) @ weights.flatten(1).T


def spot(size, at, width=0.15):
    places = torch.meshgrid(*(torch.linspace(0, 1, side) for side in size), indexing="ij")
    return torch.exp(-sum((place - one) ** 2 for place, one in zip(places, at, strict=True)) / (2 * width**2))


def lesion_case(size, at=None):
    """Return a bright spot in noise, its map, and a model that sums the brightness around the spot."""
    hot = spot(size, at or [0.3] * len(size))
    image = hot[None] + 0.05 * torch.randn(1, *size, generator=seeded(1))
    return (
        image,
        hot,
        lambda images: torch.stack(
            [-(images[:, 0] * hot).flatten(1).sum(1), (images[:, 0] * hot).flatten(1).sum(1)], 1
        ),
    )


def constant(**changes):
    return CurveSettings(infill="constant", **changes)


@pytest.mark.parametrize("size", SIZES)
def test_curves_of_a_linear_model_are_sums_of_its_terms_in_order(size):
    weights, model = linear(size)
    image = torch.rand(1, *size, generator=seeded(3))
    terms = (weights[1] * image[0]).double()
    found = deletion_insertion(image, terms.float(), 1, model, constant(steps=10, nulls=0))
    ordered = terms.flatten().sort(descending=True).values
    counts = [round(share * terms.numel()) for share in found.shares]
    assert found.deletion.curve == pytest.approx([float(ordered[count:].sum()) for count in counts], abs=1e-4)
    assert found.insertion.curve == pytest.approx([float(ordered[:count].sum()) for count in counts], abs=1e-4)
    assert found.deletion.area == pytest.approx(np.trapezoid(found.deletion.curve, found.shares))
    assert found.between.area == pytest.approx(found.insertion.area - found.deletion.area)


@pytest.mark.parametrize("infill", ["constant", "blurred", "road", "matched"])
@pytest.mark.parametrize("size", SIZES)
def test_a_true_map_beats_every_shift_of_itself(size, infill):
    image, hot, model = lesion_case(size)
    settings = CurveSettings(steps=5, nulls=19, infill=infill, reach=0.4)
    found = deletion_insertion(image, hot, 1, model, settings)
    assert found.deletion.p_value == 1 / 20
    assert found.between.p_value <= 2 / 20
    assert infill == "road" or found.insertion.p_value == 1 / 20
    assert found.deletion.excess < 0 < found.insertion.excess


@pytest.mark.parametrize("size", SIZES)
def test_a_map_in_the_wrong_place_is_no_better_than_its_shifts(size):
    image, _, model = lesion_case(size, at=[0.25] * len(size))
    found = deletion_insertion(image, spot(size, [0.8] * len(size)), 1, model, constant(steps=5, nulls=19, reach=0.4))
    assert found.between.p_value > 0.3


def test_p_values_of_maps_without_a_place_are_spread_evenly():
    _, model = linear((8, 8))
    image = torch.rand(1, 8, 8, generator=seeded(3))
    values = [
        deletion_insertion(
            image, torch.randn(8, 8, generator=seeded(seed)), 0, model, constant(steps=4, nulls=9, seed=seed)
        ).between.p_value
        for seed in range(150)
    ]
    assert np.mean(values) == pytest.approx(0.55, abs=0.06)
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2)])
def test_shifts_differ_from_each_other_and_from_the_map(shape):
    values = torch.randn(shape, generator=seeded())
    found = list(shifts(values, CurveSettings(nulls=1000)))
    assert len(set(found)) == len(found) == values.numel() - 1
    assert (0,) * len(shape) not in found


def test_a_periodic_map_is_not_compared_with_itself():
    values = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert {torch.roll(values, one, (0, 1))[0, 0].item() for one in shifts(values, CurveSettings())} == {2.0}


def test_small_grids_have_few_shifts_and_the_reason_says_so():
    _, model = linear((4, 4))
    found = deletion_insertion(
        torch.rand(1, 4, 4), torch.randn(2, 2), 0, model, constant(unit="cells", steps=4, nulls=39)
    )
    assert found.deletion.null_areas.shape == (3,)
    assert "3 of 39" in found.reason
    assert found.between.p_value >= 1 / 4


@pytest.mark.parametrize("values", [torch.ones(4, 4), torch.zeros(4, 4)])
def test_a_constant_map_has_curves_and_no_p_value(values):
    _, model = linear((4, 4))
    found = deletion_insertion(torch.rand(1, 4, 4), values, 0, model, constant(nulls=9))
    assert found.deletion.p_value is None
    assert found.deletion.excess is None
    assert "constant" in found.reason
    assert np.isfinite(found.deletion.curve).all()


def test_one_cell_and_one_voxel_have_two_points():
    _, model = linear((1, 1, 1))
    found = deletion_insertion(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1), 0, model, constant())
    assert found.shares == (0.0, 1.0)
    assert found.between.p_value is None
    _, model = linear((4, 4))
    assert deletion_insertion(torch.rand(1, 4, 4), torch.ones(1, 1), 0, model, constant(unit="cells")).forwards == 2


def test_an_all_negative_map_is_ordered_like_its_positive_twin():
    _, model = linear((6, 6))
    image, values = torch.rand(1, 6, 6), torch.randn(6, 6, generator=seeded())
    one, other = (deletion_insertion(image, values + level, 0, model, constant(nulls=0)) for level in (0, -50))
    assert one.deletion.curve == pytest.approx(other.deletion.curve)


def test_ties_are_in_a_seeded_order_and_not_in_that_of_the_rows():
    weights = torch.zeros(1, 10, 10)
    weights[0, :5] = 1
    model = lambda images: images.flatten(1) @ weights.flatten(1).T  # noqa: E731
    curves = [
        deletion_insertion(
            torch.ones(1, 10, 10), torch.ones(10, 10), 0, model, constant(steps=2, seed=seed)
        ).deletion.curve[1]
        for seed in (0, 0, 1, 2, 3, 4)
    ]
    assert curves[0] == curves[1]
    assert len(set(curves)) > 2
    assert np.mean(curves) == pytest.approx(25, abs=4)


def test_whole_cells_are_removed_where_cells_do_not_divide_the_image():
    image, values = torch.ones(1, 5, 7), torch.tensor([[4.0, 3.0, 2.0], [1.0, 0.0, -1.0]])
    seen = []

    def model(images):
        seen.extend(images[:, 0])
        return images.flatten(1).sum(1, keepdim=True)

    deletion_insertion(image, values, 0, model, constant(unit="cells", steps=6, nulls=0, batch=1))
    first = next(one for one in seen if 0 < int((one == 0).sum()) < 35)
    rows, columns = torch.meshgrid((torch.arange(5) + 0.5) / 5, (torch.arange(7) + 0.5) / 7, indexing="ij")
    assert torch.equal(first == 0, (rows < 0.5) & (columns < 1 / 3))


@pytest.mark.parametrize("size", SIZES)
def test_the_batch_size_changes_nothing_and_forwards_are_counted(size):
    image, hot, model = lesion_case(size)
    seen = []

    def counted(images):
        seen.append(len(images))
        return model(images)

    one = deletion_insertion(image, hot, 1, counted, CurveSettings(steps=4, nulls=3, batch=1, infill="road"))
    assert sum(seen) == one.forwards == 2 + 2 * 4 * 3
    other = deletion_insertion(image, hot, 1, model, CurveSettings(steps=4, nulls=3, batch=64, infill="road"))
    assert one.between.null_areas == pytest.approx(other.between.null_areas, abs=1e-3)


def test_the_reach_stops_the_curve_early_and_the_area_is_its_mean():
    image, hot, model = lesion_case((12, 10))
    found = deletion_insertion(image, hot, 1, model, constant(steps=4, reach=0.2, nulls=2))
    assert found.shares == pytest.approx((0, 0.05, 0.1, 0.15, 0.2))
    assert found.deletion.curve.min() <= found.deletion.area <= found.deletion.curve.max()


class Given:
    """What torch-cam's metrics ask of an extractor, giving a map made elsewhere."""

    def __init__(self, model, values):
        self.model, self.values = model, values

    def __call__(self, *_args, **_kwargs):
        return [self.values]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return nullcontext()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_areas_drop_and_increase_equal_those_of_torch_cam(make_net, make_batch, dimensions):
    metrics, softmax = need("torchcam.metrics"), partial(torch.softmax, dim=-1)
    net, images = make_net(dimensions), make_batch(dimensions, count=1)
    values = torch.rand(1, *images.shape[2:], generator=seeded(8))
    values = values / values.max()
    areas = metrics.DeletionInsertionMetric(Given(net, values), softmax, steps=16)
    areas.update(images, 1)
    drops = metrics.ClassificationMetric(Given(net, values), softmax)
    drops.update(images, 1)
    theirs = areas.summary()

    def model(given):
        return net(given).detach()

    found = deletion_insertion(images[0], values[0], 1, model, constant(steps=16, nulls=0, score="softmax"))
    ours = drop_and_increase(images, values, [1], model)
    expected = {name.split("_")[0]: value for name, value in theirs.items()}
    assert found.deletion.area == pytest.approx(expected["deletion"], abs=1e-6)
    assert found.insertion.area == pytest.approx(expected["insertion"], abs=1e-6)
    assert ours.drop.value == pytest.approx(drops.summary()["avg_drop"], abs=1e-6)
    assert ours.increase.value == drops.summary()["conf_increase"]


def test_a_single_logit_has_a_sigmoid_and_no_softmax():
    _, model = linear((4, 4), classes=1)
    image, values = torch.rand(1, 4, 4), torch.randn(4, 4)
    found = deletion_insertion(image, values, 0, model, constant(score="sigmoid", nulls=2))
    assert ((found.deletion.curve > 0) & (found.deletion.curve < 1)).all()
    with pytest.raises(ExplainError, match="always 1"):
        deletion_insertion(image, values, 0, model, constant(score="softmax"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.full((4, 4), torch.nan)}, "finite"),
        ({"values": torch.ones(4)}, "axes"),
        ({"target": 2}, "class index"),
        ({"settings": constant(steps=0)}, "steps"),
        ({"settings": constant(reach=0)}, "reach"),
        ({"logits_of": lambda images: torch.full((len(images), 2), torch.inf)}, "logits"),
    ],
)
def test_what_has_no_true_curve_is_refused(change, message):
    given = {"image": torch.rand(1, 4, 4), "values": torch.ones(4, 4), "target": 1, "logits_of": linear((4, 4))[1]}
    with pytest.raises(ExplainError, match=message):
        deletion_insertion(**(given | change))


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_a_linear_model_has_no_infidelity(size):
    weights, model = linear(size)
    image = torch.randn(1, *size, generator=seeded(2))
    found = infidelity(image, weights[1], 1, model, kind="noise")
    assert found.value.value == pytest.approx(0, abs=1e-6)
    assert found.scale == pytest.approx(1, abs=1e-4)
    assert found.unexplained.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_scaled_gradient_needs_its_scale_and_explains_all(size):
    weights, model = linear(size)
    image = torch.randn(1, *size, generator=seeded(2))
    found = infidelity(image, 4 * weights[1], 1, model, kind="noise")
    assert found.value.low > 0
    assert found.scale == pytest.approx(0.25, abs=1e-4)
    assert found.unexplained.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_an_unrelated_map_leaves_the_change_unexplained(size):
    _, model = linear(size)
    image = torch.randn(1, *size, generator=seeded(2))
    found = infidelity(image, linear(size, seed=9)[0][0], 1, model, kind="noise", draws=200)
    assert found.unexplained.value > 0.8


def test_blocks_prefer_the_map_of_the_contributions():
    image, hot, model = lesion_case((24, 24))
    right = infidelity(image, hot * hot, 1, model).unexplained
    wrong = infidelity(image, spot((24, 24), [0.8, 0.8]), 1, model).unexplained
    assert right.high < wrong.low


def test_infidelity_of_blank_maps_and_blind_models_has_a_reason():
    _, model = linear((8, 8))
    image = torch.rand(1, 8, 8, generator=seeded())
    assert "predicts no change" in infidelity(image, torch.zeros(8, 8), 1, model).unexplained.reason
    blind = infidelity(image, torch.ones(8, 8), 0, lambda images: torch.zeros(len(images), 1))
    assert "no perturbation" in blind.unexplained.reason


@pytest.mark.parametrize("size", [(128, 129), (24, 25, 26)])
def test_the_noise_of_an_image_is_found_under_its_structures(size):
    clean = 10 * spot(size, [0.5] * len(size))[None]
    noisy = clean + 0.3 * torch.randn(1, *size, generator=seeded())
    assert image_noise(noisy) == pytest.approx(0.3, rel=0.08)
    assert image_noise(torch.zeros(1, *size)) == 0


def test_sensitivity_of_maps_in_closed_form():
    image = torch.randn(1, 10, 10, generator=seeded())
    still = max_sensitivity(lambda images: torch.ones(len(images), 5, 5), image)
    assert (still.largest, still.mean.value) == (0, 0)
    moving = max_sensitivity(lambda images: images[:, 0], image, radius=0.1)
    assert moving.mean.value == pytest.approx(0.1 / 3**0.5 * 10 / float(image.norm()), rel=0.05)
    assert moving.mean.low < moving.mean.value < moving.mean.high <= moving.largest


def test_sensitivity_without_a_map_or_noise_has_a_reason():
    image = torch.randn(1, 6, 6, generator=seeded())
    assert "zero everywhere" in max_sensitivity(lambda images: 0 * images[:, 0], image).reason
    assert "no noise" in max_sensitivity(lambda images: images[:, 0], torch.ones(1, 6, 6)).reason
    with pytest.raises(ExplainError, match="finite"):
        max_sensitivity(lambda images: images[:, 0] / 0, image)


def test_drop_and_increase_in_closed_form():
    model = lambda images: images.flatten(1).sum(1, keepdim=True)  # noqa: E731
    images = torch.stack([torch.ones(1, 2, 2), torch.tensor([[[1.0, -1.0], [-1.0, -1.0]]])])
    values = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[5.0, -2.0], [0.0, 0.0]]])
    found = drop_and_increase(images, values, [0, 0], model, score="sigmoid")
    whole, left = (1 / (1 + np.exp(-one)) for one in (4, 1))
    assert found.drops == pytest.approx((1 - left / whole, 0))
    assert found.increase.value == 0.5
    with pytest.raises(ExplainError, match="every image"):
        drop_and_increase(images, values, [0], model)
