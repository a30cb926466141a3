"""The character model: its batches go on from one another, it learns, and PyTorch and `Stream` write the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from clients.exported import PASSAGE, go_on, learn
from rnn_export import InputError, Stream, read_bundle, verify

from examples.char_lm.__main__ import build, export, main
from examples.char_lm.text import Batches, Vocabulary, read_text
from examples.char_lm.writing import choose, eager, streamed, write

TINY = ["--hidden", "8", "--batch-size", "2", "--steps", "5", "--epochs", "2"]


@pytest.fixture
def passage(tmp_path: Path) -> Path:
    path = tmp_path / "passage.txt"
    path.write_text(PASSAGE, encoding="utf-8")
    return path


def test_rows_go_on_from_batch_to_batch() -> None:
    batches = [*Batches(torch.arange(24), N=2, T=5)]
    assert len(batches) == 2
    tokens = torch.cat([tokens for tokens, _ in batches], 1)
    assert tokens.tolist() == [[*range(10)], [*range(10, 20)]]
    assert torch.equal(torch.cat([targets for _, targets in batches], 1), tokens + 1)


def test_a_text_that_is_too_short() -> None:
    assert len(Batches(torch.arange(11), N=2, T=5)) == 1
    with pytest.raises(InputError, match="has 10 of the 11 characters that --batch-size 2 and --steps 5 need. Give a"):
        Batches(torch.arange(10), N=2, T=5)


def test_a_vocabulary_numbers_characters_in_order() -> None:
    vocabulary = Vocabulary.of("baa\n🙂")
    assert vocabulary.characters == ("\n", "a", "b", "🙂")
    assert vocabulary.encode("ab🙂").tolist() == [1, 2, 3]
    assert json.loads(vocabulary.to_json())["characters"] == ["\n", "a", "b", "🙂"]
    with pytest.raises(InputError, match="does not know the character 'c'"):
        vocabulary.encode("abc")


def test_the_text_without_a_file_is_the_documentation() -> None:
    assert 'The "assert" statement' in read_text(None)


@pytest.mark.parametrize("cell", ["scratch", "gru", "lstm"])
def test_pytorch_and_a_stream_write_the_same(cell: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(PASSAGE)
    loaded = build(cell, len(vocabulary), 48, seed=1)
    learn(loaded.model, loaded.signature, Batches(vocabulary.encode(4 * PASSAGE), N=4, T=len(PASSAGE) // 4))
    bundle = export(loaded, vocabulary, tmp_path / cell)
    prompt = PASSAGE[:10]
    expected = go_on(eager(loaded.model.eval(), loaded.signature), vocabulary, prompt)
    assert go_on(streamed(Stream(bundle)), vocabulary, prompt) == expected
    assert (prompt + expected).startswith(PASSAGE[:60])


def test_a_temperature_draws_from_the_softmax() -> None:
    logits, random = np.array([1.5, -0.25, 3.0, 0.0], np.float32), np.random.default_rng(0)
    drawn = np.bincount([choose(logits, 2.0, random) for _ in range(20_000)], minlength=4) / 20_000
    shares = np.exp(logits / 2)
    assert np.abs(drawn - shares / shares.sum()).max() < 0.02
    assert choose(logits, 0, random) == 2


def test_an_empty_prompt() -> None:
    loaded = build("gru", 2, 3, seed=0)
    written = write(
        eager(loaded.model, loaded.signature),
        Vocabulary.of("ab"),
        "",
        temperature=0,
        random=np.random.default_rng(),
    )
    with pytest.raises(InputError, match="The prompt is empty"):
        next(written)


def test_the_program(passage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = passage.with_name("bundle")
    command = [*TINY, "--text", str(passage), "--prompt", "A", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{len(PASSAGE)} characters, {len(set(PASSAGE))} different ones\nepoch 1  perplexity ")
    assert len(said.partition("are written.\n\n")[2]) == 1 + 300 + 1
    characters = json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))["characters"]
    assert characters == sorted(set(PASSAGE))
    assert "vocabulary.json" in read_bundle(out).files
    assert verify(out).how == "rebuilt"
    first = safetensors.torch.load_file(out.with_suffix(".safetensors"))
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[4:] == said.splitlines()[4:]
    again = safetensors.torch.load_file(out.with_suffix(".safetensors"))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "none.txt"], "none.txt cannot be read as a text"),
        (
            ["--text", "{passage}", "--batch-size", "1000"],
            "The text has 212 of the 5001 characters that --batch-size 1000 and --steps 5 need. Give a longer one.",
        ),
        (["--text", "{one}"], "The text has 1 of the 11 characters that --batch-size 2 and --steps 5 need."),
        (["--text", "{passage}", "--out", "{passage}/bundle"], "{passage} cannot be written (File exists)."),
        (["--text", "{passage}", "--out", "{passage}"], "{passage} is a file. Choose a folder."),
        (["--text", "{passage}", "--out", "{folder}"], "{folder} holds something other than a bundle, which is left"),
        (["--text", "{passage}", "--out", "{folder}/a.safetensors"], "{folder}/a.safetensors is to be the checkpoint"),
        (["--text", "{passage}", "--out", "."], ". is the working folder, which would be replaced."),
        (["--text", "{passage}", "--out", "/proc/x"], "/proc/x cannot be written (No such file or directory)."),
        (["--text", "{passage}", "--prompt", ""], "The prompt is empty. Give at least one character."),
        (["--text", "{passage}", "--prompt", "#"], "The model does not know the character '#'. Leave it out."),
    ],
)
def test_what_is_wrong_is_one_sentence(
    options: list[str], message: str, passage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is said before a model is trained."""
    out = passage.with_name("bundle")
    one = passage.with_name("one.txt")
    one.write_text("A")
    places = {"passage": passage, "one": one, "folder": passage.parent}
    assert main([*TINY, "--prompt", "A", "--out", str(out), *(option.format(**places) for option in options)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("Error: " + message.format(**places))
    assert said.out == ""
    assert not out.exists()
