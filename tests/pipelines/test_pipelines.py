"""Models of several graphs decode as their own loops in PyTorch do: transducers, language models, translators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rnn_export import (
    BundleError,
    InputError,
    OnnxOptions,
    ParityError,
    Part,
    Pipeline,
    Text,
    Transducer,
    export_pipeline,
)
from rnn_export.cli.main import main
from torch import Tensor, nn

from pipelines.models import (
    TRANSDUCER,
    TRANSLATION,
    WIRING,
    Joiner,
    Language,
    RnnTransducer,
    Stateless,
    Translator,
)

pytestmark = pytest.mark.usefixtures("short_streams")


@torch.no_grad()
def same(pipeline: Pipeline, greedy: Any, *inputs: np.ndarray) -> None:
    """The pipeline says what PyTorch does, and that is something."""
    (name,) = pipeline.spec.inputs
    said = [pipeline.run(**{name: array}) for array in inputs]
    assert said == [greedy(torch.from_numpy(array)) for array in inputs]
    assert any(said)


def sounds(*lengths: int, size: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal((1, length, size)).astype("float32") for length in lengths]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_transducer(bidirectional: bool, tmp_path: Path) -> None:
    model = RnnTransducer(bidirectional=bidirectional).eval()
    exported = export_pipeline(
        model.parts(), TRANSDUCER, tmp_path / "asr", logits="joiner.logits", wiring=WIRING, reference=model.greedy
    )
    assert exported.checked is not None
    assert exported.checked.reference
    assert exported.checked.tokens > 20
    assert exported.notes == ()
    same(Pipeline(exported.folder), model.greedy, *sounds(1, 2, 50, 201))


def test_a_transducer_takes_chunks(tmp_path: Path) -> None:
    model = RnnTransducer().eval()
    parts = model.parts(stateful=True)
    exported = export_pipeline(parts, TRANSDUCER, tmp_path / "asr", logits="joiner.logits", wiring=WIRING)
    assert exported.notes[-1].startswith("The wiring is as you told")
    pipeline = Pipeline(exported.folder)
    (x,) = sounds(60)
    whole = pipeline.run(x=x)
    pipeline.reset()
    pieces = [pipeline.feed(x=piece) for piece in np.split(x, [1, 2, 20, 21], axis=1)]
    assert [token for piece in pieces for token in piece] == whole
    assert sum(map(bool, pieces)) > 1


class TimeFirst(nn.Module):
    """Frames lie along the first axis, and keep it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.encoder = nn.GRU(6, 12)
        self.predictor = Stateless(9, 12)
        self.joiner = Joiner(9, 12)

    def join(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        return self.joiner(encoded[0], predicted)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)[0]

    def greedy(self, x: Tensor) -> list[int]:
        frames, tokens = self.encode(x), [8, 0]
        for t in range(frames.shape[0]):
            predicted = self.predictor(torch.tensor([tokens[-2:]]))
            token = int(self.join(frames[t : t + 1], predicted).argmax())
            if token != 0:
                tokens.append(token)
        return tokens[2:]


def test_a_predictor_of_the_last_tokens(tmp_path: Path) -> None:
    model = TimeFirst().eval()
    parts = {
        "encoder": Part(model.encode, "x: float32[T, N, 6]", "out"),
        "predictor": Part(model.predictor, "tokens: int64[N, 2] in 0..8", "out"),
        "joiner": Part(model.join, ["encoded: float32[1, N, 12]", "predicted: float32[N, 12]"], "logits"),
    }
    wiring = {
        "predictor.tokens": "token",
        "joiner.encoded": "encoder.out[t:t+1]",
        "joiner.predicted": "predictor.out",
    }
    exported = export_pipeline(
        parts,
        Transducer(blank=0, max_symbols=1, limit=500),
        tmp_path / "asr",
        logits="joiner.logits",
        wiring=wiring,
        start=[8, 0],
        reference=model.greedy,
    )
    same(Pipeline(exported.folder), model.greedy, *(x.transpose(1, 0, 2) for x in sounds(1, 3, 90)))


@pytest.mark.parametrize(("kind", "layers"), [(nn.GRU, 2), (nn.LSTM, 1)])
def test_a_language_model(kind: type[nn.RNNBase], layers: int, tmp_path: Path) -> None:
    model = Language(kind, layers).eval()
    exported = export_pipeline(
        model.parts(),
        Text(end=2, limit=40),
        tmp_path / "lm",
        logits=["prefill.logits", "step.logits"],
        wiring={"prefill.tokens": "inputs.prompt", "step.tokens": "token"},
        reference=model.write,
    )
    assert exported.bundles == ["prefill"]
    same(Pipeline(exported.folder), model.write, *(np.full((1, length), 7) for length in (1, 2, 30)))
    with pytest.raises(InputError, match="chunks are for transducers"):
        Pipeline(exported.folder).feed(prompt=np.ones((1, 3), "int64"))


def test_a_translator(tmp_path: Path) -> None:
    model = Translator().eval()
    exported = export_pipeline(
        model.parts(),
        Text(end=2, limit=30),
        tmp_path / "mt",
        logits="step.logits",
        wiring=TRANSLATION,
        start=1,
        reference=model.greedy,
    )
    same(Pipeline(exported.folder), model.greedy, *sounds(1, 2, 40, size=5))
    # Written again in its place, and nothing else is.
    (exported.folder / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        export_pipeline(
            model.parts(), Text(end=2, limit=30), exported.folder, logits="step.logits", wiring=TRANSLATION, start=1
        )


def test_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asr.py").write_text(
        "from pipelines.models import RnnTransducer\n\n\ndef greedy(model, x):\n    return model.greedy(x)\n"
    )
    state = "float32[1, N, 12]"
    (tmp_path / "asr.toml").write_text(f"""
model = "asr.py:RnnTransducer"
reference = "asr.py:greedy"
logits = "joiner.logits"
decoding = {{ kind = "transducer", blank = 0, max_symbols = 3, limit = 100 }}

[graphs]
encoder = {{ inputs = ["x: float32[N, T, 6]"], outputs = ["out"] }}

[graphs.predict]
part = "predictor"
inputs = ["token: int64[N, 1] in 0..8", "h0: {state}", "c0: {state}"]
outputs = ["out", "h_n", "c_n"]

[graphs.joiner]
inputs = ["encoded: float32[N, 12]", "predicted: float32[N, 12]"]
outputs = ["logits"]

[wiring]
"predict.token" = "token"
"joiner.encoded" = "encoder.out[:, t]"
"joiner.predicted" = "predict.out"
""")
    done = CliRunner().invoke(main, ["pipeline", "asr.toml", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["checked"]["reference"] is True
    assert Pipeline("artifacts/asr").run(x=sounds(30)[0])
    done = CliRunner().invoke(main, ["pipeline", "asr.toml", "--quiet", "--no-verify"])
    assert (done.exit_code, done.output) == (0, "")


def test_a_reference_that_decodes_otherwise_is_told(tmp_path: Path) -> None:
    model = RnnTransducer().eval()

    def greedy(x: Tensor) -> list[int]:
        return model.greedy(x)[:-1]

    with pytest.raises(ParityError, match=r"the reference says \[.*mend the wiring, the start, or when it ends"):
        export_pipeline(
            model.parts(), TRANSDUCER, tmp_path / "asr", logits="joiner.logits", wiring=WIRING, reference=greedy
        )
    assert not (tmp_path / "asr").exists()


def test_a_wrong_start_is_told(tmp_path: Path) -> None:
    model = Translator().eval()
    with pytest.raises(ParityError, match="mend the wiring"):
        export_pipeline(
            model.parts(),
            Text(end=2, limit=30),
            tmp_path / "mt",
            logits="step.logits",
            wiring=TRANSLATION,
            start=7,
            reference=model.greedy,
        )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"joiner.encoded": "encoder.out"}, "A transducer reads frame by frame. Wire it so"),
        ({"joiner.encoded": "encoder.ot[:, t]"}, "is no output. Did you mean 'encoder.out'?"),
        ({"joiner.encoded": "encoder.out[:, k]"}, r"Write a frame like encoder.out\[:, t\]"),
        ({"joiner.encodd": "encoder.out"}, "There is no input 'joiner.encodd'. Did you mean 'joiner.encoded'?"),
        ({"joiner.encoded": "token"}, "takes a token as float32"),
        ({"encoder.x": "joiner.logits"}, "'encoder.x' is fed by 'joiner', which runs after it"),
        ({"joiner.predicted": None}, "Nothing feeds 'joiner.predicted'"),
        ({"predictor.token": "inputs.token"}, "No graph reads the token that was emitted. Wire one"),
    ],
)
def test_what_does_not_fit_together(changed: dict[str, str | None], said: str, tmp_path: Path) -> None:

    model = RnnTransducer().eval()
    wiring = {name: source for name, source in {**WIRING, **changed}.items() if source is not None}
    with pytest.raises(InputError, match=said):
        export_pipeline(
            model.parts(),
            TRANSDUCER,
            tmp_path / "asr",
            logits="joiner.logits",
            wiring=wiring,
            options=OnnxOptions(verify=False),
        )


@pytest.mark.parametrize(
    ("decoding", "said"),
    [
        (Text(end=1000, limit=30), "The end token is 1000, and 'step.logits' has logits for tokens from 0 to"),
        (Transducer(blank=99, max_symbols=2, limit=30), "The blank token is 99, and 'joiner.logits' has logits for"),
    ],
)
def test_a_token_that_is_never_chosen_ends_nothing(decoding: Text | Transducer, said: str, tmp_path: Path) -> None:
    is_text = isinstance(decoding, Text)
    model = (Translator() if is_text else RnnTransducer()).eval()
    with pytest.raises(InputError, match=said):
        export_pipeline(
            model.parts(),
            decoding,
            tmp_path / "bundle",
            logits="step.logits" if is_text else "joiner.logits",
            wiring=TRANSLATION if is_text else WIRING,
            start=1,
            options=OnnxOptions(verify=False),
        )


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 12, 4, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


def test_a_stream_whose_frames_are_late_is_refused(tmp_path: Path) -> None:
    parts = RnnTransducer().eval().parts()
    parts["encoder"] = Part(Strided(), "x: float32[N, T, 6]", "out", stateful=True)
    with pytest.raises(InputError, match="As a stream 'encoder' .* which a pipeline does not count"):
        export_pipeline(parts, TRANSDUCER, tmp_path / "asr", logits="joiner.logits", wiring=WIRING)


def test_what_is_changed_is_seen(tmp_path: Path) -> None:
    model = Translator().eval()
    out = export_pipeline(
        model.parts(), Text(end=2, limit=30), tmp_path / "mt", logits="step.logits", wiring=TRANSLATION, start=1
    ).folder
    text = (out / "pipeline.json").read_text()
    (out / "pipeline.json").write_text(text.replace('"limit": 30', '"limit": 31'))
    with pytest.raises(BundleError, match="was changed after it was written"):
        Pipeline(out)
    (out / "pipeline.json").write_text(text)
    manifest = out / "step" / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(BundleError, match=r"is not the bundle that .*pipeline\.json was made for"):
        Pipeline(out)


def test_inputs_are_checked(tmp_path: Path) -> None:
    model = Translator().eval()
    out = export_pipeline(
        model.parts(), Text(end=2, limit=30), tmp_path / "mt", logits="step.logits", wiring=TRANSLATION, start=1
    ).folder
    pipeline = Pipeline(out)
    (x,) = sounds(3, size=5)
    for given in ({}, {"x": x.astype("float64")}, {"x": x[0]}, {"x": x[:, :0]}):
        with pytest.raises(InputError, match=r"The input 'x' is to be float32\[1, S, 5\]"):
            pipeline.run(**given)
    with pytest.raises(InputError, match="There is no input 'y'"):
        pipeline.run(x=x, y=x)
