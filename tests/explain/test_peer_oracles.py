"""The oracle matrix beyond the CAM family: path methods against captum, localisation against Quantus."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

from audit_pipeline import explain_batch
from audit_pipeline.explain.baselines import baseline_of
from audit_pipeline.explain.localisation import Case, localise
from audit_pipeline.explain.supervoxels import supervoxels
from tests.explain.peers import need

both = pytest.mark.parametrize("dimensions", [2, 3])
SHAPES = {2: (11, 14), 3: (6, 7, 9)}


def values_of(net, images, method, targets, **settings):
    maps = explain_batch(net, images, methods=[method], targets=targets, settings={method: settings}, batch=64, seed=5)
    return maps.values[method]


@both
@pytest.mark.parametrize("baseline", ["zero", "lowest"])
def test_integrated_gradients_equal_captum_step_for_step(make_net, make_batch, dimensions, baseline):
    net, images = make_net(dimensions, "flat", side=8), make_batch(dimensions, side=8)
    found = values_of(net, images, "integrated_gradients", [0, 1, 2], baseline=baseline, steps=32, tolerance=1e6)
    for target in range(3):
        expected = attr.IntegratedGradients(net).attribute(
            images, baseline_of(images, baseline), target=target, n_steps=32
        )
        torch.testing.assert_close(found[:, target], expected.sum(1).float().detach(), rtol=1e-5, atol=1e-7)


@both
def test_gradient_shap_of_one_image_equals_captum_under_the_same_seed(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat", side=8), make_batch(dimensions, count=1, side=8)
    found = values_of(net, images, "gradient_shap", [1], baseline="zero", samples=24, sigma=0.1)
    spread = 0.1 * float(images.max() - images.min())
    before = np.random.get_state()  # noqa: NPY002 - captum draws from the global state
    with torch.random.fork_rng():
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002 - as above
        expected = attr.GradientShap(net).attribute(
            images, torch.zeros_like(images), n_samples=24, stdevs=spread, target=1
        )
    np.random.set_state(before)  # noqa: NPY002 - as above
    torch.testing.assert_close(found[:, 0], expected.sum(1).detach(), rtol=1e-4, atol=1e-7)


@both
def test_kernel_shap_of_few_supervoxels_equals_the_exact_shapley_values_of_captum(make_net, make_batch, dimensions):
    net, images = make_net(dimensions, "flat", side=8), make_batch(dimensions, count=1, side=8)
    settings = {"n_segments": 5, "samples": 510, "baseline": "zero"}
    found = values_of(net, images, "kernel_shap", [0, 2], **settings)
    labels = torch.from_numpy(supervoxels(images[0].numpy(), 5, compactness=0.5, spacing_mm=None)).long()
    assert labels.max() < 8
    sizes = torch.bincount(labels.flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for column, target in enumerate([0, 2]):
            expected = attr.ShapleyValues(net).attribute(images, target=target, feature_mask=labels[None, None])
            assert labels.unique().numel() == len(sizes)
            torch.testing.assert_close(found[0, column], expected[0, 0].detach() / sizes[labels], rtol=1e-3, atol=1e-6)


def cases_of(dimensions, count=6):
    """Positive random maps and masks of blocks; Quantus sums the whole map, so no value may be negative."""
    draw = np.random.default_rng(4)
    cases = []
    for _ in range(count):
        values = draw.random(SHAPES[dimensions]).astype(np.float32)
        mask = np.zeros(SHAPES[dimensions], dtype=bool)
        mask[tuple(slice(first, first + 4) for first in draw.integers(0, 3, dimensions))] = True
        values[mask] *= draw.uniform(0.6, 1.2)
        cases.append(Case(values=values, mask=mask, spacing_mm=(1.0,) * dimensions))
    return cases


def quantus_scores(name, cases, **settings):
    metric = getattr(need("quantus"), name)(disable_warnings=True, normalise=False, abs=False, **settings)
    maps = np.stack([case.values[None] for case in cases])
    masks = np.stack([case.mask[None] for case in cases])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric.evaluate_batch(a_batch=maps, s_batch=masks)


@both
@pytest.mark.parametrize(
    ("name", "measure"),
    [("PointingGame", "hit"), ("RelevanceMassAccuracy", "mass_in_mask"), ("RelevanceRankAccuracy", "rank_accuracy")],
)
def test_localisation_equals_quantus(dimensions, name, measure):
    cases = cases_of(dimensions)
    ours = [getattr(localise(case), measure) for case in cases]
    assert len(set(ours)) > 1
    np.testing.assert_allclose(quantus_scores(name, cases), ours, rtol=1e-6)


@both
def test_the_order_of_voxels_that_quantus_integrates_is_ours(dimensions):
    """Quantus offers the area under the receiver operating curve, ours is that under precision and recall."""
    metrics = need("sklearn.metrics")
    for case in cases_of(dimensions):
        (theirs,) = quantus_scores("AUC", [case])
        assert theirs == pytest.approx(metrics.roc_auc_score(case.mask.ravel(), case.values.ravel()))
        expected = metrics.average_precision_score(case.mask.ravel(), case.values.ravel())
        assert localise(case).auprc == pytest.approx(expected)


def test_an_empty_mask_has_a_reason_and_no_value():
    empty = Case(values=cases_of(2)[0].values, mask=np.zeros(SHAPES[2], dtype=bool), spacing_mm=(1.0, 1.0))
    found = localise(empty)
    assert (found.hit, found.mass_in_mask, found.rank_accuracy) == (None, None, None)
    assert found.reason == "the reference mask is empty"


def test_an_empty_mask_is_a_hit_for_quantus():
    """It writes NaN into a bool array, which makes it True."""
    empty = Case(values=cases_of(2)[0].values, mask=np.zeros(SHAPES[2], dtype=bool), spacing_mm=(1.0, 1.0))
    assert bool(quantus_scores("PointingGame", [empty])[0])
    assert localise(empty).hit is None


class Flat(nn.Module):
    """A 1-channel network of several classes, whose outputs a softmax must be taken of."""

    def __init__(self, dimensions):
        super().__init__()
        torch.manual_seed(3)
        self.same = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions](1, 1, 1)
        self.fc = nn.Linear(6**dimensions, 5)

    def forward(self, images):
        return self.fc(self.same(images).flatten(1))


@both
def test_occlusion_of_a_one_channel_network_of_several_classes_is_in_logits(dimensions):
    """MONAI takes a sigmoid wherever the image has one channel, whatever the outputs are."""
    net, images = (
        Flat(dimensions).eval(),
        torch.rand(1, 1, *[6] * dimensions, generator=torch.Generator().manual_seed(1)),
    )
    found = values_of(net, images, "occlusion", None, window=6, stride=6, baseline="zero")
    with torch.no_grad():
        drop = net(images) - net(torch.zeros_like(images))
    for target in range(5):
        assert found[0, target].unique().numel() == 1
        assert float(found[0, target].mean()) == pytest.approx(float(drop[0, target]), rel=1e-5)
