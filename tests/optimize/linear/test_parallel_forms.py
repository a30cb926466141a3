"""Linear attention over all pairs of steps, or in chunks, becomes one operator; what no operator computes stays."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from parallel_models import LEFT, SIGNATURE, TAKEN
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.onnx_file import all_nodes
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional

# The parallel forms have NaN before what is not finite, and the operator has not.
CASES = [
    *(Case({"N": N, "T": T}, "ordinary", 0) for N, T in ((2, 6), (1, 1), (3, 1), (1, 130), (2, 33))),
    *(Case({"N": 2, "T": 7}, values, 1) for values in ("zero", "saturating", "infinite", "nan")),
]


def rules(model: onnx.ModelProto) -> list[str]:
    """The rule of each operator, none of which is outside of its choice."""
    assert not any(node.op_type == "LinearAttention" for node in model.graph.node)
    nodes = [node for node in all_nodes(model.graph) if node.op_type == "LinearAttention"]
    return [next(each.s.decode() for each in node.attribute if each.name == "update_rule") for node in nodes]


@pytest.mark.parametrize("name", TAKEN)
def test_every_form_is_the_operator_that_it_is(name: str, tmp_path: Path) -> None:
    model, wanted = TAKEN[name]
    given = translated(model, SIGNATURE, CASES)
    file = written(given, "contrib", tmp_path / "contrib.onnx")
    assert rules(file) == wanted
    assert sum(node.op_type == "If" for node in file.graph.node) == len(wanted)
    assert not any(node.op_type in ("Trilu", "Scan", "Loop", "Einsum") for node in file.graph.node)
    assert rules(written(given, "scan", tmp_path / "scan.onnx")) == []


@pytest.mark.parametrize("name", ["gated", "delta_in_chunks"])
def test_the_standard_operator_too(name: str, tmp_path: Path) -> None:
    model, wanted = TAKEN[name]
    file = written(translated(model, SIGNATURE, CASES), "standard", tmp_path / "standard.onnx", opset=27)
    assert rules(file) == wanted
    assert [each.domain for each in file.opset_import] == [""]


@pytest.mark.parametrize("name", LEFT)
def test_what_no_operator_computes_stays(name: str, tmp_path: Path) -> None:
    assert rules(written(translated(LEFT[name], SIGNATURE, CASES), "contrib", tmp_path / "model.onnx")) == []


class Retention(nn.Module):
    """A layer with projections, positions turned into queries and keys, a norm of each head, and a gate."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.gate, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.GroupNorm(heads, width, affine=False)
        self.rates = nn.Parameter(torch.log(1 - torch.exp(torch.linspace(-1.0, -3.0, heads))))

    def forward(self, x: Tensor) -> Tensor:
        N, T, width = x.shape
        at = torch.arange(T, dtype=torch.float32)
        q, k, v = (each.view(N, T, self.heads, -1).transpose(1, 2) for each in self.into(x).chunk(3, -1))
        angle = at[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001])
        q, k = q * angle.cos() - q.flip(-1) * angle.sin(), k * angle.cos() - k.flip(-1) * angle.sin()
        apart = at[:, None] - at[None]
        decay = torch.exp(self.rates[:, None, None] * apart).masked_fill(apart < 0, 0.0)
        y = ((q @ k.transpose(-1, -2)) * decay / (width // self.heads) ** 0.5) @ v
        y = self.norm(y.transpose(1, 2).reshape(N * T, width)).view(N, T, width)
        return x + self.out(functional.silu(self.gate(x)) * y)


class OneSequence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, -1)
        return (q @ k.T).tril() @ v


class EarlyRates(nn.Module):
    """Keys and values are multiplied with the rate before they are padded, and each chunk's system is solved."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.gate = nn.Linear(6, 15), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, -1)
        rate = torch.sigmoid(self.gate(x))
        k = functional.normalize(k, dim=-1)
        given = (q, k, k * rate, v * rate)
        padded = (functional.pad(each, (0, 0, 0, -x.shape[1] % 4)) for each in given)
        q, k, read, written = (each.unflatten(1, (-1, 4)) for each in padded)
        system = (read @ k.transpose(-1, -2)).tril(-1) + torch.eye(4)
        solved = torch.linalg.solve_triangular(system, torch.cat([written, read], -1), upper=False, unitriangular=True)
        values, keys = solved.chunk(2, -1)
        state, outputs = x.new_zeros(x.shape[0], 5, 5), []
        for c in range(q.shape[1]):
            new = values[:, c] - keys[:, c] @ state
            outputs.append(q[:, c] @ state + (q[:, c] @ k[:, c].transpose(-1, -2)).tril() @ new)
            state = state + k[:, c].transpose(-1, -2) @ new
        return torch.stack(outputs, 1).flatten(1, 2)[:, : x.shape[1]]


class ManyQueries(nn.Module):
    """Heads share keys and values; the decay is one for each key, and is taken in by query and key."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.rest, self.gate = nn.Linear(6, 12), nn.Linear(6, 8), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        q = self.queries(x).unflatten(-1, (3, 4))
        k, v = self.rest(x).chunk(2, -1)
        fade = functional.logsigmoid(self.gate(x)).cumsum(1) / 16
        scores = torch.einsum("nihk,njk->nhij", q * fade.exp()[:, :, None], k * (-fade).exp())
        return torch.einsum("nhij,njv->nihv", scores.tril(), v).flatten(2)


@pytest.mark.parametrize(
    ("model", "inputs", "wanted"),
    [
        (nn.Sequential(Retention(), Retention()), {"x": "float32[N, T, 8]"}, ["gated", "gated"]),
        (OneSequence(), {"x": "float32[T, 6]"}, ["linear"]),
        (EarlyRates(), {"x": "float32[N, T, 6]"}, ["delta"]),
        (ManyQueries(), {"x": "float32[N, T, 6]"}, ["linear"]),
    ],
    ids=["two_layers", "one_sequence", "early_rates", "many_queries"],
)
def test_it_is_found_in_a_model(model: nn.Module, inputs: dict[str, str], wanted: list[str], tmp_path: Path) -> None:
    sizes = [{name: size for name, size in case.sizes.items() if name in str(inputs)} for case in CASES]
    cases = [Case(size, case.values, 0) for size, case in zip(sizes, CASES, strict=True)]
    given = translated(model, Signature(inputs, ["y"]), cases)
    assert rules(written(given, "contrib", tmp_path / "model.onnx")) == wanted


class WithState(nn.Module):
    """A second output that reads the pairs themselves, so that an operator would save nothing."""

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        scores = (q @ k.transpose(-1, -2)).tril()
        return scores @ k, scores.square().sum((1, 2))


def test_what_is_read_elsewhere_stays(tmp_path: Path) -> None:
    sizes = {"q": "float32[N, T, 4]", "k": "float32[N, T, 4]"}
    given = translated(WithState(), Signature(sizes, ["y", "size"]), CASES)
    assert rules(written(given, "contrib", tmp_path / "model.onnx")) == []
