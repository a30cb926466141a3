"""OpenVINO as a program, through its Python API, on its CPU device."""

from __future__ import annotations

from pathlib import Path

import openvino

from .contract import Run, main

# Float32 like the reference: on some processors OpenVINO would take bfloat16.
_PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32"}


def load(model: Path) -> Run:
    compiled = openvino.Core().compile_model(str(model), "CPU", _PROPERTIES)
    return lambda arrays: list(compiled(arrays).values())


if __name__ == "__main__":
    main(load)
