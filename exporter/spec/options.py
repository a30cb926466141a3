"""What can be asked of an export: one frozen object for each file format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from ..errors import InputError, did_you_mean
from .forms import Lowering, Target
from .precision import Precision, choose_precision

Method = Literal["auto", "script", "trace"]
Options = TypeVar("Options", "OnnxOptions", "TorchScriptOptions")


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """How to export a model to ONNX.

    Attributes:
        verify: compare with PyTorch before anything is written.
        opset: of the standard ONNX operators.
        stateful: make the hidden states of recurrent layers inputs and outputs, so that a stream can be fed in chunks.
        quantize: "int8" stores the weights of recurrent and linear layers so, with a scale per channel.
        precision: "float16" exports the model that `model.half()` makes, with float16 in and out.
        max_error: what either may cost, relative to each output's scale; None takes the bound of docs/precision.md.
        lowering: recurrent layers as ONNX's own operators, as `Scan`, or for each kind what is faster on the target.
        target: where the file is to run; it is verified on the CPU whatever the target.
        tune: sizes such as `{"T": 1, "N": 1}` to time the forms at on this machine, which then decides.
        seed: for the values of the test cases, 0 to 2**32 - 1.

    Raises:
        InputError: `quantize`, `precision` and `max_error` do not fit together.
    """

    verify: bool = True
    opset: int = 18
    stateful: bool = False
    quantize: str | None = None
    precision: str | None = None
    max_error: float | None = None
    lowering: Lowering = "auto"
    target: Target = "cpu"
    tune: Sequence[Mapping[str, int]] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        self.weights_precision()

    def weights_precision(self) -> Precision | None:
        """The precision of the file's weights; None for the model's own."""
        return choose_precision(self.quantize, self.precision, self.max_error)


@dataclass(frozen=True, kw_only=True)
class TorchScriptOptions:
    """How to export a model to TorchScript.

    Attributes:
        method: "script", "trace", or "auto": script, and where TorchScript cannot compile the model, trace.
        verify, precision, max_error, seed: as in `OnnxOptions`.
    """

    verify: bool = True
    method: Method = "auto"
    precision: str | None = None
    max_error: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.weights_precision()

    def weights_precision(self) -> Precision | None:
        """The precision of the file's weights; None for the model's own."""
        return choose_precision(None, self.precision, self.max_error)


def options_of(kind: type[Options], given: Options | None, named: Mapping[str, Any]) -> Options:
    """The options, given as an object or field by field.

    Raises:
        InputError: both are given, or a field is unknown.
    """
    if given is not None and named:
        raise InputError(f"Options are given as an object and by name ({', '.join(named)}). Give one or the other.")
    known = [field.name for field in fields(kind)]
    for name in named:
        if name not in known:
            near = did_you_mean(name, known)
            raise InputError(f"There is no option '{name}'.{near} Choose from {', '.join(known)}.")
    return kind(**named) if given is None else given
