"""The configuration for onnxruntime-genai: what it says, what is refused, and that it works where it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from rnn_export import InputError, export_onnx, read_bundle, write_genai
from rnn_export.cli.main import main
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")

GENAI = "onnxruntime-genai"
PROMPT = [1, 5, 9]


class Language(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, sizes: tuple[int, int] = (8, 8)) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.first = kind(8, sizes[0], batch_first=True)
        self.second = kind(sizes[0], sizes[1], batch_first=True)
        self.out = nn.Linear(sizes[1], 50)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.second(self.first(self.embed(tokens))[0])[0])


def exported(model: nn.Module, out: Path, tokens: str = "int64[1, T] in 0..49", names: str | None = GENAI) -> Path:
    return export_onnx(model, {"tokens": tokens}, out, stateful=True, state_names=names).folder


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_what_it_says(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Language(kind).eval()
    folder = exported(model, tmp_path / "lm")
    result = CliRunner().invoke(main, ["genai", str(folder), "--eos", "2", "--bos", "1"])
    assert result.exit_code == 0, result.output
    config = json.loads((folder / "genai_config.json").read_text())
    assert config["model"]["vocab_size"] == 50
    assert [config["model"][f"{what}_token_id"] for what in ("bos", "eos", "pad")] == [1, 2, 2]
    assert config["model"]["decoder"]["filename"] == "model.onnx"
    assert config["model"]["decoder"]["inputs"]["input_ids"] == "tokens"
    assert "genai_config.json" in read_bundle(folder).files
    _check_text(model, folder)


def _check_text(model: nn.Module, folder: Path) -> None:
    """Where onnxruntime-genai is installed (`make test-genai`), it writes what PyTorch would."""
    try:
        import onnxruntime_genai as genai  # type: ignore[import-not-found]
    except ImportError:
        return
    loaded = genai.Model(str(folder))
    parameters = genai.GeneratorParams(loaded)
    parameters.set_search_options(max_length=16, do_sample=False)
    generator = genai.Generator(loaded, parameters)
    generator.append_tokens(PROMPT)
    while not generator.is_done():
        generator.generate_next_token()
    text = [*PROMPT]
    while len(text) < 16 and text[-1] != 2:
        text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    assert [int(token) for token in generator.get_sequence(0)] == text


@pytest.mark.parametrize(
    ("model", "tokens", "names", "said"),
    [
        (Language(), "int64[1, T] in 0..49", None, "knows no state 'first.h0'. Export the model with"),
        (Language(), "int64[N, T] in 0..49", GENAI, "takes a dynamic size of a state first"),
        (Language(sizes=(8, 6)), "int64[1, T] in 0..49", GENAI, "one shape for the conv_state of all layers"),
    ],
)
def test_what_it_cannot_run(model: nn.Module, tokens: str, names: str | None, said: str, tmp_path: Path) -> None:
    folder = exported(model, tmp_path / "lm", tokens, names)
    with pytest.raises(InputError, match=said):
        write_genai(folder, eos=2)


def test_a_token_beyond_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The eos token is 50, and the model has 50"):
        write_genai(exported(Language(), tmp_path / "lm"), eos=50)


def test_another_input(tmp_path: Path) -> None:
    folder = export_onnx(
        nn.LSTM(3, 4), "x: float32[T, 1, 3]", tmp_path / "out", stateful=True, state_names=GENAI
    ).folder
    with pytest.raises(InputError, match=r"feeds a model with tokens int64\[N, T\], and this one takes x: float32"):
        write_genai(folder, eos=2)
