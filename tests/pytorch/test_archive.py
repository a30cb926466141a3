"""A TorchScript archive is a model: exported from the code inside, of which nothing else runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import scripted_models
import torch
from archive_attacks import ATTACKS, save_scripted
from click.testing import Result
from rnn_export import LoadError, export_onnx, load, verify
from torch import Tensor, nn

X = {"x": "float32[T, N, 4]"}


class Rated(nn.Module):
    """Arguments that are no tensors, as silero-vad has one."""

    def forward(self, x: Tensor, rate: int, name: str = "all") -> Tensor:
        if rate not in (8000, 16000):
            raise ValueError("rate")
        return x * rate if name == "all" else x[0]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[nn.Module], Path]:
    def save(model: nn.Module) -> Path:
        save_scripted(model, tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return save


def test_it_is_exported_and_verified_again(saved: Callable[[nn.Module], Path], tmp_path: Path) -> None:
    loaded = load(str(saved(scripted_models.Stepwise())), inputs=X)
    assert (loaded.source.kind, loaded.source.name) == ("archive", "model")
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    assert exported.report is not None
    assert exported.report.passed
    again = verify(tmp_path / "out", model=loaded.source.model, seed=1)
    assert again.passed
    (tmp_path / "model.pt").unlink()
    assert verify(tmp_path / "out").passed


def test_other_arguments_of_forward_can_be_set(saved: Callable[[nn.Module], Path]) -> None:
    path = str(saved(Rated()))
    x = torch.randn(5, 2, 4)
    assert torch.equal(load(path, inputs=X, rate=8000).model(x), x * 8000)
    assert torch.equal(load(path, inputs=X, rate=16000, name="first").model(x), x[0])
    with pytest.raises(LoadError, match=r"no argument 'rat' to set. Did you mean 'rate'\? It takes rate, name."):
        load(path, inputs=X, rat=8000)
    with pytest.raises(LoadError, match="no argument 'x' to set"):
        load(path, inputs=X, x=3)


def test_a_layer_of_pytorch_alone_has_no_forward(saved: Callable[[nn.Module], Path]) -> None:
    with pytest.raises(LoadError, match="has no forward that can be called.*Script a module of yours that calls it."):
        load(str(saved(nn.GRU(3, 4))), inputs=X)


def test_the_command_line_takes_one(
    saved: Callable[[nn.Module], Path], cli: Callable[..., Result], tmp_path: Path
) -> None:
    path = saved(Rated())
    given = ("--set", "rate=8000", "--input", "x: float32[T, N, 4]", "--out", str(tmp_path / "out"))
    assert cli("onnx", "--model", str(path), *given).exit_code == 0
    assert cli("verify", str(tmp_path / "out"), "--model", str(path)).exit_code == 0


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.__name__ for attack in ATTACKS])
def test_one_that_does_more_than_compute_is_refused(attack: Callable[[str], nn.Module], tmp_path: Path) -> None:
    target = tmp_path / "target"
    save_scripted(attack(str(target)), tmp_path / "model.jit")
    target.unlink(missing_ok=True)
    with pytest.raises(LoadError, match="is not (run|loaded)"):
        load(str(tmp_path / "model.jit"), inputs=X)
    assert not target.exists()


class Fields(nn.Module):
    """What reads attributes of objects in Python, and is plain text in TorchScript."""

    def forward(self, x: Tensor) -> Tensor:
        text = "{0.__class__.__init__.__globals__} {}".format(3)  # noqa: F525
        return x * len(text)


def test_text_is_formatted_as_torchscript_does(saved: Callable[[nn.Module], Path], tmp_path: Path) -> None:
    loaded = load(str(saved(Fields())), inputs=X)
    assert export_onnx(loaded.model, loaded.signature, tmp_path / "out").report is not None


@pytest.mark.parametrize("content", [nn.GRU(3, 4), nn.GRU(3, 4).state_dict()], ids=["pickled", "weights"])
def test_what_is_no_archive_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(LoadError, match="Give the Python module, as path/to/file.py:Factory"):
        load(str(tmp_path / "model.pt"), inputs=X)
    with pytest.raises(LoadError, match="There is no file"):
        load(str(tmp_path / "other.pt"), inputs=X)
