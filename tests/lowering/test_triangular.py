"""Triangular systems are solved row by row in ONNX: every triangle, side and diagonal, and batches that broadcast."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (16, 2))


class Solve(nn.Module):
    def __init__(self, upper: bool, left: bool, unitriangular: bool) -> None:
        super().__init__()
        self.upper, self.left, self.unitriangular = upper, left, unitriangular

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if not self.unitriangular:
            a = a / 4 + 2 * torch.eye(a.size(-1))
        b = b if self.left else b.transpose(-1, -2)
        # What is not of the triangle is never read.
        beyond = torch.ones_like(a).triu(1).bool() if not self.upper else torch.ones_like(a).tril(-1).bool()
        a = (a / 3).masked_fill(beyond, torch.inf)
        return torch.linalg.solve_triangular(a, b, upper=self.upper, left=self.left, unitriangular=self.unitriangular)


@pytest.mark.parametrize(("upper", "left", "unitriangular"), [*product([False, True], repeat=3)])
def test_of_any_size(upper: bool, left: bool, unitriangular: bool, tmp_path: Path) -> None:
    signature = Signature({"a": "float32[N, T, T]", "b": "float32[N, T, 3]"})
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    model = written(translated(Solve(upper, left, unitriangular), signature, cases), "auto", tmp_path / "model.onnx")
    assert "Scan" in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(("a", "b"), [("4, 4", "N, T, 4, 3"), ("N, 1, 4, 4", "T, 4, 3"), ("N, T, 4, 4", "4, 1")])
def test_of_batches_that_broadcast(a: str, b: str, tmp_path: Path) -> None:
    signature = Signature({"a": f"float32[{a}]", "b": f"float32[{b}]"})
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    written(translated(Solve(False, True, True), signature, cases), "auto", tmp_path / "model.onnx")
