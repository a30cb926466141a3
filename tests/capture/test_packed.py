"""Packed sequences in a capture: lengths stay symbolic, the program still runs in PyTorch, nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export import CaptureError, Signature, load
from rnn_export.capture.capture import capture
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

SIGNATURE = Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"})


class Packed(nn.Module):
    def __init__(self, rnn: nn.RNNBase, enforce_sorted: bool = False, total_length: int | None = None) -> None:
        super().__init__()
        self.rnn, self.enforce_sorted, self.total_length = rnn, enforce_sorted, total_length

    def forward(self, x: Tensor, lengths: Any, h0: Tensor | None = None) -> Any:
        lengths = self.change(lengths)
        y, h = self.rnn(self.between(pack_padded_sequence(x, lengths, enforce_sorted=self.enforce_sorted)), h0)
        return *pad_packed_sequence(y, total_length=self.total_length), h

    def change(self, lengths: Tensor) -> Any:
        return lengths

    def between(self, packed: PackedSequence) -> PackedSequence:
        return packed


def captured(model: nn.Module, signature: Signature = SIGNATURE, **more: Tensor) -> ExportedProgram:
    example = {"x": torch.randn(7, 5, 3), "lengths": torch.tensor([6, 5, 3, 1, 1]), **more}
    return capture(model.eval(), signature, example).program


def targets(program: ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("total_length", [None, 20])
@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_program_runs_at_other_sizes_and_lengths(
    layer: Callable[..., nn.RNNBase], enforce_sorted: bool, total_length: int | None
) -> None:
    model = Packed(layer(3, 4, 2, bidirectional=True), enforce_sorted, total_length).eval()
    program = captured(model)
    assert sum(target.startswith("rnn_export") for target in targets(program)) == 3
    for steps, lengths in ((9, [8, 3, 2]), (4, [4]), (3, [1, 1, 1, 1])):
        given = lengths if enforce_sorted else lengths[::-1]
        x = torch.randn(steps, len(lengths), 3)
        for got, expected in zip(
            flat(program.module()(x, torch.tensor(given))), flat(model(x, torch.tensor(given))), strict=True
        ):
            torch.testing.assert_close(got, expected)


def flat(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else [leaf for part in outputs for leaf in flat(part)]


def test_absent_states_are_left_out_and_so_is_sorting() -> None:
    program = captured(Packed(nn.GRU(3, 4)))
    (stack,) = [node for node in program.graph.nodes if "recurrent" in str(node.target)]
    assert stack.args[2] is None
    assert "aten.index_select.default" not in targets(program)


def test_given_states_are_not_sorted_either() -> None:
    signature = Signature({**SIGNATURE.inputs, "h0": "float32[1, N, 4]"})
    program = captured(Packed(nn.GRU(3, 4)), signature, h0=torch.randn(1, 5, 4))
    assert "aten.index_select.default" not in targets(program)


class Shown(Packed):
    def between(self, packed: PackedSequence) -> PackedSequence:
        return packed._replace(data=packed.data.flip(0))


class ShorterBatch(Packed):
    """Sorting two lengths also drops all sequences but two."""

    def change(self, lengths: Tensor) -> Tensor:
        return lengths[:2]


@pytest.mark.parametrize("build", [Shown, ShorterBatch])
def test_sorting_is_kept_where_it_does_something_else(build: type[Packed]) -> None:
    program = captured(build(nn.GRU(3, 4)))
    assert "aten.index_select.default" in targets(program)
    x, lengths = torch.randn(6, 4, 3), torch.tensor([2, 6, 3, 1])
    model = build(nn.GRU(3, 4)).eval()
    torch.testing.assert_close(captured(model).module()(x, lengths), model(x, lengths))


class Listed(Packed):
    def change(self, lengths: Tensor) -> Any:
        return lengths.tolist()


class Longest(Packed):
    def change(self, lengths: Tensor) -> Any:
        return torch.full_like(lengths, sorted(lengths.tolist())[-1])


class Arrays(Packed):
    def change(self, lengths: Tensor) -> Any:
        return lengths.cpu().numpy()


@pytest.mark.parametrize("build", [Listed, Arrays])
def test_a_list_or_array_of_lengths_is_a_tensor_again(build: type[Packed]) -> None:
    model = build(nn.GRU(3, 4)).eval()
    x, lengths = torch.randn(6, 4, 3), torch.tensor([2, 6, 3, 1])
    torch.testing.assert_close(captured(model).module()(x, lengths), model(x, lengths))


def test_any_other_use_of_a_list_is_refused_with_its_line(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "class Model(nn.Module):\n"
        "    def forward(self, x, lengths):\n"
        "        listed = lengths.tolist()\n"
        "        return x[:sorted(listed)[-1]]\n"
    )
    path = write(source)
    monkeypatch.chdir(path.parent)
    model = load(f"{path}:Model", inputs=SIGNATURE.inputs).model
    with pytest.raises(CaptureError) as error:
        captured(model)
    assert str(error.value) == (
        "The model uses a tensor as a list or array at user_model.py:7, but its length is dynamic. "
        "Use the tensor itself there, such as lengths.max() for max(lengths.tolist())."
    )


class OwnBatchSizes(Packed):
    def between(self, packed: PackedSequence) -> PackedSequence:
        return packed._replace(batch_sizes=packed.batch_sizes + 0)


def test_batch_sizes_that_the_model_computes_are_refused_with_their_line() -> None:
    with pytest.raises(CaptureError, match=r"batch sizes of a PackedSequence at .*test_packed.py:\d+ are computed"):
        captured(OwnBatchSizes(nn.GRU(3, 4)))


@pytest.mark.parametrize("build", [Packed, Longest])
def test_nothing_is_left_behind_also_on_an_error(build: type[Packed]) -> None:
    model, tolist = build(nn.LSTM(3, 4)), FakeTensor.tolist
    names = set(vars(model.rnn))
    if build is Longest:
        with pytest.raises(CaptureError):
            captured(model)
    else:
        captured(model)
    assert set(vars(model.rnn)) == names
    assert FakeTensor.tolist is tolist
