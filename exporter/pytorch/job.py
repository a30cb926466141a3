"""What both kinds of export start from: a model that is known to run, its named signature, and real tensors for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import LoadError
from ..spec.signature import Signature
from ..spec.source import Source
from .evaluation import check_deterministic
from .outputs import name_outputs
from .samples import Case, check_ranges, make_inputs, traced_sizes

Array = NDArray[np.generic]
Example = Mapping[str, Tensor | Array] | Sequence[Tensor | Array]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported: a model, its inputs, real ones if there are any, and where the model came from."""

    model: nn.Module
    signature: Signature
    example: Example | None
    source: Source | None


@dataclass(frozen=True)
class ExportJob:
    """A model in evaluation mode, with what the stages of an export need.

    `traced` are the sizes it is captured at, `tensors` the inputs it is captured with, and `example` what the caller
    gave, from which the inputs of the test cases are then cut. `carries_state` says that the model keeps something from
    call to call, in an attribute or buffer of its own. `original` is what was given in float32, where this is that in
    float16.
    """

    model: nn.Module
    signature: Signature
    traced: Mapping[str, int]
    tensors: Mapping[str, Tensor]
    example: Mapping[str, Array] | None
    source: Source | None
    seed: int
    progress: Progress
    carries_state: bool = False
    original: ExportRequest | None = None


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def prepare(given: ExportRequest, *, seed: int, progress: Progress, original: ExportRequest | None = None) -> ExportJob:
    """Run the model, in evaluation mode, once on what it will be captured with, and name its outputs.

    Raises:
        SignatureError: the example does not fit the signature or its ranges, or the output names do not fit.
        LoadError: the model's forward raises, or answers at random.
        CaptureError: the model returns something else than tensors.
    """
    progress("check", 0, 1)
    model, signature = given.model, given.signature
    arrays = None if given.example is None else _arrays(signature, given.example)
    small = traced_sizes(signature, arrays)
    if arrays is not None:
        check_ranges(signature, arrays)
    try:
        traced, tensors, (output, carries_state) = _run_at(model, signature, small, arrays, seed)
    except LoadError as refused:
        if arrays is not None:
            raise
        # A model that pools its steps by eight cannot run five of them.
        try:
            large = traced_sizes(signature, large=True)
            traced, tensors, (output, carries_state) = _run_at(model, signature, large, None, seed)
        except LoadError:
            raise refused from refused.__cause__
    named = name_outputs(model, output, signature)
    return ExportJob(model, named, traced, tensors, arrays, given.source, seed, progress, carries_state, original)


def _run_at(
    model: nn.Module, signature: Signature, sizes: dict[str, int], arrays: dict[str, Array] | None, seed: int
) -> tuple[dict[str, int], dict[str, Tensor], tuple[Any, bool]]:
    inputs = make_inputs(signature, Case(sizes, "ordinary", seed), arrays)
    tensors = {name: torch.from_numpy(inputs[name].copy()) for name in signature.inputs}
    return sizes, tensors, check_deterministic(model, tensors)


def _arrays(signature: Signature, example: Example) -> dict[str, Array]:
    named = example if isinstance(example, Mapping) else dict(zip(signature.inputs, example, strict=False))
    return {name: np.asarray(value.detach() if isinstance(value, Tensor) else value) for name, value in named.items()}
