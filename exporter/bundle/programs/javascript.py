"""A program in JavaScript, with ONNX Runtime, for Node and for the browser."""

from __future__ import annotations

import numpy as np

from .call import Filled, ProgramSpec, text_of

_ARRAYS = {
    "float16": "Uint16Array",  # of bits, for JavaScript's own Float16Array is not everywhere
    "float32": "Float32Array",
    "float64": "Float64Array",
    "int32": "Int32Array",
    "int64": "BigInt64Array",
    "bool": "Uint8Array",
}

_NAMES = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def onnxruntime_program(call: ProgramSpec) -> str:
    """A module that needs onnxruntime-node or onnxruntime-web."""
    lines = [
        'import * as ort from "onnxruntime-node"; // in a browser: "onnxruntime-web/wasm"',
        "",
        "// A tensor that holds these values over and over.",
        "const filled = (type, Data, dims, values) => {",
        "  const length = dims.reduce((count, dim) => count * dim, 1);",
        "  return new ort.Tensor(type, Data.from({ length }, (_, i) => values[i % values.length]), dims);",
        "};",
        f"const session = await ort.InferenceSession.create({_opened(call)});",
        "const inputs = {",
        *(f'  "{name}": {_tensor(filled)},' for name, filled in call.inputs.items()),
        "};",
        *_runs(call),
    ]
    return "\n".join(lines) + "\n"


def _opened(call: ProgramSpec) -> str:
    if call.beside is None:
        return f'"{call.file}"'
    return f'"{call.file}", {{ externalData: [{{ path: "{call.beside}", data: "{call.beside}" }}] }}'


def _runs(call: ProgramSpec) -> list[str]:
    run = ["const outputs = await session.run(inputs);", *(_printed(*output) for output in call.outputs.items())]
    if not call.carried:
        return run
    carry = [f'inputs["{state}"] = outputs["{output}"];' for state, output in call.carried.items()]
    return ["for (let chunk = 0; chunk < 2; chunk++) {", *(f"  {line}" for line in [*run, *carry]), "}"]


def _printed(output: str, dtype: str) -> str:
    if dtype == "float16":
        return f'console.log("{output}", outputs["{output}"].dims); // its data are the bits of float16'
    return f'console.log("{output}", outputs["{output}"].dims, outputs["{output}"].data[0]);'


def _tensor(filled: Filled) -> str:
    values = filled.values
    if filled.dtype == "float16":
        values = tuple(int(bits) for bits in np.array(values, np.float16).view(np.uint16))
    text = text_of(values, _NAMES)
    if filled.dtype == "int64":
        text = ", ".join(f"{value}n" for value in text.split(", "))
    dims = ", ".join(map(str, filled.shape))
    return f'filled("{filled.dtype}", {_ARRAYS[filled.dtype]}, [{dims}], [{text}])'
