"""Linear systems and inverses are solved by elimination in ONNX: with pivots, of any size, in a Kalman filter too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature, export_onnx
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (12, 2))
CASES = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]


class Solve(nn.Module):
    def __init__(self, left: bool) -> None:
        super().__init__()
        self.left = left

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a = a + 3 * torch.eye(a.size(-1))
        return torch.linalg.solve(a, b if self.left else b.transpose(-1, -2), left=self.left)


class Vector(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.solve(a + 3 * torch.eye(a.size(-1)), b)


class Inverse(nn.Module):
    def forward(self, a: Tensor) -> Tensor:
        return torch.linalg.inv(a + 3 * torch.eye(a.size(-1)))


class Kalman(nn.Module):
    """A filter of 3 states and 2 measurements (Kalman 1960)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(0.8 * torch.eye(3) + 0.05 * torch.randn(3, 3))
        self.c = nn.Parameter(torch.randn(2, 3))

    def forward(self, y: Tensor) -> Tensor:
        mean, covariance = y.new_zeros(len(y), 3, 1), torch.eye(3).expand(len(y), 3, 3)
        means = []
        for t in range(y.size(1)):
            mean, covariance = self.a @ mean, self.a @ covariance @ self.a.T + 0.1 * torch.eye(3)
            innovation = self.c @ covariance @ self.c.T + torch.eye(2)
            gain = torch.linalg.solve(innovation, self.c @ covariance).transpose(1, 2)
            mean = mean + gain @ (y[:, t].unsqueeze(-1) - self.c @ mean)
            covariance = covariance - gain @ self.c @ covariance
            means.append(mean.squeeze(-1))
        return torch.stack(means, 1)


@pytest.mark.parametrize("left", [True, False])
def test_a_system(left: bool, tmp_path: Path) -> None:
    signature = Signature({"a": "float32[N, T, T]", "b": "float32[N, T, 3]"})
    written(translated(Solve(left), signature, CASES), "auto", tmp_path / "model.onnx")


@pytest.mark.parametrize(("a", "b"), [("4, 4", "N, T, 4, 3"), ("N, 1, 4, 4", "T, 4, 3"), ("N, T, 4, 4", "4, 1")])
def test_batches_that_broadcast(a: str, b: str, tmp_path: Path) -> None:
    signature = Signature({"a": f"float32[{a}]", "b": f"float32[{b}]"})
    written(translated(Solve(True), signature, CASES), "auto", tmp_path / "model.onnx")


@pytest.mark.parametrize(("a", "b"), [("N, T, 4, 4", "N, T, 4"), ("4, 4", "4")])
def test_vectors(a: str, b: str, tmp_path: Path) -> None:
    signature = Signature({"a": f"float32[{a}]", "b": f"float32[{b}]"})
    written(translated(Vector(), signature, CASES), "auto", tmp_path / "model.onnx")


@pytest.mark.parametrize("a", ["N, T, T", "N, T, 3, 3", "5, 5"])
def test_an_inverse(a: str, tmp_path: Path) -> None:
    written(translated(Inverse(), Signature({"a": f"float32[{a}]"}), CASES), "auto", tmp_path / "model.onnx")


def test_a_zero_on_the_diagonal_is_no_pivot(tmp_path: Path) -> None:
    class Bare(nn.Module):
        def forward(self, a: Tensor) -> Tensor:
            return torch.linalg.inv(a)

    signature = Signature({"a": "float32[N, 3, 3]"})
    path = tmp_path / "model.onnx"
    written(translated(Bare(), signature, [Case({"N": 2}, "ordinary", 1)]), "auto", path)
    a = np.array([[[0, 2, 1], [1e-6, 0, 3], [4, 1, 0]]], np.float32)
    (found,) = ort.InferenceSession(path).run(None, {"a": a})
    np.testing.assert_allclose(found, np.linalg.inv(a.astype(np.float64)), rtol=1e-6)


def test_a_kalman_filter_is_exported_and_streams(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = export_onnx(Kalman(), Signature({"y": "float32[N, T, 2]"}), tmp_path / "out", stateful=True)
    assert exported.report.passed
