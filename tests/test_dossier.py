"""The files of a study: named after what they hold, one per map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit_pipeline.dossier import explanation_facts, map_files
from audit_pipeline.explain.place import place
from audit_pipeline.records import Prepared, sealed


def explanation(name, target):
    prepared = Prepared(
        values=sealed(np.zeros((1, 8, 8), np.float32)), to_source=np.eye(3), affine=None, spacing_mm=(1.0, 1.0),
        inside=np.ones((8, 8), bool), steps=(), display_window=(0.0, 1.0),
    )  # fmt: skip
    made = place(
        np.ones((2, 2), np.float32), prepared, None,
        method="gradcam", target=target, target_name=name, layer="l", signal_floor=0.0,
    )  # fmt: skip
    return replace(made, target_name=name)


def test_maps_are_named_after_method_and_class_without_odd_characters(make_image):
    image = make_image(np.zeros((8, 8)), spacing_mm=(1.0, 1.0), modality="DX")
    files = map_files([explanation("Pleural effusion / é", 3)], image)
    assert files["gradcam", 3][0] == "maps/gradcam-Pleural-effusion.nii.gz"


def test_classes_whose_names_would_collide_get_their_index(make_image):
    image = make_image(np.zeros((8, 8)), spacing_mm=(1.0, 1.0), modality="DX")
    files = map_files([explanation("a b", 0), explanation("a-b", 1)], image)
    assert [name for name, _ in files.values()] == ["maps/gradcam-a-b-0.nii.gz", "maps/gradcam-a-b-1.nii.gz"]


def volume_explanation(values):
    prepared = Prepared(
        values=sealed(np.zeros((1, 8, 8, 8), np.float32)), to_source=np.eye(4), affine=None, spacing_mm=(1.0,) * 3,
        inside=np.ones((8, 8, 8), bool), steps=(), display_window=(0.0, 1.0),
    )  # fmt: skip
    return place(
        values, prepared, None, method="gradcam", target=0, target_name="n", layer="l", signal_floor=0.0
    )  # fmt: skip


def test_the_shares_of_evidence_over_the_slices_sum_to_one_and_follow_the_map():
    values = np.zeros((4, 4, 4), np.float32)
    values[1] = 1.0
    values[3] = -5.0
    shares = explanation_facts(volume_explanation(values), "maps/a.nii.gz", b"", {}, (8, 8, 8)).slice_shares
    assert len(shares) == 8
    assert abs(sum(shares) - 1) < 1e-4
    # half-pixel linear: cell 1 covers slices 2 and 3, and a quarter of it reaches slice 1 and slice 4
    assert np.allclose(shares[:5], np.array([0.0, 0.25, 0.75, 0.75, 0.25]) / 2.0, atol=1e-4)
    assert shares[6:] == (0.0, 0.0)


def test_there_are_no_shares_of_a_flat_image_and_of_a_map_without_evidence():
    assert explanation_facts(explanation("n", 0), "maps/a.nii.gz", b"", {}, (8, 8)).slice_shares == ()
    empty = volume_explanation(np.full((4, 4, 4), -1, np.float32))
    assert explanation_facts(empty, "maps/a.nii.gz", b"", {}, (8, 8, 8)).slice_shares == ()
