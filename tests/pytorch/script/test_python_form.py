"""The Python form of TorchScript computes what the TorchScript does, bit for bit, and is Python that can be read."""

import inspect
import io
from pathlib import Path

import pytest
import scripted_models
import torch
from rnn_export import CaptureError, LoadError, Signature, export_onnx
from rnn_export.pytorch.run import suppress_output
from rnn_export.pytorch.script.build import python_form
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def archived(model: nn.Module) -> torch.jit.ScriptModule:
    """A model as an archive has it, without its Python."""
    with suppress_output():
        scripted = model if isinstance(model, torch.jit.ScriptModule) else torch.jit.script(model.eval())
        archive = io.BytesIO()
        torch.jit.save(scripted, archive)
        archive.seek(0)
        return torch.jit.load(archive)


def assert_same(one: object, other: object) -> None:
    ones, others = tree_leaves(one), tree_leaves(other)
    assert len(ones) == len(others)
    for left, right in zip(ones, others, strict=True):
        if isinstance(left, Tensor):
            assert left.dtype == right.dtype
            assert torch.equal(left.nan_to_num(7.5), right.nan_to_num(7.5))
        else:
            assert type(left) is type(right)
            assert left == right


@pytest.mark.parametrize("name", scripted_models.MODELS)
def test_it_computes_the_same_from_call_to_call(name: str) -> None:
    torch.manual_seed(0)
    model = scripted_models.MODELS[name]()
    scripted, python = archived(model), python_form(archived(model))
    for sizes in ((5, 2, 4), (1, 1, 4), (2, 1, 4), (3, 2, 4), (4, 3, 4), (9, 2, 4)):
        x = torch.randn(sizes)
        assert_same(scripted(x.clone()), python(x.clone()))


def test_other_arguments_are_taken() -> None:
    deciding, stopping = archived(scripted_models.Deciding()), archived(scripted_models.Stopping())
    x = torch.randn(4, 3, 4)
    for given in ((x, torch.ones(3, 4)), (x, torch.ones(1, 3, 4), 3.0), (x[:2] - 5, None), (x[:2] + 5,), (x[:, :1],)):
        assert_same(deciding(*given), python_form(deciding)(*given))
    assert_same(stopping(x, 1), python_form(stopping)(x, limit=1))


def test_layers_and_packed_sequences() -> None:
    torch.manual_seed(0)
    scripted = archived(scripted_models.Layers())
    python = python_form(scripted)
    assert type(python.lstm) is nn.LSTM
    for x, lengths in ((torch.randn(5, 3, 4), [2, 5, 1]), (torch.randn(1, 1, 4), [1])):
        assert_same(scripted(x, torch.tensor(lengths)), python(x, torch.tensor(lengths)))


@pytest.mark.parametrize("freeze", [False, True])
def test_a_trace_keeps_its_sizes(freeze: bool) -> None:
    torch.manual_seed(0)
    with suppress_output():
        traced = torch.jit.trace(scripted_models.Traced().eval(), torch.randn(5, 2, 4))
        traced = torch.jit.freeze(traced) if freeze else traced
    python = python_form(traced)
    for sizes in ((5, 2, 4), (1, 1, 4), (30, 7, 4)):
        x = torch.randn(sizes)
        assert_same(traced(x), python(x))
    assert "scalar_tensor(x" not in inspect.getsource(type(python).forward)


@pytest.mark.parametrize("name", ["Stepwise", "Stopping", "Listing"])
def test_a_frozen_module(name: str) -> None:
    torch.manual_seed(0)
    with suppress_output():
        frozen = torch.jit.freeze(archived(scripted_models.MODELS[name]()).eval())
    python = python_form(frozen)
    for sizes in ((5, 2, 4), (1, 1, 4)):
        x = torch.randn(sizes)
        assert_same(frozen(x), python(x))


def test_an_operator_of_others_is_named(tmp_path: Path) -> None:
    library = torch.library.Library("rnn_export_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")

    class Calling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.rnn_export_test.twice(x)

    scripted = archived(Calling())
    x = torch.randn(3)
    assert torch.equal(python_form(scripted)(x), x * 2)
    with pytest.raises(
        CaptureError, match="runs rnn_export_test::twice, an operator of C\\+\\+ that is none of PyTorch"
    ):
        export_onnx(scripted, Signature({"x": "float32[T, N]"}), tmp_path / "out")


def test_what_has_no_form_is_named() -> None:
    class Typed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            values: list[float] = x.tolist()
            return x * hash(values[0])

    with pytest.raises(LoadError, match="runs aten::hash, which has no form in Python"):
        python_form(archived(Typed()))


def test_names_that_python_keeps_to_itself() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.type, self.half = 2, 3
            self.steps = nn.ModuleDict({"0": nn.Linear(4, 4), "len": nn.Tanh()})

        def forward(self, len: Tensor, range: int = 2, torch_: float = 1.5) -> Tensor:
            for step in self.steps.values():
                len = step(len)
            return len * range * torch_ * self.type * self.half

    scripted = archived(Named())
    x = torch.randn(3, 4)
    assert torch.equal(python_form(scripted)(x), scripted(x))


def test_a_class_derived_from_script_module() -> None:
    with suppress_output():

        class Derived(torch.jit.ScriptModule):
            def __init__(self) -> None:
                super().__init__()
                self.cell = nn.GRUCell(4, 4)
                self.missing = None

            @torch.jit.script_method
            def forward(self, x: Tensor) -> tuple[Tensor, int]:
                h = x[0]
                for t in range(x.size(0)):
                    if self.missing is None:
                        h = self.cell(x[t], h)
                return h, x.size(0)

        derived = Derived()
        python = python_form(derived)
    x = torch.randn(5, 2, 4)
    assert_same(derived(x), python(x))
    assert "for t in range(x.size(0)):" in inspect.getsource(type(python).forward)
