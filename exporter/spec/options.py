"""What can be asked of an export: one frozen object for each file format, and the precision of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, TypeVar, get_args

from msgspec import Meta, Struct

from ..errors import InputError, did_you_mean, type_in_words
from .added_metadata import check_added
from .forms import LOWERINGS, TARGETS, Lowering, Target
from .option_values import check_choice, check_flag, check_list, check_number, check_seed, check_whole
from .state_names import check_template

# The error that each kind of weights may cause, relative to an output's scale (see docs/internals/precision.md).
BOUNDS: Mapping[str, float] = {"int8": 0.09, "float16": 0.004}

# What a user's own bound may be, and how much of it counts: beyond half of what there is, nothing would be compared.
LARGEST_BOUND = 1.0
LARGEST_ALLOWANCE = 0.5


class OutputError(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest errors of an output over the cases without NaN or infinity."""

    max: Annotated[float, Meta(description="Against the reference, absolute.")]
    relative: Annotated[float, Meta(description="Against the reference, relative to the output's scale.")]
    vs_eager: Annotated[float, Meta(description="Against PyTorch in the model's own precision.")]


class Precision(Struct, frozen=True, forbid_unknown_fields=True):
    """Reduced-precision weights, the bound on each output's error relative to its scale, and the errors if measured.

    int8 weights are judged by the float32 model. A float16 file is judged as what it is, a float16 model, at the limits
    of one; the bound is for what that costs beside the float32 model.
    """

    weights: Literal["int8", "float16"]
    bound: Annotated[float, Meta(gt=0, le=LARGEST_BOUND)]
    error: Mapping[str, OutputError] | None

    @property
    def allowance(self) -> float:
        """What parity allows for reduced-precision weights, relative to an output's scale."""
        return min(self.bound, LARGEST_ALLOWANCE) if self.weights == "int8" else 0.0

    def notes(self, reference: str) -> list[str]:
        """What the weights cost each output, in sentences; `reference` is what the errors are measured from."""
        return [
            f"{self.weights} weights: {output} is off from {reference} by at most {error.relative:.1e} of its scale "
            f"(allowed {self.bound:.1e}), and {error.vs_eager:.1e} apart from PyTorch in float32."
            for output, error in (self.error or {}).items()
        ]


# Values of cases that the bound does not hold for (see docs/internals/precision.md).
UNBOUNDED = ("saturating", "infinite", "nan")


def choose_precision(quantize: str | None, precision: str | None, max_error: float | None) -> Precision | None:
    """What was asked for; None for the model's own precision.

    Raises:
        InputError: there is no such kind of weights, or two are asked for, or the bound is not a number above 0, or
            nothing is bounded by it.
    """
    if quantize is not None and precision is not None:
        raise InputError(f"Weights cannot be {quantize} and {precision} at once. Leave out `quantize` or `precision`.")
    if quantize not in (None, "int8"):
        near = did_you_mean(str(quantize), ["int8"])
        raise InputError(f"There is no quantization '{quantize}'.{near} Choose from int8.")
    if precision == "bfloat16":
        raise InputError(
            "ONNX Runtime has no RNN, GRU or LSTM with bfloat16, and its Python interface takes no such inputs. "
            "Choose float16."
        )
    if precision == "int8":
        raise InputError('int8 is for weights alone: `quantize="int8"`.')
    if precision not in (None, "float16"):
        near = did_you_mean(str(precision), ["float16"])
        raise InputError(f"There is no precision '{precision}'.{near} Choose from float16.")
    if quantize is None and precision is None:
        if max_error is not None:
            raise InputError(
                "`max_error` bounds what reduced-precision weights cost, and there are none. "
                'Give `precision="float16"` too, or for ONNX `quantize="int8"`.'
            )
        return None
    if max_error is not None:
        check_number("max_error", max_error)
    if max_error is not None and not (math.isfinite(max_error) and max_error > 0):
        raise InputError(f"A largest error of {max_error} cannot be used. Give a number above 0, such as 0.01.")
    if max_error is not None and max_error > LARGEST_BOUND:
        raise InputError(
            f"A largest error of {max_error:g} is more than the outputs themselves. Give a number such as 0.01; "
            f"more than {LARGEST_ALLOWANCE:g} counts as {LARGEST_ALLOWANCE:g}."
        )
    weights: Literal["int8", "float16"] = "int8" if quantize is not None else "float16"
    return Precision(weights, BOUNDS[weights] if max_error is None else max_error, None)


Method = Literal["auto", "script", "trace"]

# Other words for targets.
_MEANT: Mapping[str, Target] = {"gpu": "cuda", "nvidia": "cuda", "browser": "web"}

# What an export fails for, unless the caller accepts it by this name.
Finding = Literal["unverified", "fixed-decision"]
FINDINGS: tuple[Finding, ...] = get_args(Finding)
METHODS: tuple[Method, ...] = get_args(Method)
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
        max_error: what either may cost, relative to each output's scale, at most 1, of which 0.5 counts; None takes
            the bound of docs/how-to/int8-float16.md.
        lowering: recurrent layers as ONNX's own operators ("native"), as "scan", or for each kind what is faster on the
            target; "contrib" and "standard" are for linear attention, as ONNX Runtime's operator or ONNX's own.
        target: where the file is to run; it is verified on the CPU whatever the target.
        tune: sizes such as `{"T": 1, "N": 1}` to time the forms at on this machine, which then decides.
        seed: for the values of the test cases, 0 to 2**32 - 1.
        accept: findings that are not to fail the export: "unverified", that no case shows whether the file is right,
            and "fixed-decision", that a trace took one branch for all inputs. The manifest records them.
        metadata: entries for the file's metadata, such as those that another program reads there.
        state_names: what to call the states of a stateful file: a template such as "h{layer}", or
            "past.{layer}.{kind}=present.{layer}.{kind}" with a name for what comes out (see `spec.state_names`).

    Raises:
        InputError: a value is of another kind or not known, there is no such finding, or `quantize`, `precision` and
            `max_error`, or `stateful` and `state_names`, do not fit together.
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
    accept: Sequence[Finding] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    state_names: str | None = None

    def __post_init__(self) -> None:
        check_flag("verify", self.verify)
        check_whole("opset", self.opset)
        check_flag("stateful", self.stateful)
        check_choice("lowering", self.lowering, LOWERINGS)
        check_choice("target", self.target, TARGETS, _MEANT)
        check_seed(self.seed)
        self.weights_precision()
        check_accepted(self.accept)
        check_added(self.metadata)
        if self.state_names is not None:
            check_template(self.state_names)
            if not self.stateful:
                raise InputError("`state_names` names the states that `stateful=True` finds. Give both.")

    def weights_precision(self) -> Precision | None:
        """The precision of the file's weights; None for the model's own."""
        return choose_precision(self.quantize, self.precision, self.max_error)


@dataclass(frozen=True, kw_only=True)
class TorchScriptOptions:
    """How to export a model to TorchScript.

    Attributes:
        method: "script", "trace", or "auto": script, and where TorchScript cannot compile the model, trace.
        stateful: for streams: the file keeps its states in buffers, `forward` goes on where the call before ended, and
            `reset` begins anew. Its step is traced.
        verify, precision, max_error, seed, accept: as in `OnnxOptions`.
    """

    verify: bool = True
    method: Method = "auto"
    stateful: bool = False
    precision: str | None = None
    max_error: float | None = None
    seed: int = 0
    accept: Sequence[Finding] = ()

    def __post_init__(self) -> None:
        check_flag("verify", self.verify)
        check_choice("method", self.method, METHODS)
        check_flag("stateful", self.stateful)
        if self.stateful and self.method == "script":
            raise InputError("The step of a stream is traced. Leave out `method`, or `stateful`.")
        check_seed(self.seed)
        self.weights_precision()
        check_accepted(self.accept)

    def weights_precision(self) -> Precision | None:
        """The precision of the file's weights; None for the model's own."""
        return choose_precision(None, self.precision, self.max_error)


def check_accepted(accept: Sequence[str]) -> None:
    """Check the names of findings.

    Raises:
        InputError: one is unknown, or they are given as text instead of a list of texts.
    """
    check_list("accept", accept)
    for name in accept:
        if name not in FINDINGS:
            near = did_you_mean(name, FINDINGS)
            raise InputError(f"`accept` cannot be '{name}'.{near} Give a list of {' and '.join(FINDINGS)}.")


def options_of(kind: type[Options], given: Options | None, named: Mapping[str, Any]) -> Options:
    """The options, given as an object or field by field.

    Raises:
        InputError: both are given, or a field is unknown.
    """
    if given is not None and named:
        raise InputError(f"Options are given as an object and by name ({', '.join(named)}). Give one or the other.")
    if given is not None and not isinstance(given, kind):
        raise InputError(f"Options are {type_in_words(given)}. Give a {kind.__name__}, or its fields by name.")
    known = [each.name for each in fields(kind)]
    for name in named:
        if name not in known:
            near = did_you_mean(name, known)
            raise InputError(f"There is no option '{name}'.{near} Choose from {', '.join(known)}.")
    return kind(**named) if given is None else given
