"""The programs that write text: the same characters as PyTorch, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from planting import plant, renew_hash
from rnn_export import add_file, export_onnx, read_bundle
from rnn_export.runtimes.open import open_session

from clients.exported import GREEDY
from clients.programs import ROOT, Ended, execute, program
from clients.test_common import damaged
from examples.char_lm.__main__ import build
from examples.char_lm.text import VOCABULARY, Vocabulary
from examples.char_lm.writing import Feed, write

Run = Callable[..., Ended]
BUILT = {
    "onnxruntime": program("onnxruntime").with_name("rnn-export-generate"),
    "node": ROOT / "clients" / "node" / "generate.mjs",
}


@pytest.fixture
def written(writer: str) -> Run:
    """The program, as users have it."""
    assert BUILT[writer].is_file(), f"{writer} is not built: see clients/README.md"
    return lambda *arguments: execute(BUILT[writer], *arguments)


@pytest.fixture(scope="session")
def sanitized() -> Path:
    """The one in C++, watched for reads and writes outside of memory, and for what C++ leaves undefined."""
    out = ROOT / "build" / "clients" / "sanitized"
    cache = (program("onnxruntime").parent / "CMakeCache.txt").read_text()
    (library,) = re.findall(r"^ONNXRUNTIME_ROOT:PATH=(.*)$", cache, re.MULTILINE)
    flags = "-O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    source = ["-S", ROOT / "clients/onnxruntime", "-B", out]
    settings = [f"-DONNXRUNTIME_ROOT={library}", f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Debug"]
    for command in (
        ["cmake", *source, *settings],
        ["cmake", "--build", out, "--target", "rnn-export-generate", "--parallel", "2"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return out / "rnn-export-generate"


@pytest.fixture
def watched(writer: str, written: Run, request: pytest.FixtureRequest) -> Run:
    """The program, with the sanitizers where it is in C++."""
    if writer == "node":
        return written
    file = request.getfixturevalue("sanitized")
    found = {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}
    return lambda *arguments: execute(file, *arguments, **found)


@pytest.fixture
def characters(of_every_kind: Path) -> Path:
    return of_every_kind / "characters_stateful"


@pytest.fixture
def copied(characters: Path, tmp_path: Path) -> Path:
    """A bundle of one's own, to be changed."""
    return Path(shutil.copytree(characters, tmp_path / "characters"))


def replace(bundle: Path, content: bytes) -> None:
    """Its vocabulary, by one that the manifest takes for its own."""
    (bundle / VOCABULARY).write_bytes(content)
    renew_hash(bundle, VOCABULARY)


@pytest.fixture
def without_states(of_every_kind: Path) -> Path:
    """An LSTM that was exported without its states."""
    return of_every_kind / "lstm"


def test_greedy_text_is_that_of_pytorch(written: Run, characters: Path) -> None:
    expected = json.loads((characters / GREEDY).read_text())
    ended = written(characters, "--prompt", expected["prompt"], "--temperature", "0", "--length", "200")
    assert ended.code == 0, ended
    assert ended.stdout == f"{expected['prompt']}{expected['written']}\n"
    assert re.fullmatch(r"200 characters, \d+ a second\n", ended.stderr)


def test_every_character_is_a_prompt(watched: Run, characters: Path) -> None:
    """Those of several bytes too; what follows is of the vocabulary."""
    known = json.loads((characters / VOCABULARY).read_text())["characters"]
    assert {len(each.encode()) for each in known} == {1, 2, 3, 4}
    prompt = "".join(known)
    ended = watched(characters, f"--prompt={prompt}", "--temperature=100")
    assert ended.code == 0, ended
    drawn = ended.stdout.removeprefix(prompt).removesuffix("\n")
    assert len(drawn) == 200
    assert {*drawn} <= {*known}
    assert len({*drawn}) > len(known) / 2


@pytest.mark.parametrize("temperature", ["1e-300", "5E-324", ".0", "0."])
def test_the_smallest_temperatures_are_greedy(temperature: str, watched: Run, characters: Path) -> None:
    expected = json.loads((characters / GREEDY).read_text())
    ended = watched(characters, "--prompt", expected["prompt"], "--temperature", temperature, "--length", "20")
    assert ended.stdout == expected["prompt"] + expected["written"][:20] + "\n", ended


def test_the_largest_temperature(watched: Run, characters: Path) -> None:
    ended = watched(characters, "--prompt", "A", "--temperature", "1e308", "--length", "1")
    assert (ended.code, len(ended.stdout), ended.stderr) == (0, 3, "1 characters\n")


def test_characters_are_drawn_from_the_softmax(written: Run, tmp_path: Path) -> None:
    """Of a model whose logits are its last bias, whatever came before."""
    loaded = build("scratch", 4, 3, seed=0)
    logits = torch.tensor([1.5, -0.25, 3.0, 0.0])
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            parameter.copy_(logits if name.endswith("b_q") else torch.zeros_like(parameter))
    assert torch.equal(loaded.model(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 3))[0][0], logits)
    export_onnx(loaded.model, loaded.signature, tmp_path / "bundle", stateful=True, verify=False)
    add_file(tmp_path / "bundle", VOCABULARY, Vocabulary(("a", "b", "é", "🙂")).to_json().encode())
    count = 10_000
    ended = written(tmp_path / "bundle", "--prompt", "a", "--temperature", "2", "--length", str(count))
    assert ended.code == 0, ended
    drawn = np.array([ended.stdout[1:].count(character) for character in "abé🙂"]) / count
    assert np.abs(drawn - torch.softmax(logits / 2, 0).numpy()).max() < 0.03


def test_help(written: Run) -> None:
    ended = written("--help")
    assert ended.code == 0
    lines = ended.stdout.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80


# The sentences of CLI11, and of Node's parseArgs.
COMMAND_LINES = [
    ([], "BUNDLE is required.", "Give BUNDLE and --prompt TEXT."),
    (["b"], "--prompt is required.", "Give BUNDLE and --prompt TEXT."),
    (["b", "more", "--prompt", "A"], "Unexpected argument 'more'.", "Give BUNDLE and --prompt TEXT."),
    (["b", "--promt", "A"], "Unexpected argument '--promt'.", "Unknown option '--promt'."),
    (["b", "--prompt"], "--prompt needs a value.", "--prompt needs a value."),
]


@pytest.mark.parametrize(("arguments", "cpp", "node"), COMMAND_LINES)
def test_a_command_line_that_is_wrong(arguments: list[str], cpp: str, node: str, writer: str, watched: Run) -> None:
    ended = watched(*arguments)
    assert ended.refused
    assert ended.stderr == f"Error: {node if writer == 'node' else cpp} See --help.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{bundle}", "--prompt", ""], "The prompt is empty. Give at least one character."),
        (["{bundle}", "--prompt", "A\n#"], 'The model does not know the character "#". Leave it out.'),
        (["{bundle}", "--prompt", "🙃"], 'The model does not know the character "🙃". Leave it out.'),
        (["{bundle}", "--prompt", "\t"], r'The model does not know the character "\t". Leave it out.'),
        (["{bundle}", "--prompt", "-A"], 'The model does not know the character "-". Leave it out.'),
        (["{bundle}", "--prompt", "A\udcff"], 'The model does not know the character "�". Leave it out.'),
        *(
            (["{bundle}", "--prompt", "A", "--temperature", it], f"--temperature is {it}. Give a number, 0 or more.")
            for it in ("hot", "-1", "1e999", "nan", "inf", "Infinity", "0x1", "1e", " 1", "1,5", "")
        ),
        *(
            (["{bundle}", "--prompt=A", "--length", it], f"--length is {it}. Give a whole number from 1 to 999999999.")
            for it in ("0", "-3", "1.5", "1e3", "many", "1000000000", "")
        ),
        (["none", "--prompt", "A"], "none"),
    ],
)  # fmt: skip
def test_nothing_is_written(arguments: list[str], message: str, watched: Run, characters: Path) -> None:
    refused(watched(*(each.format(bundle=characters) for each in arguments)), message)


def refused(ended: Ended, message: str) -> None:
    assert ended.refused, ended
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr


def test_a_bundle_without_a_vocabulary(watched: Run, without_states: Path) -> None:
    message = "lstm has no vocabulary.json, so no text can be written with it."
    refused(watched(without_states, "--prompt", "A"), message)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"input": "tokens", "output": "logits", "characters": ["A"]}',
        b'{"format": 2, "input": "tokens", "output": "logits", "characters": ["A"]}',
        b'{"format": 1, "input": 1, "output": "logits", "characters": ["A"]}',
        b'{"format": 1, "input": "tokens", "characters": ["A"]}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": "A"}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": []}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": [""]}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": ["ab"]}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": [1]}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": ["\xff"]}',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": ["A"]}\0',
        b'{"format": 1, "input": "tokens", "output": "logits", "characters": ' + b"[" * 10**5,
    ],
)
def test_a_vocabulary_that_is_none(content: bytes, watched: Run, copied: Path) -> None:
    replace(copied, content)
    refused(watched(copied, "--prompt", "A"), f"{VOCABULARY} is not a vocabulary of format 1. Write it again.")


def test_a_vocabulary_of_another_model(watched: Run, copied: Path, without_states: Path) -> None:
    characters = json.loads((copied / VOCABULARY).read_text())["characters"]

    def said(input: str, output: str, characters: list[str], bundle: Path = copied) -> Ended:
        data = {"format": 1, "input": input, "output": output, "characters": characters}
        replace(bundle, json.dumps(data).encode())
        return watched(bundle, "--prompt", "A")

    for names in (("x", "logits"), ("tokens", "y")):
        refused(said(*names, characters), f"is no stream from '{names[0]}' to '{names[1]}'. Export it with --stateful.")
    for wrong in (characters[:-1], [*characters, "#"]):
        counts = f"The model gives {len(characters)} logits for {len(wrong)} characters."
        refused(said("tokens", "logits", wrong), f"{counts} Write vocabulary.json again.")
    bundle = Path(shutil.copytree(without_states, copied / "lstm"))
    add_file(bundle, VOCABULARY, b"")
    for name in ("x", "y"):
        refused(said(name, "output", ["A"], bundle), f"lstm is no stream from '{name}' to 'output'.")


def test_a_changed_file(watched: Run, copied: Path) -> None:
    for name in (VOCABULARY, "model.onnx"):
        with (copied / name).open("ab") as file:
            file.write(b" ")
        message = f"characters/{name} was changed after it was written. Export the model again."
        refused(watched(copied, "--prompt", "A"), message)
        with (copied / name).open("r+b") as file:
            file.truncate((copied / name).stat().st_size - 1)


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (["inputs", "tokens", "shape"], ["N*T"]),
        (["inputs", "tokens", "shape"], ["N", "T", 10**12]),
        (["inputs", "tokens", "dtype"], "float32"),
        (["artifacts", "model.onnx", "stream", "states", "h0", "reset"], []),
        (["artifacts", "model.onnx", "stream", "states", "h0", "reset"], [0.0, 0.0]),
        (["artifacts", "model.onnx", "stream", "states", "h0", "shape"], ["N", 10**12]),
        (["artifacts", "model.onnx", "stream", "states", "h0", "shape"], ["M", 48]),
        (["artifacts", "model.onnx", "stream", "states", "h0", "output"], "h"),
        (["artifacts", "model.onnx", "stream", "states"], {}),
    ],
)
def test_a_manifest_that_does_not_fit(entry: list[str], changed: object, watched: Run, copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    place = manifest
    for key in entry[:-1]:
        place = place[key]
    assert place[entry[-1]] != changed
    place[entry[-1]] = changed
    (copied / "manifest.json").write_text(json.dumps(manifest))
    ended = watched(copied, "--prompt", "AA")
    assert ended.code == 2, ended
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers(value: float, watched: Run, copied: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                array = np.full(tensor.dims, value, np.float32)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    plant(copied, spoil)
    message = "The model gives a logit that is NaN or infinite, so no character can be chosen."
    refused(watched(copied, "--prompt", "A"), message)


def test_damaged_vocabularies(watched: Run, copied: Path) -> None:
    content = (copied / VOCABULARY).read_bytes()
    codes = set()
    for damage in damaged(content, len(content), 12):
        replace(copied, damage)
        ended = watched(copied, "--prompt", "A", "--length", "1")
        assert ended.refused or ended.code == 0, (ended, damage)
        codes.add(ended.code)
    assert codes >= {2}


def fed(folder: Path, runtime: str) -> Feed:
    """The bundle of the character model in a runtime, its states carried as the manifest says."""
    manifest = read_bundle(folder)
    stream = manifest.artifacts["model.onnx"].stream
    assert stream is not None
    session = open_session(runtime, folder / "model.onnx", manifest.signature.outputs)
    states = {state.name: state.initial({"N": 1}) for state in stream.states}

    def feed(tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        outputs = session.run({"tokens": tokens[None], **states})
        states.update({state.name: outputs[state.output] for state in stream.states})
        last: NDArray[np.float32] = outputs["logits"][-1]
        return last

    return feed


def test_a_reader_that_has_had_enough(writer: str, characters: Path) -> None:
    """No stack trace: a program in C++ ends by the signal, Node's with 2."""
    command = [BUILT[writer], characters, "--prompt", "A", "--length", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ended:
        assert ended.stdout is not None
        assert ended.stderr is not None
        ended.stdout.read(1)
        ended.stdout.close()
        assert ended.stderr.read() == ""
    assert ended.returncode == {"onnxruntime": -signal.SIGPIPE, "node": 2}[writer]


def test_output_that_cannot_be_written(writer: str, characters: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BUILT[writer], characters, "--prompt", "A"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The ")
    assert done.stderr.count("\n") == 1


def test_openvino_goes_on_as_pytorch_does(openvino_client: str, characters: Path) -> None:
    """Fed one character at a time with the states that it handed back, for it has no program that writes."""
    expected = json.loads((characters / GREEDY).read_text())
    vocabulary = Vocabulary(json.loads((characters / VOCABULARY).read_text())["characters"])
    feed = fed(characters, f"program:{program(openvino_client)}")
    text = write(feed, vocabulary, expected["prompt"], temperature=0, random=np.random.default_rng(0))
    assert "".join(islice(text, len(expected["written"]))) == expected["written"]
