"""`config.pbtxt` of Triton Inference Server: messages in protobuf's text format.

Fields are those of `ModelConfig` in Triton's `model_config.proto`, against which a test parses what is written here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
}


@dataclass(frozen=True)
class Word:
    """A value that is written without quotes: an enumerator, or true."""

    text: str


Message = tuple[tuple[str, "Value"], ...]
Value = str | int | Word | list[int] | Message


@dataclass(frozen=True)
class Tensor:
    """An input or an output; `dims` are without the batch dimension where there is one, -1 is any size."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def message(self) -> Message:
        fields: Message = (("name", self.name), ("data_type", Word(TYPES[self.dtype])))
        if self.dims:
            return (*fields, ("dims", list(self.dims)))
        # Triton has no tensors without dimensions: each sequence of a batch has one, which the model does not get.
        return (*fields, ("dims", [1]), ("reshape", (("shape", []),)))


@dataclass(frozen=True)
class CarriedState:
    """A state that Triton carries; `file` holds what a sequence begins with, and is empty where that is zero."""

    name: str
    output: str
    dtype: str
    dims: tuple[int, ...]
    file: str

    def message(self) -> Message:
        tensor: Message = (("data_type", Word(TYPES[self.dtype])), ("dims", list(self.dims)))
        begin: tuple[str, Value] = ("data_file", self.file) if self.file else ("zero_data", Word("true"))
        initial: Message = (("name", f"initial {self.name}"), *tensor, begin)
        return (("input_name", self.name), ("output_name", self.output), *tensor, ("initial_state", initial))


@dataclass(frozen=True)
class ModelConfig:
    """What Triton has to know of a model; with `states` its requests are parts of sequences."""

    name: str
    max_batch_size: int
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    states: Sequence[CarriedState]
    instances: int
    device: str

    def text(self) -> str:
        """The file."""
        scheduling: Message = ()
        if self.states:
            carried: Message = tuple(("state", state.message()) for state in self.states)
            scheduling = (("sequence_batching", (("direct", ()), *carried)),)
        elif self.max_batch_size:
            scheduling = (("dynamic_batching", ()),)
        group: Message = (("count", self.instances), ("kind", Word(f"KIND_{self.device.upper()}")))
        return _text(
            (
                ("name", self.name),
                ("backend", "onnxruntime"),
                ("max_batch_size", self.max_batch_size),
                *(("input", tensor.message()) for tensor in self.inputs),
                *(("output", tensor.message()) for tensor in self.outputs),
                *scheduling,
                ("instance_group", group),
            )
        )


def _text(message: Message, indent: str = "") -> str:
    return "".join(f"{indent}{field}{_value(value, indent)}\n" for field, value in message)


def _value(value: Value, indent: str) -> str:
    if isinstance(value, Word):
        return f": {value.text}"
    if isinstance(value, str | int):
        return f": {json.dumps(value)}"
    if isinstance(value, list):
        return f": [{', '.join(map(str, value))}]"
    if not value:
        return " {}"
    return f" {{\n{_text(value, indent + '  ')}{indent}}}"
