"""States under names that a user chose: in the graph, in the metadata, in a stream, and in another verification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from rnn_export import InputError, InterfaceError, Stream, export_onnx, load, read_bundle, verify
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")


class Tagger(nn.Module):
    """Has a weight that is called as a state could be."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, 2)
        self.h0 = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.h0(self.rnn(x)[0])


# Names that others let go of, those of weights, and those of values inside are free to take.
@pytest.mark.parametrize(
    "template",
    ["{kind}{layer}", "s{index}=rnn.{index}.h0", "h0.weight{index}=h0.bias.{index}", "{module}.{kind}=n{index}"],
)
def test_a_stream_under_chosen_names(template: str, tmp_path: Path) -> None:
    plain = export_onnx(Tagger(), "x: float32[T, N, 3]", tmp_path / "plain", stateful=True)
    model = Tagger()
    out = tmp_path / "named"
    assert export_onnx(model, "x: float32[T, N, 3]", out, stateful=True, state_names=template).report.passed
    stream, other = Stream(out), Stream(plain.folder)
    assert len(stream.states) == len(other.states) == 4
    assert not {*stream.states} & {*other.states}
    x = np.ones((5, 1, 3), "float32")
    whole = stream.run(x)
    stream.reset()
    steps = np.stack([stream.step(step) for step in x])
    np.testing.assert_allclose(steps, whole, atol=1e-6)
    assert any(state.any() for state in stream.states.values())


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 4, stride=2)
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]


def test_how_chunks_are_counted_is_kept(tmp_path: Path) -> None:
    streams = []
    for names in (None, "s{index}"):
        export_onnx(Strided(), "x: float32[N, T, 3]", tmp_path / "out", stateful=True, state_names=names)
        streams.append(read_bundle(tmp_path / "out").artifacts["model.onnx"].stream)
    plain, named = streams
    assert (named.multiple, named.timings) == (plain.multiple, plain.timings)
    assert plain.multiple > 1 or plain.timings


def test_a_name_that_the_model_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would be called 'x', as an input or output of the model is"):
        export_onnx(nn.GRU(3, 4), "x: float32[T, N, 3]", tmp_path / "out", stateful=True, state_names="x=x_n")


def test_states_of_the_model_keep_their_names(tmp_path: Path) -> None:
    signature = {"x": "float32[T, N, 3]", "h0": "float32[1, N, 4]"}
    out = tmp_path / "out"
    export_onnx(nn.GRU(3, 4), signature, out, stateful=True, state_names="s{index}")
    assert [*Stream(out).states] == ["h0"]


def test_added_metadata_is_verified(tmp_path: Path) -> None:
    out = tmp_path / "out"
    loaded = load("tagger", hidden_size=4)
    added = {"num_encoder_layers": "4", "comment": "two\nlines = more"}
    export_onnx(
        loaded.model, loaded.signature, out, source=loaded.source, stateful=True, state_names="h{index}", metadata=added
    )
    file = onnx.load(out / "model.onnx")
    assert added.items() <= {entry.key: entry.value for entry in file.metadata_props}.items()
    assert verify(out).passed
    assert [*Stream(out).states][:1] == ["h0"]
    entry = next(entry for entry in file.metadata_props if entry.key == "num_encoder_layers")
    entry.value = "5"
    with pytest.raises(InterfaceError, match="num_encoder_layers = 5, not num_encoder_layers = 4"):
        _verify_changed(out, file)


def _verify_changed(out: Path, file: onnx.ModelProto) -> None:
    """Verify a bundle whose file was changed, together with the hashes that would tell."""
    from msgspec.structs import replace
    from rnn_export.bundle.complete import complete
    from rnn_export.bundle.manifest import read_manifest

    manifest = read_manifest(out)
    onnx.save(file, out / "model.onnx")
    (out / "manifest.json").unlink()
    complete(out, replace(manifest, files={}))
    Stream(out)
