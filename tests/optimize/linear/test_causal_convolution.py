"""A causal depthwise convolution of a stream is an operator with a state; every other one stays a Conv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rnn_export import Stream, export_onnx, read_bundle
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 6
SIGNATURE = {"x": f"float32[N, T, {CHANNELS}]"}


class Convolution(nn.Module):
    """Over time, of what came before: padded on both sides and cut at the end, as Mamba does it, or on the left."""

    def __init__(
        self, taps: int = 4, *, out: int = CHANNELS, groups: int = CHANNELS, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, out, taps, groups=groups, dilation=dilation, bias=bias)
        self.before = dilation * (taps - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x.transpose(1, 2), (self.before, 0))).transpose(1, 2)


class Block(nn.Module):
    """Convolution, activation, gate, and another convolution behind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, 4, groups=CHANNELS, padding=3)
        self.other = Convolution(3)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.conv(x.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
        return self.other(y * torch.sigmoid(x))


class Pair(nn.Module):
    """Two convolutions of one sequence, of which each keeps its own part."""

    def __init__(self) -> None:
        super().__init__()
        self.short, self.long = Convolution(2), Convolution(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.short(x) + self.long(x)


class BeforeALoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rnn = Convolution(3), nn.GRU(CHANNELS, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(functional.silu(self.conv(x)))[0]


def operators(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node if "Conv" in node.op_type]


@pytest.mark.parametrize(
    ("model", "many"),
    [(Convolution(), 1), (Convolution(2, bias=False), 1), (Block(), 2), (Pair(), 2), (BeforeALoop(), 1)],
    ids=["plain", "no_bias", "block", "pair", "before_a_loop"],
)
def test_it_is_one_operator_in_a_stream(model: nn.Module, many: int, tmp_path: Path) -> None:
    exported = export_onnx(model, SIGNATURE, tmp_path / "bundle", stateful=True)
    assert operators(exported.model) == ["CausalConvWithState"] * many
    assert read_bundle(exported.folder).artifacts["model.onnx"].is_for_onnx_runtime
    graph = onnx.load(exported.model).graph
    assert {each.name for each in graph.initializer} <= {name for node in graph.node for name in node.input}


def test_its_state_goes_on_from_chunk_to_chunk(tmp_path: Path) -> None:
    model = Block().eval()
    exported = export_onnx(model, SIGNATURE, tmp_path / "bundle", stateful=True)
    stream = Stream(exported.folder, sizes={"N": 2})
    x = torch.randn(2, 12, CHANNELS)
    given = [stream.run(part.numpy()) for part in torch.split(x, [1, 2, 5, 1, 3], 1)]
    with torch.inference_mode():
        np.testing.assert_allclose(np.concatenate(given, 1), model(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [Convolution(dilation=2), Convolution(groups=2), Convolution(out=2 * CHANNELS)],
    ids=["dilated", "groups_of_channels", "more_channels"],
)
def test_others_stay_a_convolution(model: nn.Module, tmp_path: Path) -> None:
    exported = export_onnx(model, SIGNATURE, tmp_path / "bundle", stateful=True)
    assert operators(exported.model) == ["Conv"]
    assert not read_bundle(exported.folder).artifacts["model.onnx"].is_for_onnx_runtime


def test_other_forms_and_whole_sequences_have_a_convolution(tmp_path: Path) -> None:
    def written(**options: object) -> list[str]:
        exported = export_onnx(Convolution(), SIGNATURE, tmp_path / "bundle", verify=False, **options)
        return operators(exported.model)

    assert written(stateful=True, target="portable") == ["Conv"]
    assert written(stateful=True, lowering="scan") == ["Conv"]
    assert written(stateful=False, lowering="contrib") == ["Conv"]
    assert written(stateful=True, lowering="contrib", target="cuda") == ["CausalConvWithState"]
