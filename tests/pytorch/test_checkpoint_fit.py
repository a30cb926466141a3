"""Checkpoints as people have them: entries, prefixes, averages, shards, folders; what fits is taken, and said."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.torch
import torch
from rnn_export import WeightsError
from rnn_export.pytorch.checkpoint import load_weights
from torch import Tensor, nn

State = dict[str, Tensor]


@pytest.fixture
def trained() -> State:
    torch.manual_seed(1)
    return nn.GRU(3, 4).state_dict()


def behind(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def halved(state: State) -> State:
    return {name: tensor / 2 for name, tensor in state.items()}


def loaded(content: Any, folder: Path, key: str | None = None) -> tuple[State, tuple[str, ...]]:
    torch.save(content, folder / "c.ckpt")
    model = nn.GRU(3, 4)
    notes = load_weights(model, folder / "c.ckpt", key)
    return model.state_dict(), notes


def assert_equal(found: State, expected: State) -> None:
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model", "net", "whatever"])
def test_the_one_entry_that_fits_is_found(entry: str, trained: State, tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(nn.GRU(3, 4).parameters()).state_dict()
    found, notes = loaded({"epoch": 3, "optimizer": optimizer, entry: trained}, tmp_path)
    assert_equal(found, trained)
    assert notes == (f"Weights are the entry '{entry}' of {tmp_path / 'c.ckpt'}.",)


def test_a_lightning_checkpoint(trained: State, tmp_path: Path) -> None:
    content = {
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**behind("model.", trained), "loss.weight": torch.ones(2)},
        "hyper_parameters": argparse.Namespace(lr=numpy.float64(0.1)),
        "callbacks": {"EarlyStopping": {"wait_count": 0, "best_score": torch.tensor(1.0)}},
        "optimizer_states": [torch.optim.Adam(nn.GRU(3, 4).parameters()).state_dict()],
    }
    found, notes = loaded(content, tmp_path)
    assert_equal(found, trained)
    text = " ".join(notes)
    assert "Weights are the entry 'state_dict'" in text
    assert "The prefix 'model.' of the weights' names was left out." in text
    assert "other tensors too, which were left out: loss.weight." in text
    assert "Python objects beside tensors (argparse.Namespace and " in text


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "net.encoder."])
def test_any_one_prefix_is_left_out(prefix: str, trained: State, tmp_path: Path) -> None:
    found, notes = loaded(behind(prefix, trained), tmp_path)
    assert_equal(found, trained)
    said = prefix.replace("_orig_mod.", "")
    assert bool(notes) == bool(said)
    assert not said or f"The prefix '{said}'" in notes[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compiled", [True, False])
def test_a_part_that_was_compiled(compiled: bool, trained: State, tmp_path: Path) -> None:
    model = nn.Sequential(nn.GRU(3, 4))
    if compiled:
        model = nn.Sequential(torch.compile(nn.GRU(3, 4)))
    torch.save(behind("0._orig_mod.", trained), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert_equal(model.state_dict(), behind("0._orig_mod." if compiled else "0.", trained))


def test_a_model_without_weights(tmp_path: Path) -> None:
    safetensors.torch.save_file({}, tmp_path / "w.safetensors")
    assert load_weights(nn.Tanh(), tmp_path / "w.safetensors") == ()


def test_what_torch_swa_utils_saves(trained: State, tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(nn.GRU(3, 4))
    averaged.module.load_state_dict(trained)
    found, notes = loaded(averaged.state_dict(), tmp_path)
    assert_equal(found, trained)
    assert "left out: n_averaged." in notes[1]


@pytest.mark.parametrize("beside", ["entry", "prefix"])
def test_of_two_that_fit_the_key_says_which(beside: str, trained: State, tmp_path: Path) -> None:
    averaged = halved(trained)
    content: dict[str, Any] = {"model": trained, "ema": averaged}
    if beside == "prefix":
        content = {**behind("model.", trained), **behind("ema.", averaged)}
    with pytest.raises(WeightsError, match='in 2 places.*`weights_key="model"` or `weights_key="ema"`'):
        loaded(content, tmp_path)
    assert_equal(loaded(content, tmp_path, "ema")[0], averaged)
    assert_equal(loaded(content, tmp_path, "model")[0], trained)


@pytest.mark.parametrize("key", [None, "model"])
def test_a_misfit_is_told_behind_the_prefix(key: str | None, trained: State, tmp_path: Path) -> None:
    larger = nn.GRU(3, 5).state_dict()
    content = {**behind("model.", larger), **behind("ema.", larger)}
    with pytest.raises(WeightsError) as error:
        loaded(content, tmp_path, key)
    assert "misshaped weight_ih_l0 [15, 3] instead of [12, 3]" in str(error.value)
    assert "missing" not in str(error.value)


def test_an_average_without_names_is_mentioned(trained: State, tmp_path: Path) -> None:
    content = {"model": trained, "ema": {"decay": 0.99, "shadow_params": list(halved(trained).values())}}
    found, notes = loaded(content, tmp_path)
    assert_equal(found, trained)
    assert "holds averaged weights too, in 'ema', which were not taken" in notes[-1]


def test_a_key_may_lead_deeper(trained: State, tmp_path: Path) -> None:
    content = {"best": {"model": behind("net.", trained)}, "last": {"model": behind("net.", halved(trained))}}
    found, notes = loaded(content, tmp_path, "last.model")
    assert_equal(found, halved(trained))
    assert notes == ("The prefix 'net.' of the weights' names was left out.",)


def test_another_model_behind_the_same_prefix_is_refused(trained: State, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not fit the model: unexpected head.weight\."):
        loaded(behind("model.", {**trained, "head.weight": torch.ones(2, 4)}), tmp_path)


def test_containers_and_numbers_of_numpy_do_no_harm(trained: State, tmp_path: Path) -> None:
    beside = {"counts": defaultdict(int, a=1), "recent": deque([1, 2]), "best": numpy.float32(0.5), "at": numpy.ones(3)}
    found, _ = loaded({"state_dict": trained, **beside}, tmp_path)
    assert_equal(found, trained)


class Noisy:
    """Says when its code runs."""

    def __init__(self) -> None:
        self.value = 1

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("its code ran")


def test_the_code_of_other_objects_does_not_run(trained: State, tmp_path: Path) -> None:
    found, notes = loaded({"state_dict": trained, "config": Noisy()}, tmp_path)
    assert_equal(found, trained)
    assert f"({__name__}.Noisy), which were not read" in notes[-1]


def test_a_whole_module_is_told_how_to_become_a_state_dict(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a whole pickled module") as error:
        loaded(nn.GRU(3, 4), tmp_path)
    remedy = str(error.value).partition("its tensors alone: ")[2].removesuffix(".")
    exec(remedy.replace("'weights.pt'", repr(str(tmp_path / "weights.pt"))), {"torch": torch})
    load_weights(nn.GRU(3, 4), tmp_path / "weights.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_told_as_one(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(3, 4)).save(tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="is a TorchScript archive, which holds a whole model"):
        load_weights(nn.Linear(3, 4), tmp_path / "model.pt")


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsError, match="git lfs pull"):
        load_weights(nn.GRU(3, 4), tmp_path / "w.safetensors")


@pytest.mark.parametrize("form", ["safetensors", "bin", "one file"])
def test_a_folder_of_hugging_face(form: str, trained: State, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    names = list(trained)
    if form == "one file":
        safetensors.torch.save_file(trained, tmp_path / "model.safetensors")
    else:
        stem = "model" if form == "safetensors" else "pytorch_model"
        parts = {f"{stem}-00001.{form}": names[:1], f"{stem}-00002.{form}": names[1:]}
        for file, held in parts.items():
            save = safetensors.torch.save_file if form == "safetensors" else torch.save
            save({name: trained[name] for name in held}, tmp_path / file)
        index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
        (tmp_path / f"{stem}.{form}.index.json").write_text(json.dumps(index))
    model = nn.GRU(3, 4)
    load_weights(model, tmp_path)
    assert_equal(model.state_dict(), trained)


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "../w.safetensors"}}', "{}", "[]", "no", '{"weight_map": 3}'])
def test_a_bad_index_is_refused(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsError, match="index"):
        load_weights(nn.GRU(3, 4), tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a folder without model.safetensors or pytorch_model.bin"):
        load_weights(nn.GRU(3, 4), tmp_path)


def test_arrays_of_numpy(trained: State, tmp_path: Path) -> None:
    numpy.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in trained.items()})
    model = nn.GRU(3, 4)
    load_weights(model, tmp_path / "w.npz")
    assert_equal(model.state_dict(), trained)
