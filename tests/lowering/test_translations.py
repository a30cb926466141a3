"""Operators whose numbers ONNX has in float32 alone are exact in a float64 model, and whole in others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry


class Scaled(nn.Module):
    """`addmm`, `addmv`, `addcmul` and `addcdiv` with numbers."""

    def forward(self, x: Tensor) -> Tensor:
        ones = x.new_ones(4, 4)
        products = torch.addmm(x[0], x[0], ones, beta=0.3, alpha=0.7) + torch.addmv(x[0, 0], ones, x[0, 0], alpha=0.7)
        return torch.addcmul(products, x[0], x[0], value=0.123) + torch.addcdiv(x[0], x[0], x[0] * x[0] + 1, value=0.3)


ACTIVATIONS = [
    nn.LeakyReLU(0.01),
    nn.ELU(0.3),
    nn.CELU(0.3),
    nn.SELU(),
    nn.LayerNorm(4, eps=1e-3),
    nn.Hardtanh(-0.1, 0.3),
    nn.Softplus(0.7, 2.1),
    nn.Hardsigmoid(),
    nn.Hardswish(),
    Scaled(),
]


# What ONNX gives a number as an attribute, which is a float32.
FLOAT32_NUMBERS = {
    *("LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "HardSwish", "Softplus"),
    *("LayerNormalization", "BatchNormalization"),
}
# What stands for an activation in a float64 model.
WRITTEN_WITH = {
    nn.LeakyReLU: {"Greater", "Where"},
    nn.ELU: {"Exp", "Where"},
    nn.CELU: {"Exp", "Where"},
    nn.SELU: {"Exp", "Where"},
    nn.LayerNorm: {"ReduceMean", "Sqrt", "Div"},
    nn.Hardtanh: {"Clip"},
    nn.Softplus: {"Exp", "Log", "Where"},
    nn.Hardsigmoid: {"Clip", "Div"},
    nn.Hardswish: {"Clip", "Div"},
    Scaled: {"MatMul", "Mul", "Div"},
}


class Around(nn.Module):
    """Shapes: x [T, N, 3]."""

    def __init__(self, activation: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.rnn, self.activation, self.scale = nn.GRU(3, 4), activation, scale

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.activation(self.scale * self.rnn(x)[0])
        return output


class Loop(nn.Module):
    """Each step normalises, which for some weights magnifies errors in the case of large inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.norm = nn.GRUCell(3, 4), nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(1), 4)
        steps = []
        for t in range(x.size(0)):
            h = nn.functional.leaky_relu(self.norm(self.cell(x[t], h)), 0.3)
            steps.append(h)
        return torch.stack(steps)


def kinds(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from kinds(attribute.g)


def exported(model: nn.Module, dtype: str, folder: Path) -> set[str]:
    """The operators in a model, which has to pass its proof."""
    model = model.to(getattr(torch, dtype)).eval() if dtype == "float64" else model.eval()
    export_onnx(model, Signature({"x": f"{dtype}[T, N, 3]"}), folder)
    return set(kinds(onnx.load(folder / "model.onnx").graph))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: type(activation).__name__)
def test_numbers_of_a_float64_model_are_exact(activation: nn.Module, tmp_path: Path) -> None:
    found = exported(Around(activation), "float64", tmp_path / "b")
    assert not found & FLOAT32_NUMBERS
    assert found >= WRITTEN_WITH[type(activation)]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("variance", [1e-7, 0.05])
def test_a_batch_normalisation_of_small_variance(variance: float, affine: bool, tmp_path: Path) -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.rnn = nn.BatchNorm1d(3, affine=affine), nn.GRU(3, 4)
            self.norm.running_var = torch.full((3,), variance)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(self.norm(x.permute(1, 2, 0)).permute(2, 0, 1))[0]
            return output

    found = exported(Normalised(), "float64", tmp_path / "b")
    assert not found & FLOAT32_NUMBERS
    assert {"Sub", "Div"} <= found


def test_in_a_loop(tmp_path: Path) -> None:
    assert "LayerNormalization" not in exported(Loop(), "float64", tmp_path / "b")


def test_a_float32_model_has_them_whole(tmp_path: Path) -> None:
    assert {"LayerNormalization", "LeakyRelu"} <= exported(Loop(), "float32", tmp_path / "b")


def test_a_float32_model_with_a_float64_buffer_has_them_whole(tmp_path: Path) -> None:
    class Centred(Loop):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x - self.mean).to(x.dtype))

    assert {"LayerNormalization", "LeakyRelu"} <= exported(Centred(), "float32", tmp_path / "b")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_logarithm_of_a_sigmoid_has_digits_where_the_sigmoid_has_none(dtype: str, tmp_path: Path) -> None:
    found = exported(Around(nn.LogSigmoid(), scale=1000.0), dtype, tmp_path / "b")
    assert {"Min", "Abs", "Exp", "Log"} <= found  # min(x, 0) - log(1 + exp(-|x|))


@pytest.mark.parametrize("reduce", ["sum", "amax", "cumsum"])
def test_an_output_in_float16_that_is_summed_in_float32(reduce: str, tmp_path: Path) -> None:
    class Reduced(Around):
        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = getattr(super().forward(x), reduce)(1)
            return output

    export_onnx(Reduced(nn.Tanh()), Signature({"x": "float32[T, N, 3]"}), tmp_path / "b", precision="float16")
    nodes = [node.op_type for node in onnx.load(tmp_path / "b" / "model.onnx").graph.node]
    assert nodes[-3:] == ["Cast", {"sum": "ReduceSum", "amax": "ReduceMax", "cumsum": "CumSum"}[reduce], "Cast"]


def test_what_was_patched_is_restored(tmp_path: Path) -> None:
    before = ONNXRegistry.__dict__["from_torchlib"]
    exported(Loop(), "float64", tmp_path / "b")
    assert ONNXRegistry.__dict__["from_torchlib"] is before
    assert "aten::layer_norm" in ONNXRegistry.from_torchlib(opset_version=18).functions
