"""Models of several graphs say the same in Python, Node and C++: a transducer, a language model, a translator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipelines.models import TRANSDUCER, TRANSLATION, WIRING, Language, RnnTransducer, Translator
from rnn_export import OnnxOptions, Pipeline, Text, export_pipeline
from safetensors.numpy import load_file, save_file

from clients.programs import ROOT, Ended, execute, program

LENGTHS = (1, 5, 30)
NODE = ROOT / "clients" / "node" / "pipeline.mjs"
# They are verified where pipelines are tested.
AS_IT_IS = OnnxOptions(verify=False)

Runs = Callable[..., Ended]


def transducer(out: Path) -> dict[str, Any]:
    model = RnnTransducer().eval()
    export_pipeline(
        model.parts(stateful=True), TRANSDUCER, out, logits="joiner.logits", wiring=WIRING, options=AS_IT_IS
    )
    return {"x": lambda length, random: random.standard_normal((1, length, 6)).astype("float32")}


def language(out: Path) -> dict[str, Any]:
    wiring = {"prefill.tokens": "inputs.prompt", "step.tokens": "token"}
    logits = ["prefill.logits", "step.logits"]
    parts = Language().eval().parts()
    export_pipeline(parts, Text(end=2, limit=40), out, logits=logits, wiring=wiring, options=AS_IT_IS)
    return {"prompt": lambda length, random: random.integers(3, 20, (1, length))}


def translator(out: Path) -> dict[str, Any]:
    parts = Translator().eval().parts()
    decoding = Text(end=2, limit=30)
    export_pipeline(parts, decoding, out, logits="step.logits", wiring=TRANSLATION, start=1, options=AS_IT_IS)
    return {"x": lambda length, random: random.standard_normal((1, length, 5)).astype("float32")}


KINDS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "transducer": transducer,
    "language": language,
    "translator": translator,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of each kind, and `<kind>.safetensors` with inputs for it."""
    folder, random = tmp_path_factory.mktemp("pipelines"), np.random.default_rng(0)
    for kind, write in KINDS.items():
        drawn = write(folder / kind)
        save_file(
            {f"T{length}/inputs/{name}": draw(length, random) for length in LENGTHS for name, draw in drawn.items()},
            folder / f"{kind}.safetensors",
        )
    return folder


def in_node(*arguments: str | Path) -> Ended:
    assert (NODE.parent / "dist/node/pipeline.js").exists(), "the Node client is not built: make client-node"
    done = subprocess.run(["node", NODE, *arguments], capture_output=True, text=True, check=False, timeout=120)
    return Ended(done.returncode, done.stdout, done.stderr)


def in_cpp(*arguments: str | Path) -> Ended:
    file = program("onnxruntime").with_name("rnn-export-pipeline")
    assert file.is_file(), "the clients are not built: make clients CLIENTS=onnxruntime"
    return execute(file, *arguments)


@pytest.fixture
def runs(pipeline_client: str) -> Runs:
    return {"node": in_node, "onnxruntime": in_cpp}[pipeline_client]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_are_those_of_python(kind: str, written: Path, runs: Runs) -> None:
    pipeline = Pipeline(written / kind)
    (name,) = pipeline.spec.inputs
    tensors = load_file(written / f"{kind}.safetensors")
    cases = sorted(key.partition("/")[0] for key in tensors)
    said = {case: pipeline.run(**{name: tensors[f"{case}/inputs/{name}"]}) for case in cases}
    assert any(len(set(tokens)) > 1 for tokens in said.values())
    done = runs(written / kind, written / f"{kind}.safetensors")
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines() == [f"{case}\t{' '.join(map(str, tokens))}" for case, tokens in said.items()]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data.update(format=2), "is no pipeline"),
        (lambda data: data["graphs"]["step"].update(bundle="../step"), ""),
        (lambda data: data["graphs"]["step"].update(manifest_sha256="0" * 64), "is not the bundle that pipeline.json"),
        (lambda data: data["logits"].update(step="step.nothing"), "'step.nothing' is not there when it is read"),
        (lambda data: data["graphs"]["step"]["inputs"].pop("memory"), "memory|Missing Input|missing"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    edit: Callable[[dict[str, Any]], Any], said: str, written: Path, runs: Runs, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(written / "translator", tmp_path / "translator"))
    data = json.loads((folder / "pipeline.json").read_text())
    edit(data)
    (folder / "pipeline.json").write_text(json.dumps(data))
    done = runs(folder, written / "translator.safetensors")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert re.search(said, done.stderr)


def test_no_such_folder(written: Path, runs: Runs, tmp_path: Path) -> None:
    assert runs(tmp_path / "none", written / "translator.safetensors").code == 2
    assert runs(written / "translator").code == 2
    assert "Usage" in runs("--help").stdout
