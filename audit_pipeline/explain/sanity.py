r"""Every test of whether maps depend on the model, on noise and on the seed, for all maps of one input together.

All maps of a call see the same randomised models and the same changed images, so that ten methods cost hardly more
passes than one. A test that a method cannot stand, or that would cost it too many passes, has a reason in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from audit_pipeline.errors import AuditError
from audit_pipeline.explain.controls import edge_similarity, random_logit, repeatability
from audit_pipeline.explain.faithfulness import require_finite
from audit_pipeline.explain.infidelity import Sensitivity, max_sensitivities
from audit_pipeline.explain.intervals import Estimate
from audit_pipeline.explain.randomisation import (
    NOISE_SHARE,
    NOISY_IMAGES,
    Randomisation,
    Similarity,
    copied,
    noisy_copies,
    parameter_randomisations,
    randomised,
    similarity,
)
from audit_pipeline.records import Floats

Key = tuple[str, int]
"""Method and target."""

Ask = Callable[[nn.Module, Tensor, Sequence[str], Sequence[int], int], Mapping[Key, Tensor]]
"""(model, images (M, C, \\*S), methods, targets, seed) -> maps (M, \\*grid) of each method and target."""

OnTest = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SanitySettings:
    """How much is asked.

    steps : groups of layers of the cascading and the independent randomisation; smooth_steps : of the sMPRT
    pairs : random map pairs behind each baseline
    networks : with random parameters throughout
    noisy : noisy images behind a map of the sMPRT; draws : changed images of the sensitivity
    runs : seeds of the repeatability; batch : images in one pass
    forwards : passes through the whole network that one test may cost one method
    """

    steps: int = 10
    smooth_steps: int = 3
    pairs: int = 50
    networks: int = 5
    noisy: int = NOISY_IMAGES
    draws: int = 16
    runs: int = 3
    batch: int = 4
    forwards: int = 2000
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sanity:
    """What the tests found for one map; None where `reasons` says why, by the name of the test.

    cascading, independent, smooth : randomised parameters, the last the sMPRT; the eMPRT is that of `cascading`
    redrawn : likeness to the maps of several networks with random parameters throughout, for one of them says little
    sensitivity : to changes within the noise of the image; repeatability : across seeds
    random_logit : likeness to the map of `other`, another class drawn at random; edges : to the edges of the image
    """

    cascading: Randomisation | None = None
    independent: Randomisation | None = None
    smooth: Randomisation | None = None
    redrawn: Similarity | None = None
    sensitivity: Sensitivity | None = None
    repeatability: Estimate | None = None
    random_logit: Similarity | None = None
    edges: Similarity | None = None
    other: int | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


TESTS = ("cascading", "independent", "smooth", "redrawn", "sensitivity", "repeatability", "random_logit", "edges")


def sanity(
    model: nn.Module,
    image: Tensor,
    ask: Ask,
    methods: Sequence[str],
    targets: Sequence[int],
    *,
    classes: int,
    settings: SanitySettings | None = None,
    on_test: OnTest | None = None,
) -> dict[Key, Sanity]:
    r"""Return what the tests find for the map of every method and target.

    Parameters
    ----------
    image : (C, \*S) on the device of the model
    classes : number of logits; on_test : called with the name of each of `TESTS` when it is done
    """
    tests = _Tests(
        model=model, image=image, ask=ask, targets=targets, classes=classes, given=settings or SanitySettings()
    )
    found: dict[Key, dict[str, Any]] = {(method, target): {} for method in methods for target in targets}
    reasons: dict[Key, dict[str, str]] = {key: {} for key in found}
    costs = {method: tests.forwards(method) for method in methods}
    for test in TESTS:
        able = [method for method in methods if costs[method] * tests.maps(test) <= tests.given.forwards]
        results, failed = _together(getattr(tests, test), able)
        for method in methods:
            if method not in able:
                failed[method] = _too_dear(costs[method], tests.maps(test), tests.given.forwards)
        for key, own in found.items():
            if key in results:
                own[test] = results[key]
            else:
                reasons[key][test] = failed[key[0]]
        if on_test:
            on_test(test)
    return {key: Sanity(**own, other=tests.others[key[1]], reasons=reasons[key]) for key, own in found.items()}


def _together(
    test: Callable[[Sequence[str]], Mapping[Key, Any]], methods: Sequence[str]
) -> tuple[dict[Key, Any], dict[str, str]]:
    """Return the results of all methods at once; where that fails, of each alone, and why of those that fail again."""
    if not methods:
        return {}, {}
    try:
        return dict(test(methods)), {}
    except AuditError as error:
        if len(methods) == 1:
            return {}, {methods[0]: str(error)}
    results, failed = dict[Key, Any](), dict[str, str]()
    for method in methods:
        own, why = _together(test, [method])
        results |= own
        failed |= why
    return results, failed


def _too_dear(forwards: int, maps: int, limit: int) -> str:
    return (
        f"a map takes {forwards:,} forward passes and this test {maps} maps: more than {limit:,} passes; "
        "allow more with --sanity"
    )


def _stacked(own: Tensor, drawn: Sequence[Tensor]) -> tuple[Floats, Floats]:
    """Return the map as often as there are others, and the others; a map that is not finite is refused."""
    for maps in drawn:
        require_finite(maps)
    one, others = (torch.cat(list(maps)).detach().double().cpu().numpy() for maps in ([own] * len(drawn), drawn))
    return one, others


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tests:
    """The tests of `TESTS`, each a method from names of explanation methods to results."""

    model: nn.Module
    image: Tensor
    ask: Ask
    targets: Sequence[int]
    classes: int
    given: SanitySettings
    others: dict[int, int | None] = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.given.seed)
        others: dict[int, int | None] = {}
        for target in self.targets:
            rest = [one for one in range(self.classes) if one != target]
            others[target] = rest[int(torch.randint(len(rest), (1,), generator=generator))] if rest else None
        object.__setattr__(self, "others", others)

    def maps(self, test: str) -> int:
        """Return how many maps a test asks of a method, one of which is there already for some."""
        steps = self.given.steps + 2
        smooth = self.given.noisy * (self.given.smooth_steps + 2)
        kinds = {
            "smooth": smooth,
            "redrawn": 2 * self.given.networks,
            "sensitivity": self.given.draws,
            "repeatability": self.given.runs,
        }
        return {"cascading": steps, "independent": steps, **kinds}.get(test, 1)

    def forwards(self, method: str) -> int:
        """Return the images that the whole network sees for one map, counted on a copy; 1 if that fails."""
        seen = list[int]()
        try:
            copy = copied(self.model)
            copy.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
            self.ask(copy, self.image[None], [method], self.targets, self.given.seed)
        except AuditError:
            return 1
        return max(1, sum(seen))

    def of(self, images: Tensor, methods: Sequence[str], seed: int | None = None) -> Mapping[Key, Tensor]:
        return self.ask(self.model, images, methods, self.targets, self.given.seed if seed is None else seed)

    def cascading(self, methods: Sequence[str]) -> Mapping[Key, Randomisation]:
        return self._randomised(methods, "cascading")

    def independent(self, methods: Sequence[str]) -> Mapping[Key, Randomisation]:
        return self._randomised(methods, "independent")

    def _randomised(self, methods: Sequence[str], order: Any) -> Mapping[Key, Randomisation]:
        given = self.given
        return parameter_randomisations(
            self.model, self._of_each(methods), order=order, steps=given.steps, pairs=given.pairs, seed=given.seed
        )

    def _of_each(self, methods: Sequence[str]) -> Callable[[nn.Module], Mapping[Key, Tensor]]:
        return lambda model: self.ask(model, self.image[None], methods, self.targets, self.given.seed)

    def redrawn(self, methods: Sequence[str]) -> Mapping[Key, Similarity]:
        explain, given = self._of_each(methods), self.given
        drawn = [
            explain(copy)
            for number in range(given.networks)
            for _, copy in randomised(self.model, explain, order="cascading", steps=1, seed=given.seed + 1 + number)
        ]
        return {
            key: similarity(*_stacked(own, [one[key] for one in drawn]), seed=given.seed, over="random networks")
            for key, own in explain(self.model).items()
        }

    def smooth(self, methods: Sequence[str]) -> Mapping[Key, Randomisation]:
        given = self.given

        def explain(model: nn.Module) -> Mapping[Key, Tensor]:
            total: dict[Key, Tensor] = {}
            for noisy in noisy_copies(self.image[None], noise_share=NOISE_SHARE, draws=given.noisy, seed=given.seed):
                for key, maps in self.ask(model, noisy, methods, self.targets, given.seed).items():
                    total[key] = maps.detach() / given.noisy + total.get(key, 0)
            return total

        return parameter_randomisations(
            self.model, explain, steps=given.smooth_steps, pairs=given.pairs, seed=given.seed
        )

    def sensitivity(self, methods: Sequence[str]) -> Mapping[Key, Sensitivity]:
        return max_sensitivities(
            lambda images: self.of(images, methods),
            self.image,
            draws=self.given.draws,
            batch=self.given.batch,
            seed=self.given.seed,
        )

    def repeatability(self, methods: Sequence[str]) -> Mapping[Key, Estimate]:
        runs = [self.of(self.image[None], methods, self.given.seed + one) for one in range(self.given.runs)]
        return {key: repeatability([one[key] for one in runs], seed=self.given.seed) for key in runs[0]}

    def random_logit(self, methods: Sequence[str]) -> Mapping[Key, Similarity]:
        wanted = sorted({*self.targets, *(one for one in self.others.values() if one is not None)})
        maps = self.ask(self.model, self.image[None], methods, wanted, self.given.seed)
        found = {}
        for method in methods:
            for target in self.targets:
                other = self.others[target]
                columns = [maps[method, one] for one in ([target] if other is None else [target, other])]
                found[method, target] = random_logit(torch.stack(columns, dim=1), seed=self.given.seed)
        return found

    def edges(self, methods: Sequence[str]) -> Mapping[Key, Similarity]:
        return {
            key: edge_similarity(maps, self.image[None], seed=self.given.seed)
            for key, maps in self.of(self.image[None], methods).items()
        }
