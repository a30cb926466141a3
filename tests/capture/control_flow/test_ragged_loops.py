"""Loops whose steps have another size each: over the batch sizes of packed sequences, segments, sequences, prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence, pad_sequence

SIZES = ((1, 2), (2, 1), (3, 2), (6, 4), (23, 3))


class Packed(nn.Module):
    """What a loop over batch sizes does is what differs; its result is padded."""

    inputs: ClassVar = {"x": "float32[T, N, 4]", "lengths": "int64[N] in 1..T descending"}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 5)
        self.second = nn.GRUCell(5, 5)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(x, lengths)
        y, h = self.run(packed.data, packed.batch_sizes, x.new_zeros(x.size(1), 5) + 0.1)
        return pad_packed_sequence(PackedSequence(y, packed.batch_sizes))[0], h

    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Shrinking(Packed):
    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """The second layer reads what the first one has put together."""
        for cell in (self.cell, self.second):
            h, out, offset = h0, [], 0
            for size in sizes:
                h = cell(data[offset : offset + size], h[:size])
                offset = offset + size
                out.append(h)
            data = torch.cat(out)
        return data, h


class Finishing(Packed):
    """The rows of sequences that have ended are put aside, as PyTorch's own functions once did."""

    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h, out, ended, offset, last = h0, [], [], 0, sizes[0]
        for size in sizes:
            step = data[offset : offset + size]
            offset += size
            fewer = last - size
            if fewer > 0:
                ended.append(h[-fewer:])
                h = h[:-fewer]
            last = size
            h = self.cell(step, h)
            out.append(h)
        ended.append(h)
        ended.reverse()
        return torch.cat(out), torch.cat(ended)


class Backward(Packed):
    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """The state begins with the longest sequences, and the others join it."""
        offset, last = data.size(0), sizes[-1]
        h, out = h0[: sizes[-1]], []
        for i in reversed(range(len(sizes))):
            size = sizes[i]
            if size - last > 0:
                h = torch.cat([h, h0[last:size]])
            last = size
            h = self.cell(data[offset - size : offset], h)
            offset -= size
            out.append(h)
        return torch.cat(list(reversed(out))), h


class Written(Packed):
    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        y, offset = data.new_zeros(data.size(0), 5), 0
        for size in sizes.tolist():
            h0[:size] = self.cell(data[offset : offset + size], h0[:size])
            y[offset : offset + size] = h0[:size]
            offset = offset + size
        return y, h0


class Rows(Packed):
    """The state is a list of rows, which the steps replace one by one."""

    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        rows, out, offset = list(h0.split([1] * h0.size(0))), [], 0
        first = rows[0]
        for size in sizes:
            h = self.cell(data[offset : offset + size], torch.cat(rows[:size]))
            out.append(h)
            for j in range(size):
                rows[j] = h[j].unsqueeze(0)
            offset += size
        return torch.cat(out), torch.cat(rows) + first


class Split(Packed):
    def run(self, data: Tensor, sizes: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for step in data.split(sizes.tolist()):
            h0 = self.cell(step, h0[: step.size(0)])
            out.append(h0)
        return torch.cat(out), h0


class Segments(nn.Module):
    """A layer runs from one reset to the next."""

    inputs: ClassVar = {"x": "float32[T, N, 4]", "going": "float32[T, N] in {0, 1}", "h0": "float32[1, N, 5]"}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(4, 5)

    def forward(self, x: Tensor, going: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        resets = (going[1:] == 0.0).any(-1).nonzero().squeeze(1) + 1
        cuts = [0] + resets.numpy().tolist() + [x.size(0)]  # noqa: RUF005
        out, h = [], h0
        for i in range(len(cuts) - 1):
            y, h = self.gru(x[cuts[i] : cuts[i + 1]], h * going[cuts[i]].view(1, -1, 1))
            out.append(y)
        return torch.cat(out), h


class OneByOne(nn.Module):
    """Each sequence of a batch by itself, at its own length."""

    inputs: ClassVar = {"x": "float32[N, T, 4]", "lengths": "int64[N] in 1..T"}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for row, length in zip(x, lengths):  # noqa: B905
            y, _ = self.rnn(row[:length])
            out.append(y)
        return pad_sequence(out, batch_first=True, padding_value=-1.0), out[-1]


class Prefixes(nn.Module):
    inputs: ClassVar = {"x": "float32[T, N, 4]"}

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[: t + 1] * (t + 1) for t in range(x.size(0))])


MODELS = [Shrinking, Finishing, Backward, Written, Rows, Split, Segments, OneByOne, Prefixes]


@pytest.mark.parametrize("kind", MODELS)
def test_steps_of_another_size_are_right_at_every_length(kind: type[nn.Module], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", seed) for seed, (t, n) in enumerate(SIZES)]
    given = translated(kind().eval(), Signature(kind.inputs), cases)  # type: ignore[arg-type]
    written(given, "auto", tmp_path / "model.onnx")
