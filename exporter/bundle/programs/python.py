"""Programs in Python, with ONNX Runtime and with PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

from .call import Filled, ProgramSpec, text_of

_NAMES = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}


def onnxruntime_program(call: ProgramSpec) -> str:
    """A program that needs numpy and onnxruntime."""
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{call.file}")',
        "inputs = {",
        *(f'    "{name}": {_array(filled)},' for name, filled in call.inputs.items()),
        "}",
        f"names = {_quoted(call.outputs)}",
        *_runs(call),
    ]
    return "\n".join(lines) + "\n"


def torch_program(call: ProgramSpec) -> str:
    """A program that needs numpy and torch."""
    lines = [
        "import numpy as np",
        "import torch",
        "",
        f'model = torch.jit.load("{call.file}")',
        "outputs = model(",
        *(f"    torch.from_numpy({_array(filled)})," for filled in call.inputs.values()),
        ")",
        "print(outputs)",
    ]
    return "\n".join(lines) + "\n"


def _runs(call: ProgramSpec) -> list[str]:
    run = ["outputs = dict(zip(names, session.run(names, inputs)))", *map(_printed, call.outputs)]
    if not call.carried:
        return run
    carry = [f'inputs["{state}"] = outputs["{output}"]' for state, output in call.carried.items()]
    return ["for chunk in range(2):", *(f"    {line}" for line in [*run, *carry])]


def _printed(output: str) -> str:
    return f'print("{output}", outputs["{output}"].shape, outputs["{output}"].flat[0])'


def _quoted(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _array(filled: Filled) -> str:
    shape = f"({', '.join(map(str, filled.shape))}{',' if len(filled.shape) == 1 else ''})"
    values = text_of(filled.values, _NAMES)
    if values == "0":
        return f'np.zeros({shape}, "{filled.dtype}")'
    if len(filled.values) == 1:
        return f'np.full({shape}, {values}, "{filled.dtype}")'
    return f'np.resize(np.array([{values}], "{filled.dtype}"), {shape})'
