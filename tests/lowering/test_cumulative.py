"""`logcumsumexp` is a Scan that neither overflows nor loses small terms, along any dimension."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from combinations import combinations
from rnn_export import Signature, export_onnx
from torch import Tensor, nn


class Cumulative(nn.Module):
    """Along one dimension of a layer's output, scaled so that its steps are far apart."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.dim = nn.GRU(3, 4), dim

    def forward(self, x: Tensor) -> Tensor:
        return (200 * self.rnn(x)[0] + x.sum(-1, keepdim=True)).logcumsumexp(self.dim)


class Constant(nn.Module):
    """Values of its own: infinities, equal ones, and beyond what exp can take."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.values, Tensor)
        return (x.new_zeros(x.size(0), 1) + self.values).logcumsumexp(1)


def scans(bundle: Path) -> int:
    return [node.op_type for node in onnx.load(bundle / "model.onnx").graph.node].count("Scan")


@combinations(dim=[0, 1, -1], dtype=["float32", "float64"])
def test_along_a_dimension(dim: int, dtype: str, tmp_path: Path) -> None:
    model = Cumulative(dim).to(getattr(torch, dtype))
    exported = export_onnx(model, Signature({"x": f"{dtype}[T, N, 3]"}), tmp_path / "b")
    assert {case.verdict for case in exported.report.cases} <= {"PASS", "EXPECTED"}
    assert scans(tmp_path / "b") >= 1


@pytest.mark.parametrize(
    "values",
    [
        [-torch.inf, -torch.inf, 0.0, 1.0, -torch.inf],
        [torch.inf, torch.inf, 3.0],
        [1e4, 1e4, -1e4, 3e38, 3e38],
        [-1e4, 1e-3, 0.0, torch.nan, 1.0],
        [0.0, -20.0, 20.0, 20.0],
    ],
    ids=str,
)
def test_values_that_are_no_numbers_or_far_apart(values: list[float], tmp_path: Path) -> None:
    report = export_onnx(Constant(values), Signature({"x": "float32[N, 2]"}), tmp_path / "b").report
    assert {case.verdict for case in report.cases} == {"PASS"}
    assert scans(tmp_path / "b") == 1


def test_what_has_been_summed_is_a_state(tmp_path: Path) -> None:
    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.logcumsumexp(1)

    exported = export_onnx(Whole(), Signature({"x": "float32[N, T, 2]"}), tmp_path / "b", stateful=True)
    assert max(case.case.sizes["T"] for case in exported.report.cases) == 2_000


def test_in_float16(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]"})
    exported = export_onnx(Cumulative(0), signature, tmp_path / "b", precision="float16", max_error=0.1)
    assert "allowed 1.0e-01" in exported.notes[-1]
    assert scans(tmp_path / "b") == 1


def test_of_one_dimension_and_of_none(tmp_path: Path) -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.logcumsumexp(0), x.sum().logcumsumexp(0)

    report = export_onnx(Flat(), Signature({"x": "float32[T]"}), tmp_path / "b").report
    assert {case.verdict for case in report.cases} == {"PASS"}
    assert scans(tmp_path / "b") == 1  # of a number alone there is nothing to sum


class Sums(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.cumsum(1), (x > 0).cumsum(1), x.sum().cumsum(0)


def test_float32_is_summed_as_exactly_as_in_pytorch(tmp_path: Path) -> None:
    """ONNX Runtime's CumSum in float32 is off by 1e-4 after so many steps, PyTorch's by 4e-6."""
    exported = export_onnx(Sums(), "x: float32[N, T, 3]", tmp_path / "out")
    x = torch.randn(2, 2000, 3, generator=torch.Generator().manual_seed(0))
    sums, counts, total = exported.run(x=x.numpy()).values()
    assert abs(sums - x.double().cumsum(1).numpy()).max() < 1e-5
    assert (counts == (x > 0).cumsum(1).numpy()).all()
    assert total.shape == ()
