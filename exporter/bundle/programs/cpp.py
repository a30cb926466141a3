"""Programs in C++17, with ONNX Runtime, OpenVINO and LibTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .call import Filled, ProgramSpec, text_of

# The C++ type of an element, and what the runtimes call a tensor of it.
_ELEMENTS = {
    "float16": "Ort::Float16_t",
    "float32": "float",
    "float64": "double",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "bool",
}

_OPENVINO = {**_ELEMENTS, "float16": "ov::float16", "bool": "char"}

_OPENVINO_TYPES = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "boolean",
}

_TORCH_TYPES = {
    "float16": "kHalf",
    "float32": "kFloat",
    "float64": "kDouble",
    "int32": "kInt",
    "int64": "kLong",
    "bool": "kBool",
}

_NAMES = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}  # of <cmath>
_LEAST = {str(-(2**63)): "INT64_MIN"}
_WIDTH = 100

_ONNXRUNTIME_FILLED = """\
// A tensor that holds these values over and over.
template <typename T>
Ort::Value filled(const std::vector<int64_t>& shape, const std::vector<T>& values) {
  Ort::AllocatorWithDefaultOptions memory;
  auto tensor = Ort::Value::CreateTensor<T>(memory, shape.data(), shape.size());
  const auto size = tensor.GetTensorTypeAndShapeInfo().GetElementCount();
  for (size_t i = 0; i < size; ++i) tensor.template GetTensorMutableData<T>()[i] = values[i % values.size()];
  return tensor;
}
"""

_OPENVINO_FILLED = """\
// A tensor that holds these values over and over.
template <typename T>
ov::Tensor filled(const ov::element::Type& type, const ov::Shape& shape, const std::vector<T>& values) {
  ov::Tensor tensor(type, shape);
  for (size_t i = 0; i < tensor.get_size(); ++i) tensor.data<T>()[i] = values[i % values.size()];
  return tensor;
}
"""


def onnxruntime_program(call: ProgramSpec) -> str:
    """A program that needs ONNX Runtime's headers and library."""
    # States are moved out of the outputs.
    begin = f"{'auto' if call.carried else 'const auto'} outputs = session.Run("
    run = [
        f"{begin}Ort::RunOptions(), input_names, inputs, std::size(inputs), output_names,",
        f"{' ' * len(begin)}std::size(output_names));",
        *(_onnxruntime_printed(i, *output) for i, output in enumerate(call.outputs.items())),
    ]
    inputs, outputs = list(call.inputs), list(call.outputs)
    carry = [
        f"inputs[{inputs.index(state)}] = std::move(outputs[{outputs.index(output)}]);  // {state}"
        for state, output in call.carried.items()
    ]
    values = (_onnxruntime_filled(each) for each in call.inputs.values())
    body = [
        "Ort::Env env;",
        f'Ort::Session session(env, "{call.file}", Ort::SessionOptions());',
        *_array("const char* input_names[]", (f'"{name}"' for name in inputs)),
        *_array("const char* output_names[]", (f'"{name}"' for name in outputs)),
        *_array("Ort::Value inputs[]", values),
        *_runs(run, carry),
    ]
    return _program(["onnxruntime_cxx_api.h", "cmath", "iostream", "vector"], _ONNXRUNTIME_FILLED, body)


def openvino_program(call: ProgramSpec) -> str:
    """A program that needs OpenVINO; without the accuracy mode it computes in bfloat16 where the processor has it."""
    run = ["request.infer();", *(_openvino_printed(*output) for output in call.outputs.items())]
    carry = [
        f'request.get_tensor("{output}").copy_to(request.get_tensor("{state}"));'
        for state, output in call.carried.items()
    ]
    body = [
        "ov::Core core;",
        "const auto accuracy = ov::hint::execution_mode(ov::hint::ExecutionMode::ACCURACY);",
        f'auto request = core.compile_model("{call.file}", "CPU", accuracy).create_infer_request();',
        *(f'request.set_tensor("{name}", {_openvino_filled(each)});' for name, each in call.inputs.items()),
        *_runs(run, carry),
    ]
    return _program(["openvino/openvino.hpp", "cmath", "iostream", "vector"], _OPENVINO_FILLED, body)


def libtorch_program(call: ProgramSpec) -> str:
    """A program that needs LibTorch."""
    body = [
        "const c10::InferenceMode no_gradients;",
        f'auto model = torch::jit::load("{call.file}");',
        "const auto outputs = model.forward({",
        *(f"    {_torch_filled(each)}," for each in call.inputs.values()),
        "});",
        'std::cout << outputs << "\\n";',
    ]
    return _program(["torch/script.h", "cmath", "iostream"], "", body)


def _program(headers: Sequence[str], helper: str, body: Iterable[str]) -> str:
    main = "\n".join(["int main() {", *(f"  {line}" for line in body), "}"])
    used = [header for header in headers if header != "cmath" or any(name in main for name in _NAMES.values())]
    own, *standard = (f"#include <{header}>" for header in used)
    return "\n\n".join(part for part in (own, "\n".join(standard), helper.strip(), main) if part) + "\n"


def _array(declared: str, elements: Iterable[str]) -> Iterator[str]:
    elements = list(elements)
    line = f"{declared} = {{{', '.join(elements)}}};"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from (f"{declared} = {{", *(f"    {element}," for element in elements), "};")


def _runs(run: list[str], carry: list[str]) -> list[str]:
    """The lines once, or for two chunks, in between which states are carried."""
    if not carry:
        return run
    return ["for (int chunk = 0; chunk < 2; ++chunk) {", *(f"  {line}" for line in [*run, *carry]), "}"]


def _filled(filled: Filled, element: str) -> str:
    values = _numbers(filled)
    if filled.dtype == "float16":
        values = ", ".join(f"{element}(float({value}))" for value in values.split(", "))
    return f"{{{', '.join(map(str, filled.shape))}}}, {{{values}}}"


def _numbers(filled: Filled) -> str:
    """A float's digits are those of float32: as a double, the largest of them would be too large for it."""
    numbers = text_of(filled.values, {**_NAMES, **_LEAST})
    if filled.dtype == "float64":
        return numbers
    return ", ".join(f"{number}f" if set(number) & {".", "e"} else number for number in numbers.split(", "))


def _onnxruntime_filled(filled: Filled) -> str:
    element = _ELEMENTS[filled.dtype]
    return f"filled<{element}>({_filled(filled, element)})"


def _openvino_filled(filled: Filled) -> str:
    element = _OPENVINO[filled.dtype]
    return f"filled<{element}>(ov::element::{_OPENVINO_TYPES[filled.dtype]}, {_filled(filled, element)})"


def _torch_filled(filled: Filled) -> str:
    shape = ", ".join(map(str, filled.shape))
    return f"torch::full({{{shape}}}, {_numbers(filled)}, torch::{_TORCH_TYPES[filled.dtype]})"


def _onnxruntime_printed(i: int, output: str, dtype: str) -> str:
    value = f"outputs[{i}].GetTensorData<{_ELEMENTS[dtype]}>()[0]"
    value = f"{value}.ToFloat()" if dtype == "float16" else value
    return f'std::cout << "{output} " << {value} << "\\n";'


def _openvino_printed(output: str, dtype: str) -> str:
    value = f'request.get_tensor("{output}").data<{_OPENVINO[dtype]}>()[0]'
    value = f"int({value})" if dtype == "bool" else value
    return f'std::cout << "{output} " << {value} << "\\n";'
