"""Timing the forms: the fastest at the user's sizes is written, and what was timed is in the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from rnn_export import InputError, Signature, export_onnx, read_bundle
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")

SIGNATURE = Signature({"x": "float32[T, N, 3]"})


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which form is the fastest is not what is tested here, but what is done with the times."""
    monkeypatch.setattr("rnn_export.tune._SECONDS", 0.005)


class TwoKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.gru = nn.RNN(3, 4), nn.GRU(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.gru(self.rnn(x)[0])[0]


def lowering_of(out: Path) -> Any:
    return read_bundle(out).artifacts["model.onnx"].lowering


@pytest.mark.parametrize("stateful", [False, True])
def test_every_combination_is_timed(stateful: bool, tmp_path: Path) -> None:
    sizes = [{"T": 1, "N": 1}, {"T": 3, "N": 2}]
    exported = export_onnx(TwoKinds(), SIGNATURE, tmp_path / "out", tune=sizes, stateful=stateful)
    assert exported.report.passed
    choice = lowering_of(tmp_path / "out")
    assert [timing.sizes for timing in choice.tuned] == sizes
    forms = ("native", "scan", "step") if stateful else ("native", "scan")
    combinations = {f"rnn_tanh {rnn}, gru {gru}" for rnn in forms for gru in forms}
    products = dict.fromkeys(combinations, 1.0)
    for timing in choice.tuned:
        assert {*timing.milliseconds} == combinations
        for label in combinations:
            products[label] *= timing.milliseconds[label]
    taken = ", ".join(f"{kind} {form}" for kind, form in choice.forms.items())
    assert taken == min(products, key=lambda label: products[label])


def test_without_tuning_the_table_decides(tmp_path: Path) -> None:
    export_onnx(TwoKinds(), SIGNATURE, tmp_path / "out", verify=False)
    assert (lowering_of(tmp_path / "out").forms, lowering_of(tmp_path / "out").tuned) == (
        {"rnn_tanh": "scan", "gru": "native"},
        (),
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 1}, "The size of N is missing. Give every dynamic dimension, such as 'T=1,N=1'."),
        ({"T": 1, "M": 1}, "The model has no dimension 'M' to tune for. It has T, N."),
        ({"T": 0, "N": 1}, "The size T=0 cannot be timed. Give a whole number of at least 1."),
    ],
)
def test_sizes_that_do_not_fit(sizes: Mapping[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        export_onnx(TwoKinds(), SIGNATURE, tmp_path / "out", tune=[sizes])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "tune", [{"T": 1, "N": 1}, "T=1", 3, [("T", 1)], [{"T": "1", "N": 1}], [{"T": 1.0, "N": True}]]
)
def test_what_is_no_list_of_sizes(tune: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a list of sizes. Give it as .*'T': 1, 'N': 1.*, in whole numbers"):
        export_onnx(TwoKinds(), SIGNATURE, tmp_path / "out", tune=tune)
    assert not (tmp_path / "out").exists()


def test_a_form_that_is_given_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the form is given as scan"):
        export_onnx(TwoKinds(), SIGNATURE, tmp_path / "out", tune=[{"T": 1, "N": 1}], lowering="scan")


def test_a_layer_without_an_operator_is_said_to_be_a_scan(tmp_path: Path) -> None:
    projected = nn.LSTM(3, 4, proj_size=2)
    exported = export_onnx(projected, SIGNATURE, tmp_path / "out", lowering="native")
    assert exported.notes == ("'rnn' is a Scan: ONNX's LSTM has no projection.",)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0])[0]


def test_a_packed_model_is_tuned_and_for_a_runtime_that_ignores_lengths_a_scan(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]", "lengths": "int64[N] in 1..T"})
    assert export_onnx(Packed(), signature, tmp_path / "out", tune=[{"T": 4, "N": 2}]).report.passed
    assert {*lowering_of(tmp_path / "out").tuned[0].milliseconds} == {"gru native", "gru scan"}
    assert export_onnx(Packed(), signature, tmp_path / "out", target="openvino").report.passed
    assert lowering_of(tmp_path / "out").forms == {"gru": "scan"}


def test_sizes_have_one_name_inside_a_scan_and_around_it(tmp_path: Path) -> None:
    export_onnx(torch.nn.RNN(3, 4), SIGNATURE, tmp_path / "out", verify=False)
    (scan,) = [node for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node if node.op_type == "Scan"]
    names = {dim.dim_param for value in scan.attribute[0].g.input for dim in value.type.tensor_type.shape.dim}
    assert not [name for name in names if re.fullmatch(r"s\d+", name)]
    assert "N" in names
