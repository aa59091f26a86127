"""Weights in files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Normalisation
from sonotrace_models.nets.encoder import Encoder
from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.quantize import round_weights
from sonotrace_models.weights import keep_weights, read_weights, with_weights


def test_kept_weights_are_those_of_the_model_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Tracker()
    path = tmp_path / "tracker.safetensors"
    keep_weights(net, path)
    again = with_weights(Tracker(), path)
    for (name, ours), rounded in zip(again.state_dict().items(), round_weights(net).state_dict().values(), strict=True):
        assert torch.allclose(ours, rounded, rtol=1e-6, atol=0), name
    assert load_file(path)["to_key.weight"].dtype == torch.int8
    assert load_file(path)["norm.weight"].dtype == torch.float16
    # Depthwise convolutions are not dense.
    assert load_file(path)["propagate.local.0.weight"].dtype == torch.float16


def test_saving_8_bit_weights_again_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(2)
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    keep_weights(Encoder(), once)
    keep_weights(with_weights(Encoder(), once), twice)
    first, second = load_file(once), load_file(twice)
    for name, value in first.items():
        if value.dtype == torch.int8:
            assert torch.equal(value, second[name]), name


def test_the_weights_contain_the_normalisation_of_grey_levels(tmp_path: Path) -> None:
    encoder = Encoder()
    encoder.adopt(Normalisation(mean=0.2, std=0.1))
    keep_weights(encoder, tmp_path / "encoder.safetensors")
    again = with_weights(Encoder(), tmp_path / "encoder.safetensors")
    assert again.normalise(torch.tensor([0.2, 0.4])).tolist() == pytest.approx([0.0, 2.0], abs=1e-6)


def test_a_runs_weights_are_read_unchanged(tmp_path: Path) -> None:
    net = Encoder()
    torch.save(net.state_dict(), tmp_path / "best.pt")
    read = read_weights(tmp_path / "best.pt")
    assert all(torch.equal(value, read[name]) for name, value in net.state_dict().items())


def test_missing_and_wrong_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no weights at"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(DataError, match="not a weights file"):
        read_weights(tmp_path / "text.safetensors")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(DataError, match="not a weights file"):
        read_weights(tmp_path / "text.pt")
    (tmp_path / "empty.pt").write_text("")
    with pytest.raises(DataError, match="not a weights file"):
        read_weights(tmp_path / "empty.pt")
    keep_weights(Encoder(), tmp_path / "encoder.safetensors")
    with pytest.raises(DataError, match="does not hold weights of Tracker"):
        with_weights(Tracker(), tmp_path / "encoder.safetensors")
