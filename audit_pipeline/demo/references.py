"""Measure the clean reference studies of the embedded classifiers: ``python -m audit_pipeline.demo.references``.

The phantoms of the range `train.REFERENCE`, which neither training nor tuning nor the demo uses, are written as the
files that a site would hand in, audited at the level of the demo, and what every check measures on them is learnt as
`calibrate` learns it. The cards in the folder of the weights then pin the new files. It takes about half an hour of one
core for the volumes and a few minutes for the radiographs; started again on the same ``--work`` it continues.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml

from audit_pipeline.card import read_card
from audit_pipeline.demo.audit import AUDITS, SITE_KEY, WEIGHTS, configuration
from audit_pipeline.demo.cohort import write_clean_ct, write_clean_dx
from audit_pipeline.demo.examples import example
from audit_pipeline.demo.recipes import card_text
from audit_pipeline.demo.train import REFERENCE
from audit_pipeline.execute.calibrate import Calibration, calibrate
from audit_pipeline.explain.layers import choose_layer
from audit_pipeline.models.classifier import load_classifier
from audit_pipeline.store.files import sha256, write_atomically

WRITERS: dict[str, Callable[[Path, Sequence[int]], None]] = {"ct": write_clean_ct, "dx": write_clean_dx}

LEVEL = "standard"
"""Of the audit, as in the demo: every check that the demo runs is measured."""


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the clean reference studies of the embedded classifiers.")
    parser.add_argument("--only", choices=[card for _, card, _ in AUDITS], help="measure one of them")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the cards and weights")
    parser.add_argument("--work", type=Path, help="folder for the phantoms and the audit; kept, to continue in it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for cohort, card, _ in AUDITS:
        if arguments.only in {None, card}:
            with tempfile.TemporaryDirectory() as scratch:
                measure(cohort, card, arguments.weights, (arguments.work or Path(scratch)) / card, REFERENCE)


def measure(cohort: str, name: str, weights: Path, work: Path, seeds: Sequence[int]) -> Calibration:
    """Write the phantoms of `seeds` below `work`, learn a reference from them, and pin it in the card `name`.

    Parameters
    ----------
    cohort : ``ct`` or ``dx``; weights : folder with the card and the weights, which gets the reference
    """
    studies, place = work / "studies", weights / f"{name}.yaml"
    WRITERS[cohort](studies, seeds)
    key = work / "site.key"
    key.write_bytes(SITE_KEY)
    card = yaml.safe_load(place.read_text(encoding="utf-8"))
    plain = {**card, "weights": {**card["weights"], "path": str(weights / card["weights"]["path"])}, "development": {}}
    plain.pop("reference", None)  # so that the audit is the same whether or not the card has a reference already
    settings = configuration(name, plain, studies, key, work / "run")
    classifier = load_classifier(read_card(plain), device="cpu")
    layer = choose_layer(classifier.network, torch.from_numpy(example(seeds[0], classifier.card).values.copy())[None])
    sets = [f"explain.layer={layer}", f"audit.level={LEVEL}"]
    learnt = calibrate(settings, work / f"{name}_reference.parquet", sets=sets, device="cpu")
    for path in learnt.paths:
        shutil.copyfile(path, weights / path.name)
    table = learnt.paths[0]
    card["reference"] = {"path": table.name, "sha256": sha256(table.read_bytes())}
    card["development"]["reference_phantoms"] = learnt.studies
    write_atomically(place, card_text(card).encode())
    return learnt


if __name__ == "__main__":
    main()
