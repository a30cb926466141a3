"""`config.pbtxt` of Triton Inference Server: a `ModelConfig` in protobuf's text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.text_format import MessageToString

_PACKAGE = "inference"
_FILE = "rnn_export/model_config.proto"

# Field, number and type, in the order in which they are written; [] is for repeated ones.
_MESSAGES: Mapping[str, Sequence[tuple[str, int, str]]] = {
    "ModelTensorReshape": [("shape", 1, "int64[]")],
    "ModelInput": [
        ("name", 1, "string"),
        ("data_type", 2, "DataType"),
        ("dims", 4, "int64[]"),
        ("reshape", 5, "ModelTensorReshape"),
    ],
    "ModelOutput": [
        ("name", 1, "string"),
        ("data_type", 2, "DataType"),
        ("dims", 3, "int64[]"),
        ("reshape", 5, "ModelTensorReshape"),
    ],
    "InitialState": [
        ("name", 5, "string"),
        ("data_type", 1, "DataType"),
        ("dims", 2, "int64[]"),
        ("zero_data", 3, "bool"),
        ("data_file", 4, "string"),
    ],
    "State": [
        ("input_name", 1, "string"),
        ("output_name", 2, "string"),
        ("data_type", 3, "DataType"),
        ("dims", 4, "int64[]"),
        ("initial_state", 5, "InitialState[]"),
    ],
    "StrategyDirect": [],
    "ModelSequenceBatching": [("direct", 3, "StrategyDirect"), ("state", 5, "State[]")],
    "ModelDynamicBatching": [],
    "ModelInstanceGroup": [("count", 2, "int32"), ("kind", 4, "Kind")],
    "ModelConfig": [
        ("name", 1, "string"),
        ("backend", 17, "string"),
        ("max_batch_size", 4, "int32"),
        ("input", 5, "ModelInput[]"),
        ("output", 6, "ModelOutput[]"),
        ("dynamic_batching", 11, "ModelDynamicBatching"),
        ("sequence_batching", 13, "ModelSequenceBatching"),
        ("instance_group", 7, "ModelInstanceGroup[]"),
    ],
}

_ENUMS: Mapping[str, Mapping[str, int]] = {
    "DataType": {
        "TYPE_INVALID": 0,
        "TYPE_BOOL": 1,
        "TYPE_INT32": 8,
        "TYPE_INT64": 9,
        "TYPE_FP16": 10,
        "TYPE_FP32": 11,
        "TYPE_FP64": 12,
    },
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2},
}


def model_config() -> Any:
    """An empty `ModelConfig`. Its fields know whether they were set, so that a batch size of 0 is written too."""
    pool = DescriptorPool()
    pool.Add(
        FileDescriptorProto(
            name=_FILE,
            package=_PACKAGE,
            message_type=[
                DescriptorProto(name=name, field=[_field(*each) for each in fields])
                for name, fields in _MESSAGES.items()
            ],
            enum_type=[_enum(name, values) for name, values in _ENUMS.items()],
        )
    )
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelConfig"))()


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    kind, repeated, _ = kind.partition("[]")
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if kind in _MESSAGES or kind in _ENUMS:  # which of the two, the pool finds out
        return FieldDescriptorProto(name=name, number=number, label=label, type_name=f".{_PACKAGE}.{kind}")
    scalar = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    return FieldDescriptorProto(name=name, number=number, label=label, type=scalar)


def _enum(name: str, values: Mapping[str, int]) -> EnumDescriptorProto:
    enum = EnumDescriptorProto(name=name)
    for value, number in values.items():
        enum.value.add(name=value, number=number)
    return enum


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
