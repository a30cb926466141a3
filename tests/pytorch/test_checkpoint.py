"""Checkpoints: what is read, what is refused unread, and how a misfit is described."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from rnn_export import WeightsError
from rnn_export.pytorch.checkpoint import load_weights
from torch import nn


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.GRU(3, 4)


@pytest.fixture
def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return nn.GRU(3, 4).state_dict()


def test_safetensors_and_pytorch_files_are_read(
    model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    safetensors.torch.save_file(trained, tmp_path / "w.safetensors")
    torch.save(trained, tmp_path / "w.pt")
    torch.save({"step": 3, "model_state": trained}, tmp_path / "full.pt")
    for name, key in (("w.safetensors", None), ("w.pt", None), ("full.pt", "model_state")):
        fresh = nn.GRU(3, 4)
        load_weights(fresh, tmp_path / name, key)
        assert all(torch.equal(value, trained[name]) for name, value in fresh.state_dict().items())


def test_what_wrappers_put_before_every_name_is_left_out(
    model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({f"module._orig_mod.{name}": value for name, value in trained.items()}, tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_a_pickle_that_would_run_code_is_refused(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Evil()}, "evil.pt")
    with pytest.raises(WeightsError, match="could run code and are not read"):
        load_weights(model, Path("evil.pt"))
    assert not Path("evil").exists()


def test_a_whole_pickled_module_is_refused(model: nn.Module, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "module.pt")
    with pytest.raises(WeightsError, match="is a whole pickled module"):
        load_weights(model, tmp_path / "module.pt")


def test_a_full_checkpoint_names_its_key(model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"step": 3, "state_dict": trained}, tmp_path / "full.pt")
    with pytest.raises(WeightsError, match="has no entry 'state'. Did you mean 'state_dict'"):
        load_weights(model, tmp_path / "full.pt", "state")
    with pytest.raises(
        WeightsError,
        match="The entry 'step' of .* does not hold tensors by name. Name one that does: `weights_key=\"state_dict\"`",
    ):
        load_weights(model, tmp_path / "full.pt", "step")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_damaged_file_is_said_to_be_one(model: nn.Module, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="w"):
        load_weights(model, tmp_path / name)


def test_a_misfit_names_the_tensors(model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    misfit = {"weight_ih_l0": trained["weight_ih_l0"], "weight_hh_l0": torch.zeros(12, 5), "extra": torch.zeros(1)}
    torch.save(misfit, tmp_path / "w.pt")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "w.pt")
    assert "missing bias_ih_l0, bias_hh_l0; unexpected extra; misshaped weight_hh_l0 [12, 5] instead of [12, 4]" in str(
        error.value
    )


def test_a_missing_file(model: nn.Module) -> None:
    with pytest.raises(WeightsError, match="There is no file nowhere.pt"):
        load_weights(model, Path("nowhere.pt"))


def test_what_is_rounded_is_said(model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "double.safetensors"
    safetensors.torch.save_file({name: tensor.double() / 3 for name, tensor in trained.items()}, path)
    (note,) = load_weights(model, path)
    assert note.startswith("Weights do not fit the model's dtype and were changed: ")
    assert note.endswith(f"float64 in {path}, float32 in it.")


def test_a_wider_dtype_that_holds_the_same_numbers_is_not_remarked_on(
    model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "double.safetensors"
    safetensors.torch.save_file({name: tensor.double() for name, tensor in trained.items()}, path)
    assert load_weights(model, path) == ()


def test_safetensors_are_known_by_their_content(
    model: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    safetensors.torch.save_file(trained, tmp_path / "weights.st")
    load_weights(model, tmp_path / "weights.st")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained[name])
