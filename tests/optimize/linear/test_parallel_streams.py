"""Parallel and chunked forms stream with the operator's own state, which stays as small as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from parallel_models import SIGNATURE, TAKEN
from rnn_export import Stream, export_onnx

# A loop over nothing, sums beside it, chunks, and a rule with a rate: one of each, for each takes its time.
STREAMED = ["masked", "normalised", "state_space_dual", "delta_in_chunks"]


@pytest.mark.parametrize("name", STREAMED)
def test_a_form_streams_with_the_state_of_the_operator(name: str, tmp_path: Path) -> None:
    model, wanted = TAKEN[name]
    exported = export_onnx(model, SIGNATURE, tmp_path / "out", stateful=True)
    assert exported.report.passed
    stream = Stream(tmp_path / "out", sizes={"N": 2})
    before = {name: state.shape for name, state in stream.states.items()}
    assert len(before) == len(wanted)
    stream.run(**{name: np.zeros(spec.sized({"N": 2, "T": 9}), "float32") for name, spec in SIGNATURE.inputs.items()})
    assert {name: state.shape for name, state in stream.states.items()} == before


def test_one_step_at_a_time_over_many_more_than_a_table_has(tmp_path: Path) -> None:
    model, _ = TAKEN["retention"]
    torch.manual_seed(0)
    export_onnx(model, SIGNATURE, tmp_path / "out", stateful=True)
    sizes = {"N": 1, "T": 3000}
    inputs = {name: torch.rand(spec.sized(sizes)) for name, spec in SIGNATURE.inputs.items()}
    exact = model.double()(*(value.double() for value in inputs.values())).detach().numpy()
    stream = Stream(tmp_path / "out", sizes={"N": 1})
    found = stream.run(**{name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())
