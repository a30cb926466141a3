"""What models are written like: a `__call__` of their own, a `return` within `try`, a method named as what it calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn


def to_groups(x: Tensor, index: Tensor, groups: int) -> Tensor:
    return torch.zeros(groups, x.size(1)).index_add(0, index, x)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for name in ("x", "index"):
            value: Any = kwargs.get(name)
            if value is not None and value.dim() == 0:
                raise ValueError(name)
        return function(*args, **kwargs)

    return wrapper


class Grouping(nn.Module):
    """Its `__call__` counts the groups before `forward` is called."""

    @checked
    def __call__(self, x: Tensor, index: Tensor, groups: int | None = None) -> Tensor:
        if groups is None:
            groups = int(index.max()) + 1
        try:
            return super().__call__(x, index, groups)
        except (IndexError, RuntimeError) as error:
            if groups <= int(index.max()):
                raise ValueError("too few groups") from error
            raise

    def forward(self, x: Tensor, index: Tensor, groups: int = 0) -> Tensor:
        return torch.tanh(self.to_groups(x, index, groups))

    def to_groups(self, x: Tensor, index: Tensor, groups: int) -> Tensor:
        return to_groups(x, index, groups)


class WithinAnother(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grouping = Grouping()

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.grouping(x, index) + 1


@pytest.mark.parametrize("kind", [Grouping, WithinAnother])
def test_a_module_with_a_call_of_its_own(kind: type[nn.Module], tmp_path: Path) -> None:
    model = kind()
    export_onnx(model, Signature({"x": "float32[M, 3]", "index": "int64[M] in 0..5"}), tmp_path / "bundle")
    assert type(model) is kind


class Trying(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h, kept = x[0], x[0]
        for t in range(x.size(0)):
            try:
                if t == 2:
                    continue
                h = self.cell(x[t], h)
            except IndexError:
                break
            else:
                kept = kept + h
            finally:
                kept = kept * 0.5
        try:
            return kept
        finally:
            self.seen = True


def test_leaving_from_within_try(tmp_path: Path) -> None:
    export_onnx(Trying(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "bundle")
