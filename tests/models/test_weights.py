"""Weights: pinned, checked before they are read, and never executed."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from audit_pipeline.card import WeightsCard
from audit_pipeline.errors import UnsafeWeightsError, WeightsError
from audit_pipeline.models.weights import digest_of, load_weights


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def card_of(path):
    return WeightsCard(path=path, sha256=digest_of(path))


def written(net, path):
    if path.suffix == ".safetensors":
        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_arrive_in_the_network(net, tmp_path, suffix):
    place = written(net, tmp_path / f"w{suffix}")
    other = nn.Linear(3, 2)
    load_weights(other, card_of(place))
    assert torch.equal(other.weight, net.weight)


def test_a_changed_file_is_refused_before_it_is_read(net, tmp_path):
    place = written(net, tmp_path / "w.safetensors")
    card = card_of(place)
    place.write_bytes(place.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="the model card pins"):
        load_weights(net, card)


class Touch:
    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.place}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_file_that_would_run_code_is_refused_before_it_can(net, tmp_path, protocol):
    touched, place = tmp_path / "touched", tmp_path / "w.pt"
    torch.save({"weight": Touch(touched)}, place, pickle_protocol=protocol)
    with pytest.raises(UnsafeWeightsError, match=r"refused before loading: it refers to (posix|nt|os)\.system"):
        load_weights(net, card_of(place))
    assert not touched.exists()


def test_a_bare_pickle_is_refused_unread(net, tmp_path):
    touched, place = tmp_path / "touched", tmp_path / "w.pt"
    place.write_bytes(pickle.dumps(Touch(touched)))
    with pytest.raises(WeightsError, match=r"neither safetensors nor a torch\.save archive"):
        load_weights(net, card_of(place))
    assert not touched.exists()


def test_a_whole_model_instead_of_a_state_dict_is_refused(net, tmp_path):
    place = tmp_path / "w.pt"
    torch.save(net, place)
    with pytest.raises(UnsafeWeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_weights(net, card_of(place))


def test_something_else_than_a_table_of_tensors_is_refused(net, tmp_path):
    place = tmp_path / "w.pt"
    torch.save([1, 2], place)
    with pytest.raises(WeightsError, match="holds list, not a state_dict"):
        load_weights(net, card_of(place))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_a_weights_error(net, tmp_path, suffix):
    place = written(net, tmp_path / f"w{suffix}")
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    with pytest.raises(WeightsError):
        load_weights(net, card_of(place))


def test_a_damaged_pickle_in_a_good_archive_is_a_weights_error(net, tmp_path):
    place = tmp_path / "w.pt"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02\xff\xff")
    with pytest.raises(WeightsError, match="damaged pickle"):
        load_weights(net, card_of(place))


def test_weights_of_another_network_are_named(net, tmp_path):
    place = written(nn.Linear(4, 2), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"do not fit the network.*size mismatch for weight"):
        load_weights(net, card_of(place))


def test_a_missing_file_is_named_without_its_folder(net, tmp_path):
    with pytest.raises(WeightsError, match=r"weights file gone\.pt cannot be read: No such file"):
        load_weights(net, WeightsCard(path=tmp_path / "gone.pt", sha256="0" * 64))
