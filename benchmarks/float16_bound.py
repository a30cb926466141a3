"""What float16 costs: the largest error relative to an output's scale, for each built-in variant, cell and seed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rnn_export import export_onnx, load, read_bundle

from .int8_bound import NO_BOUND, SEEDS, models


def main() -> None:
    every: list[float] = []
    for label, name, options in models():
        found = [largest(name, options, seed) for seed in SEEDS]
        print(f"{label}: {max(found):.5f}", flush=True)
        every += found
    at = ", ".join(f"{share}% {np.quantile(every, share / 100):.5f}" for share in (50, 90, 100))
    print(f"{len(every)} models: {at}")


def largest(name: str, options: dict[str, Any], seed: int) -> float:
    """The largest error of any output, of the file or of PyTorch in float16, in any case that the bound holds for."""
    loaded = load(name, seed=seed, **options)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "b"
        export_onnx(loaded.model, loaded.signature, out, precision="float16", max_error=NO_BOUND, seed=seed)
        precision = read_bundle(out).artifacts["model.onnx"].precision
    assert precision is not None
    assert precision.error is not None
    return max(error.relative for error in precision.error.values())


if __name__ == "__main__":
    main()
