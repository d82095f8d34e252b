"""The files of a study: named after what they hold, one per map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit_pipeline.dossier import map_files
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
