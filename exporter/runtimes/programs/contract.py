"""The contract of a program that runs models: `PROGRAM MODEL CASES.safetensors OUT.safetensors`.

It runs the model on every case in CASES, which holds tensors named `<case>/inputs/<input>`, and writes
`<case>/outputs/<output>` to OUT. An error is one sentence on stderr, with exit code 2, and nothing is written.

`PROGRAM MODEL` loads the model once and serves: it writes `ready`, and for each line `CASES<tab>OUT` that it reads it
does the same, and answers with an empty line or with the sentence.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray

Array = NDArray[np.generic]

# From inputs to outputs, both in the order of the file.
Run = Callable[[list[Array]], Sequence[Array]]
READY = "ready"

# How lines begin in which OpenVINO and tract name places in their own source.
_PLACES = ("Exception from ", "Check '", "Caused by:")
_LONGEST = 300


@dataclass(frozen=True)
class _Model:
    """A loaded model, with the file's names of its inputs and outputs; the runtime may have others."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    run: Run


def main(load: Callable[[Path], Run]) -> None:
    """Be such a program for ONNX files, with the arguments of the command line."""
    # Runtimes print to stdout; only answers may go there.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    file, *paths = map(Path, sys.argv[1:])
    try:
        graph = onnx.load(file, load_external_data=False).graph
        model = _Model([value.name for value in graph.input], [value.name for value in graph.output], load(file))
        if paths:
            _run_cases(model, *paths)
        else:
            _serve(model, lambda answer: print(answer, file=answers, flush=True))
    except Exception as error:  # each runtime has its own classes of exceptions
        print(_sentence(error), file=sys.stderr)
        sys.exit(2)


def _serve(model: _Model, answer: Callable[[str], None]) -> None:
    answer(READY)
    for line in sys.stdin:
        cases, out = line.rstrip("\n").split("\t")
        try:
            _run_cases(model, Path(cases), Path(out))
            answer("")
        except Exception as error:  # each runtime has its own classes of exceptions
            answer(_sentence(error))


def _run_cases(model: _Model, cases: Path, out: Path) -> None:
    given: dict[str, dict[str, Array]] = {}
    for key, array in sorted(safetensors.numpy.load_file(cases).items()):
        case, part, name = key.split("/", 2)
        if part == "inputs":
            given.setdefault(case, {})[name] = array
    results = {
        f"{case}/outputs/{name}": np.asarray(array, order="C")
        for case, inputs in given.items()
        for name, array in zip(model.outputs, _run_case(model, case, inputs), strict=True)
    }
    partial = out.with_name(f"{out.name}.partial")
    safetensors.numpy.save_file(results, partial)
    partial.replace(out)


def _run_case(model: _Model, case: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
    missing = [name for name in model.inputs if name not in inputs]
    if missing:
        raise ValueError(f"{case} has no input {missing[0]}")
    try:
        return model.run([inputs[name] for name in model.inputs])
    except Exception as error:  # each runtime has its own classes of exceptions
        raise RuntimeError(f"{case}: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """An error's message on one line of limited length, without places in the runtime's source and its backtrace."""
    lines = [line.strip() for line in str(error).partition("Stack backtrace:")[0].splitlines()]
    told = [line for line in lines if line and not line.startswith(_PLACES)]
    return textwrap.shorten("; ".join(told) or type(error).__name__, _LONGEST).rstrip(".")
