"""What int8 weights cost: errors relative to an output's scale, over the built-in variants, cells and seeds."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rnn_export import ParityError, Report, export_onnx, load

CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
WHOLE = ("scratch", "layernorm_lstm", "mgu")
LIBRARY = ("single", "deep", "classifier", "tagger", "initial_state", "hetero")
SEEDS = (0, 1, 2)
# No bound fails here, for the errors are what is looked for.
NO_BOUND = 1e9


def main() -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for label, name, options in models():
        for seed in SEEDS:
            for values, error in _errors(name, options, seed):
                found[label][values].append(error)
        print(_row(label, found[label]), flush=True)
    library = [label for label in found if not label.startswith(("layernorm_lstm", "mgu"))]
    every: dict[str, list[float]] = defaultdict(list)
    for label in library:
        for values, errors in found[label].items():
            every[values] += errors
    for values, errors in every.items():
        at = ", ".join(f"{share}% {np.quantile(errors, share / 100):.4f}" for share in (50, 90, 99, 99.9, 100))
        print(f"without layernorm_lstm and mgu: {values}, {len(errors)} outputs: {at}")


def models() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in WHOLE:
        yield name, name, {}
    for name in LIBRARY:
        for cell in CELLS:
            yield f"{name} {cell}", name, {"cell": cell}


def _errors(name: str, options: dict[str, Any], seed: int) -> Iterator[tuple[str, float]]:
    """Each output's error in each case, with the kind of the case's values."""
    loaded = load(name, seed=seed, **options)
    for case in _report(loaded.model, loaded.signature, seed).cases:
        for output in case.outputs:
            if output.scale:
                yield case.case.values, output.error / output.scale


def _report(model: Any, signature: Any, seed: int) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        try:
            exported = export_onnx(model, signature, Path(folder) / "b", quantize="int8", max_error=NO_BOUND, seed=seed)
        except ParityError as error:
            failed: Report = error.report
            return failed
        assert exported.report is not None
        return exported.report


def _row(label: str, errors: dict[str, list[float]]) -> str:
    shown = (f"{values} {median(each):.4f} to {max(each):.4f}" for values, each in errors.items())
    return f"{label}: {', '.join(shown)} (median to largest)"


if __name__ == "__main__":
    main()
