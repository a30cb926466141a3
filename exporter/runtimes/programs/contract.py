"""How a program that runs models is called: `PROGRAM MODEL CASES.safetensors OUT.safetensors`.

It runs the model on every case in CASES, which holds tensors named `<case>/inputs/<input>`, and writes
`<case>/outputs/<output>` to OUT. What goes wrong is one sentence on stderr, with exit code 2, and nothing is written.

`PROGRAM MODEL` loads the model once and serves: it writes `ready`, and for each line `CASES<tab>OUT` that it reads it
does the same and answers with an empty line, or with the sentence.
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

# The outputs for inputs, both in the order of the file.
Run = Callable[[list[Array]], Sequence[Array]]
READY = "ready"

# What OpenVINO and tract say of the places in their own source that an error went through.
_PLACES = ("Exception from ", "Check '", "Caused by:")
_LONGEST = 300


@dataclass(frozen=True)
class _Model:
    """A model that a runtime has loaded; runtimes may call its inputs and outputs otherwise than the file does."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    run: Run


def main(load: Callable[[Path], Run]) -> None:
    """Be such a program, with the command line's arguments, for ONNX files."""
    # Runtimes print to stdout what is no answer.
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
    except Exception as error:  # each runtime raises classes of its own
        print(_sentence(error), file=sys.stderr)
        sys.exit(2)


def _serve(model: _Model, answer: Callable[[str], None]) -> None:
    answer(READY)
    for line in sys.stdin:
        cases, out = line.rstrip("\n").split("\t")
        try:
            _run_cases(model, Path(cases), Path(out))
            answer("")
        except Exception as error:  # each runtime raises classes of its own
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
    except Exception as error:  # each runtime raises classes of its own
        raise RuntimeError(f"{case}: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """What an error says, on one line that is not too long, without the places in a runtime's source and the trace."""
    lines = [line.strip() for line in str(error).partition("Stack backtrace:")[0].splitlines()]
    told = [line for line in lines if line and not line.startswith(_PLACES)]
    return textwrap.shorten("; ".join(told) or type(error).__name__, _LONGEST).rstrip(".")
