"""`config.pbtxt` of Triton Inference Server: a `ModelConfig` in protobuf's text format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.text_format import MessageToString

from .triton_messages import model_config

TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
}


@dataclass(frozen=True)
class Tensor:
    """An input or an output; `dims` are without the batch dimension where there is one, -1 is any size."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def fields(self) -> dict[str, Any]:
        tensor = {"name": self.name, "data_type": TYPES[self.dtype]}
        if self.dims:
            return {**tensor, "dims": self.dims}
        # Triton has no tensors without dimensions: each sequence of a batch has one, which the model does not get.
        return {**tensor, "dims": [1], "reshape": {}}


@dataclass(frozen=True)
class CarriedState:
    """A state that Triton carries; `file` holds what a sequence begins with, and is empty where that is zero."""

    name: str
    output: str
    dtype: str
    dims: tuple[int, ...]
    file: str

    def fields(self) -> dict[str, Any]:
        tensor = {"data_type": TYPES[self.dtype], "dims": self.dims}
        begin = {"data_file": self.file} if self.file else {"zero_data": True}
        initial = {"name": f"initial {self.name}", **tensor, **begin}
        return {"input_name": self.name, "output_name": self.output, **tensor, "initial_state": [initial]}


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
        fields = {
            "name": self.name,
            "backend": "onnxruntime",
            "max_batch_size": self.max_batch_size,
            "input": [tensor.fields() for tensor in self.inputs],
            "output": [tensor.fields() for tensor in self.outputs],
            "instance_group": [{"count": self.instances, "kind": f"KIND_{self.device.upper()}"}],
        }
        config = ParseDict({**fields, **self._scheduling()}, model_config())
        text: str = MessageToString(config, use_index_order=True, use_short_repeated_primitives=True)
        return text

    def _scheduling(self) -> dict[str, Any]:
        if self.states:
            return {"sequence_batching": {"direct": {}, "state": [state.fields() for state in self.states]}}
        return {"dynamic_batching": {}} if self.max_batch_size else {}
