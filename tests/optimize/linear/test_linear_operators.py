"""Linear attention becomes one operator, however it is written; what no operator computes stays a Scan."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from attention_models import LEFT, SIGNATURE, TAKEN
from pipeline import translated, written
from rnn_export import Signature, export_onnx
from rnn_export.onnx_file import all_nodes
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

CASES = [
    *(Case({"N": N, "T": T}, "ordinary", 0) for N, T in ((2, 5), (1, 1), (3, 1), (1, 130), (2, 33))),
    *(Case({"N": 2, "T": 7}, values, 1) for values in ("zero", "saturating", "infinite", "nan")),
]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type in ("LinearAttention", "Scan", "Loop")]


def rule(model: onnx.ModelProto) -> str:
    (node,) = (node for node in model.graph.node if node.op_type == "LinearAttention")
    return next(each.s.decode() for each in node.attribute if each.name == "update_rule")


@pytest.mark.parametrize("name", TAKEN)
def test_every_way_of_writing_a_rule_is_one_operator(name: str, tmp_path: Path) -> None:
    model, wanted = TAKEN[name]
    given = translated(model, SIGNATURE, CASES)
    file = written(given, "contrib", tmp_path / "contrib.onnx")
    assert operators(file) == ["LinearAttention"]
    assert rule(file) == wanted
    assert "com.microsoft" in [each.domain for each in file.opset_import]
    standard = written(given, "standard", tmp_path / "standard.onnx", opset=27)
    assert operators(standard) == ["LinearAttention"]
    assert [each.domain for each in standard.opset_import] == [""]
    assert operators(written(given, "scan", tmp_path / "scan.onnx")) == ["Scan"]


@pytest.mark.parametrize("name", LEFT)
def test_what_no_operator_computes_stays_a_scan(name: str, tmp_path: Path) -> None:
    file = written(translated(LEFT[name], SIGNATURE, CASES), "contrib", tmp_path / "model.onnx")
    assert operators(file) == ["Scan"]


class Initial(nn.Module):
    """The state begins with a number."""

    def __init__(self, begin: float) -> None:
        super().__init__()
        self.begin = begin

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        state, outputs = q.new_full((q.shape[1], 4, 4), self.begin), []
        for t in range(q.shape[0]):
            state = state + k[t][:, :, None] * k[t][:, None]
            outputs.append(torch.einsum("ni,nij->nj", q[t], state))
        return torch.stack(outputs)


@pytest.mark.parametrize(("begin", "many"), [(0.0, 3), (0.5, 4)])
def test_zeros_to_begin_with_are_left_out(begin: float, many: int, tmp_path: Path) -> None:
    sizes = {"q": "float32[T, N, 4]", "k": "float32[T, N, 4]"}
    given = translated(Initial(begin), Signature(sizes, ["y"]), CASES)
    for lowering, opset in (("contrib", 18), ("standard", 27)):
        file = written(given, lowering, tmp_path / f"{lowering}.onnx", opset)
        (node,) = (node for node in file.graph.node if node.op_type == "LinearAttention")
        assert len(node.input) == many
        assert begin or not any(each.op_type == "ConstantOfShape" for each in file.graph.node)


class TwoLayers(nn.Module):
    """Both layers step together: the second reads, in the same loop, what the first one's state gives."""

    def __init__(self, size: int = 6) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Linear(size, 3 * size) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(size, size) for _ in range(2))
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        states = [x.new_zeros(x.shape[0], self.size, self.size) for _ in range(2)]
        outputs = []
        for t in range(x.shape[1]):
            h = x[:, t]
            for layer in range(2):
                q, k, v = self.inputs[layer](h).chunk(3, -1)
                keep = torch.sigmoid(self.gates[layer](h))[..., None]
                states[layer] = keep * states[layer] + k[..., None] * v[:, None]
                h = h + torch.tanh(q[:, None] @ states[layer])[:, 0]
            outputs.append(h)
        return torch.stack(outputs, 1)


class WithCell(nn.Module):
    """The readout goes into a GRU cell, which stays a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.cell = nn.Linear(6, 12), nn.GRUCell(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state, h = torch.zeros(x.shape[1], 4, 4), torch.zeros(x.shape[1], 3)
        outputs = []
        for step in x:
            q, k, v = self.project(step).split(4, -1)
            state = 0.9 * state + torch.bmm(k[:, :, None], v[:, None])
            h = self.cell(torch.bmm(q[:, None], state)[:, 0], h)
            outputs.append(h)
        return torch.stack(outputs), state


class Unbatched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = torch.zeros(4, 4), []
        for step in x:
            q, k, v = self.project(step).split(4, -1)
            state = 0.9 * state + torch.outer(k, v)
            outputs.append(q @ state)
        return torch.stack(outputs)


class OneStepLess(nn.Module):
    """The first step only writes, so that at T=1 nothing is read."""

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        state, outputs = torch.zeros(q.shape[1], 4, 4), [torch.zeros_like(q[0])]
        for t in range(q.shape[0] - 1):
            state = 0.9 * state + k[t][:, :, None] * k[t][:, None]
            outputs.append(torch.einsum("ni,nij->nj", q[t + 1], state))
        return torch.stack(outputs)


@pytest.mark.parametrize(
    ("model", "inputs", "wanted"),
    [
        (TwoLayers(), {"x": "float32[N, T, 6]"}, ["LinearAttention"] * 2),
        (WithCell(), {"x": "float32[T, N, 6]"}, ["LinearAttention", "Scan"]),
        (OneStepLess(), {"q": "float32[T, N, 4]", "k": "float32[T, N, 4]"}, ["LinearAttention"]),
    ],
)
def test_each_state_is_taken_out_of_its_loop(
    model: nn.Module, inputs: dict[str, str], wanted: list[str], tmp_path: Path
) -> None:
    given = translated(model, Signature(inputs, ["y", "last"] if isinstance(model, WithCell) else ["y"]), CASES)
    assert operators(written(given, "contrib", tmp_path / "model.onnx")) == wanted


def test_a_sequence_without_a_batch(tmp_path: Path) -> None:
    cases = [Case({"T": T}, "ordinary", 0) for T in (5, 1, 130)]
    given = translated(Unbatched(), Signature({"x": "float32[T, 6]"}, ["y"]), cases)
    assert operators(written(given, "contrib", tmp_path / "model.onnx")) == ["LinearAttention"]


@pytest.mark.parametrize(("name", "wanted"), [("gated_delta", ["LinearAttention"]), ("before_the_update", ["Scan"])])
def test_a_stream_carries_the_state(name: str, wanted: list[str], tmp_path: Path) -> None:
    """The operator that runs a step late cannot be fed in chunks: its loop stays, and a step has none."""
    exported = export_onnx(TAKEN[name][0], SIGNATURE, tmp_path / "bundle", stateful=True)
    file = onnx.load(exported.model)
    assert [node.op_type for node in all_nodes(file.graph) if node.op_type in ("LinearAttention", "Scan")] == wanted
    assert len(file.graph.input) == len(SIGNATURE.inputs) + 1
