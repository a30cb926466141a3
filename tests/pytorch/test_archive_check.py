"""A TorchScript archive computes and does nothing else, neither when it is loaded nor when it runs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from archive_attacks import ATTACKS, InForward, WhenLoaded, save_scripted
from conftest import SMALL
from planting import renew_hash
from rnn_export import BundleError, Signature, export_torchscript, inspect, load, verify
from rnn_export.pytorch.archive import read_torchscript
from rnn_export.pytorch.archive_check import _is_allowed
from rnn_export.pytorch.run import suppress_output
from rnn_export.runtimes.torchscript import open_torchscript
from torch import Tensor, nn


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.__name__ for attack in ATTACKS])
def test_an_archive_that_does_more_than_compute_is_not_run(attack: Callable[[str], nn.Module], tmp_path: Path) -> None:
    target = tmp_path / "target"
    save_scripted(attack(str(target)), tmp_path / "model.pt")
    target.unlink(missing_ok=True)
    with pytest.raises(BundleError, match="is not (run|loaded)"):
        open_torchscript(tmp_path / "model.pt", ("y",))
    assert not target.exists()


def test_a_hook_is_looked_at_too(tmp_path: Path) -> None:
    def hook(self: nn.Module, given: tuple[Tensor], output: Tensor) -> Tensor:
        return torch.from_file("target", False, 4)

    hook.__annotations__ = {"given": tuple[Tensor], "output": Tensor, "return": Tensor}
    model = nn.Sequential(nn.Identity())
    model.register_forward_hook(hook)
    save_scripted(model, tmp_path / "model.pt")
    with pytest.raises(BundleError, match="runs aten::from_file"):
        open_torchscript(tmp_path / "model.pt", ("y",))


def test_operators_of_others_are_not_run(tmp_path: Path) -> None:
    library = torch.library.Library("planted", "DEF")
    library.define("identity(Tensor x) -> Tensor")
    library.impl("identity", lambda x: x, "CompositeExplicitAutograd")

    class Custom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.planted.identity(x)

    save_scripted(Custom(), tmp_path / "model.pt")
    with pytest.raises(BundleError, match="runs planted::identity"):
        open_torchscript(tmp_path / "model.pt", ("y",))


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(f"model/{name}", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no archive"),
        (b"\x00\x00\x00\x00PTMF" + bytes(100), "it is no archive"),
        (b"PK\x03\x04PTMF" + bytes(100), "it is no archive"),
        (b"PK\x03\x04" + bytes(100), "is not a TorchScript file"),
        (archive(**{"version": b"3", "model.json": b"{}"}), "holds 'model.json'"),
        (archive(**{"version": b"3", "data.pkl": b"c__torch__.torch.classes.x\nY\n"}), "torch.classes"),
        (archive(**{"version": b"3", "traced_inputs.pkl": b"c__torch__.torch.classes.x\nY\n"}), "torch.classes"),
        (
            archive(**{"version": b"3", "data.pkl": b"c__torch__.torch\nclasses.Y\n"}),
            "which runs when the file is loaded",
        ),
        (archive(**{"version": b"3", "bytecode.pkl": b""}), "holds 'bytecode.pkl'"),
    ],
)
def test_what_torch_jit_save_does_not_write_is_not_loaded(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(BundleError, match=said):
        read_torchscript(tmp_path / "model.pt")


def test_verify_and_inspect_run_nothing(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    bundle = tmp_path / "b"
    export_torchscript(loaded.model, loaded.signature, bundle, source=loaded.source, verify=False)
    target = tmp_path / "target"
    for attack in (InForward, WhenLoaded):
        save_scripted(attack(str(target)), bundle / "model.pt")
        target.unlink(missing_ok=True)
        renew_hash(bundle, "model.pt")
        with pytest.raises(BundleError, match="is not (run|loaded)"):
            verify(bundle)
        if attack is WhenLoaded:
            with pytest.raises(BundleError, match="is not loaded"):
                inspect(bundle)
        assert not target.exists()


def test_every_operator_that_takes_text_is_refused_unless_it_is_known_to_compute() -> None:
    """Whatever operators PyTorch has: one that could take a path is not allowed, nor one of another namespace."""
    schemas = torch._C._jit_get_all_schemas()
    with_text = {each.name for each in schemas if any("str" in str(given.type) for given in each.arguments)}
    allowed = {name for name in with_text if _is_allowed(name, True)}
    assert not [name for name in allowed if any(word in name for word in ("file", "save", "load", "path", "open"))]
    assert {name.partition("::")[0] for name in {each.name for each in schemas} if _is_allowed(name, False)} == {
        "aten",
        "prim",
    }
    assert not _is_allowed("aten::something_new", True)
    assert _is_allowed("aten::something_new", False)


@pytest.mark.parametrize("verified", [True, False])
def test_an_export_that_nobody_would_run_is_refused(verified: bool, tmp_path: Path) -> None:
    class Saves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.size(0) > 1_000:
                x = x + torch.from_file("/dev/zero", False, 1)
            return x * 2

    with pytest.raises(BundleError, match="runs aten::from_file"):
        export_torchscript(Saves(), Signature({"x": "float32[T, 3]"}), tmp_path / "b", verify=verified)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "model",
    [
        nn.LSTM(8, 8, proj_size=4),
        nn.TransformerEncoderLayer(8, 2, dropout=0.0),
        nn.Sequential(nn.Conv1d(5, 5, 3, padding="same"), nn.BatchNorm1d(5), nn.GLU(), nn.Upsample(scale_factor=2)),
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        nn.ReflectionPad1d(2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_models_are_made_of_runs(model: nn.Module, tmp_path: Path) -> None:
    with suppress_output():
        torch.jit.save(torch.jit.trace(model.eval(), torch.zeros(5, 5, 8)), tmp_path / "model.pt")
    open_torchscript(tmp_path / "model.pt", ("y",))
