"""The matrix of PyTorch's own ONNX tests, and beyond: layers, states, padded and packed batches, in every form.

Each combination is captured once, written in both forms and compared with PyTorch at sizes and lengths that the export
never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from combinations import BOTH, combinations
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.lowering.forms import FORMS
from rnn_export.pytorch.samples import Case
from rnn_export.spec.forms import Form
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

CELLS = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
OP_TYPES = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}
BATCHES = ("padded", "packed", "packed batch-first")
I, H = 3, 4  # noqa: E741  the field's names
SIZES = ({"T": 7, "N": 5}, {"T": 1, "N": 1}, {"T": 4, "N": 3}, {"T": 12, "N": 2}, {"T": 2, "N": 6})


class Padded(nn.Module):
    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, h0: Tensor | None = None, c0: Tensor | None = None) -> Any:
        return self.rnn(x, h0 if c0 is None else (h0, c0))


class Packed(nn.Module):
    def __init__(self, rnn: nn.RNNBase, enforce_sorted: bool, **padding: Any) -> None:
        super().__init__()
        self.rnn, self.enforce_sorted, self.padding = rnn, enforce_sorted, padding

    def forward(self, x: Tensor, lengths: Tensor, h0: Tensor | None = None, c0: Tensor | None = None) -> Any:
        packed = pack_padded_sequence(x, lengths, self.rnn.batch_first, self.enforce_sorted)
        y, finals = self.rnn(packed, h0 if c0 is None else (h0, c0))
        assert isinstance(y, PackedSequence)
        return (*pad_packed_sequence(y, self.rnn.batch_first, **self.padding), finals)


def build(
    rnn: nn.RNNBase, given_states: bool, packed: bool, enforce_sorted: bool, dtype: str = "float32", **padding: Any
) -> tuple[nn.Module, Signature]:
    inputs = {"x": f"{dtype}[N, T, {rnn.input_size}]" if rnn.batch_first else f"{dtype}[T, N, {rnn.input_size}]"}
    if packed:
        inputs["lengths"] = "int64[N] in 1..T" + (" descending" if enforce_sorted else "")
    if given_states:
        rows = rnn.num_layers * (2 if rnn.bidirectional else 1)
        inputs["h0"] = f"{dtype}[{rows}, N, {rnn.proj_size or rnn.hidden_size}]"
        if isinstance(rnn, nn.LSTM):
            inputs["c0"] = f"{dtype}[{rows}, N, {rnn.hidden_size}]"
    model = Packed(rnn, enforce_sorted, **padding) if packed else Padded(rnn)
    return model.to(getattr(torch, dtype)), Signature(inputs)


def cases(packed: bool) -> list[Case]:
    found = [Case(sizes, "ordinary", seed) for seed, sizes in enumerate(SIZES)]
    if packed:
        found += [Case(SIZES[2], values, 9) for values in ("longest", "shorter", "shortest")]  # type: ignore[arg-type]
    return found


def operators(
    model: nn.Module, signature: Signature, tried: list[Case], out: Path, forms: Sequence[Form] = FORMS
) -> list[list[str]]:
    """The kinds of nodes in each of these forms of a model, which has to be right in every case."""
    given = translated(model, signature, tried)
    return [[node.op_type for node in written(given, form, out / f"{form}.onnx").graph.node] for form in forms]


@pytest.mark.filterwarnings("ignore:dropout option adds dropout:UserWarning")
@combinations(cell=CELLS, layers=(1, 3), bidirectional=BOTH, given_states=BOTH, batch=BATCHES, dropout=(0.0, 0.1))
def test_matrix(
    cell: str, layers: int, bidirectional: bool, given_states: bool, batch: str, dropout: float, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    packed, batch_first = batch != "padded", batch == "packed batch-first"
    rnn = CELLS[cell](I, H, layers, bidirectional=bidirectional, batch_first=batch_first, dropout=dropout)
    # With one of the two dropouts the batch is to be sorted, with the other not.
    model, signature = build(rnn, given_states, packed, enforce_sorted=dropout == 0.0)
    native, scan = operators(model, signature, cases(packed), tmp_path)
    assert scan.count("Scan") == layers * (2 if bidirectional else 1)
    assert native.count(OP_TYPES[cell]) == layers
    shapes = {"ReduceMax", "Slice", "Cast"} if packed else set()
    assert set(native) <= {OP_TYPES[cell], "Squeeze", "Transpose", "Reshape", "Concat", "Split", "Identity"} | shapes


@settings(max_examples=settings().max_examples // 4)
@given(
    cell=st.sampled_from(sorted(CELLS)),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    flags=st.tuples(*[st.booleans()] * 5),
    dtype=st.sampled_from(["float32", "float64"]),
    padding=st.sampled_from([{}, {"padding_value": -1.5}, {"total_length": 40}]),
    lengths=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    values=st.sampled_from(["ordinary", "longest", "shorter", "shortest", "saturating", "zero", "denormal"]),
    seed=st.integers(0, 2**20),
)
def test_any_packed_architecture(
    cell: str,
    sizes: tuple[int, int, int],
    flags: tuple[bool, ...],
    dtype: str,
    padding: dict[str, Any],
    lengths: tuple[int, int],
    values: Any,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    torch.manual_seed(seed)
    bidirectional, batch_first, bias, given_states, enforce_sorted = flags
    rnn = CELLS[cell](*sizes, bidirectional=bidirectional, batch_first=batch_first, bias=bias)
    model, signature = build(rnn, given_states, True, enforce_sorted, dtype, **padding)
    tried = [Case(dict(zip(("T", "N"), lengths, strict=True)), kind, seed) for kind in ("ordinary", values)]
    forms = FORMS if dtype == "float32" else ["scan"]
    operators(model, signature, tried, tmp_path_factory.mktemp("any"), forms)


@combinations(
    layers=(1, 2), bidirectional=BOTH, bias=BOTH, given_states=BOTH, packed=BOTH, dtype=("float32", "float64")
)
def test_projections(
    layers: int, bidirectional: bool, bias: bool, given_states: bool, packed: bool, dtype: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    rnn = nn.LSTM(I, H, layers, bias=bias, bidirectional=bidirectional, proj_size=2)
    model, signature = build(rnn, given_states, packed, enforce_sorted=bias, dtype=dtype)
    (kinds,) = operators(model, signature, cases(packed), tmp_path, ["native"])
    assert kinds.count("Scan") == layers * (2 if bidirectional else 1)
