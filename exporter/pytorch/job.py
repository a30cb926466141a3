"""Start an export: a model that is known to run, its named signature, and tensors to capture it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from ..spec.artifact import Source
from ..spec.signature import Signature
from .evaluation import as_python, check_tensors, evaluating, unwrap
from .first_run import Trial, first_run
from .half import to_float16
from .made_cases import MadeCases
from .outputs import name_outputs
from .request import Example, ExportRequest, Progress
from .samples import Case, check_ranges, traced_sizes

Array = NDArray[np.generic]


@dataclass(frozen=True)
class ExportJob:
    """A model in evaluation mode, with what the stages of an export need.

    `traced` are the sizes it is captured at, `tensors` the inputs it is captured with, and `example` what the caller
    gave, from which the inputs of the test cases are then cut; or `made` makes them. `carries_state` says that the
    model keeps something from call to call, in an attribute or buffer of its own. `original` is the float32 model,
    where this is that in float16. `least` are the least sizes that PyTorch runs it at, of those above 1.
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
    made: MadeCases | None = None
    notes: tuple[str, ...] = ()
    least: Mapping[str, int] = field(default_factory=dict)

    @property
    def trial(self) -> Trial:
        """The same model, to be run at other sizes."""
        return Trial(self.model, self.signature, self.example, self.made, self.seed)

    def inputs(self, case: Case) -> dict[str, Array]:
        """The inputs of an ordinary case.

        Raises:
            InputError: the caller's function does not make them.
        """
        return self.trial.inputs(case)


@contextmanager
def start_job(request: ExportRequest, *, precision: str | None, seed: int, progress: Progress) -> Iterator[ExportJob]:
    """Put the model in evaluation mode for a block, run it once, and name its outputs; every flag is restored.

    With a precision of "float16" the job's model is a copy in float16.

    Raises:
        SignatureError: the example does not fit the signature or its ranges, or the output names do not fit.
        LoadError: the model's forward raises, or is not deterministic, or a tensor of the model cannot be exported.
        CaptureError: the model returns something else than tensors.
    """
    request = replace(request, model=unwrap(request.model))
    check_tensors(request.model)
    original = None
    if precision is not None:
        original = replace(request, model=as_python(request.model))
        request = to_float16(original)
    with evaluating(request.model) as notes:
        job = prepare(request, seed=seed, progress=progress, original=original)
        yield replace(job, notes=(*notes, *_warnings(job)))


def prepare(
    request: ExportRequest, *, seed: int, progress: Progress, original: ExportRequest | None = None
) -> ExportJob:
    """Run the model, in evaluation mode, once on what it will be captured with; the errors are those of `start_job`."""
    progress("check", 0, 1)
    model, signature = request.model, request.signature
    if request.example is not None and request.made is not None:
        raise InputError("`example` and `cases` both say what goes in. Give one or the other.")
    arrays = None if request.example is None else _arrays(signature, request.example)
    small = traced_sizes(signature, arrays)
    if request.made is not None:
        small = request.made.reachable(small)
    if arrays is not None:
        check_ranges(signature, arrays)
    ran = first_run(Trial(model, signature, arrays, request.made, seed), small)
    named = name_outputs(model, ran.output, signature)
    return ExportJob(
        model,
        named,
        ran.sizes,
        ran.tensors,
        arrays,
        request.source,
        seed,
        progress,
        ran.carries_state,
        original,
        request.made,
        least=ran.least,
    )


def _arrays(signature: Signature, example: Example) -> dict[str, Array]:
    example = [example] if isinstance(example, Tensor | np.ndarray) else example
    named = example if isinstance(example, Mapping) else dict(zip(signature.inputs, example, strict=False))
    return {name: np.asarray(value.detach() if isinstance(value, Tensor) else value) for name, value in named.items()}


def _warnings(job: ExportJob) -> list[str]:
    """What the user should know about the model before it is exported."""
    bad = _not_finite(job.model)
    broken = bad if job.original is None else _not_finite(job.original.model)
    warnings = [f"{name} of the model holds NaN or infinity. Was the training broken off?" for name in broken]
    warnings += [f"{name} holds numbers that are too large for float16." for name in bad if name not in broken]
    flat = [name for name, array in (job.example or {}).items() if _is_flat(job.signature, name, array)]
    if flat:
        warnings.append(
            f"The example's {_listed(flat)} the same value everywhere, so that cases cut from it show little, "
            "and random ones stand beside them. Give one with values as they occur."
        )
    if job.carries_state:
        warnings.append(
            "The model keeps a state from call to call, which an exported one does not: each of its calls starts from "
            "the model as it is now. Export it with `stateful=True`, or take the state as an input and return it."
        )
    return warnings


def _is_flat(signature: Signature, name: str, array: Array) -> bool:
    """Whether a float input holds one value alone; a single number has to, and a state begins so."""
    spec = signature.inputs.get(name)
    if spec is None or not spec.is_float or not spec.shape or name in signature.states:
        return False
    return bool((array == array.reshape(-1)[0]).all())


def _listed(names: Sequence[str]) -> str:
    *others, last = (f"'{name}'" for name in names)
    return f"{', '.join(others)} and {last} hold" if others else f"{last} holds"


def _not_finite(model: nn.Module) -> list[str]:
    """Parameters that hold NaN or infinity, and buffers with NaN: infinity in one may be a mask."""
    parameters = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    return [*parameters, *(name for name, buffer in model.named_buffers() if buffer.isnan().any())]
