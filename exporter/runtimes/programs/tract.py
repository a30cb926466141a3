"""tract as a program, through its Python package."""

from __future__ import annotations

from pathlib import Path

import tract

from .contract import Run, main


def load(model: Path) -> Run:
    runnable = tract.onnx().load(model).into_model().into_runnable()
    return lambda arrays: [tensor.to_numpy() for tensor in runnable.run(arrays)]


if __name__ == "__main__":
    main(load)
