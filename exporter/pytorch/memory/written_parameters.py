"""Parameters that forward itself writes to, as buffers: these a model may keep from call to call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ...errors import CaptureError
from ...spec.streams import cannot_stream
from ..first_run import Trial
from ..run import preserve_module_state, run_on, writable_parameters
from .places import Place, copied, same
from .watching import CALLS, watch


def hold_written_parameters(trial: Trial, sizes: Mapping[str, int]) -> None:
    """Turn the parameters of a trial's model, which is a copy, to which its forward writes into buffers.

    Raises:
        CaptureError: then it computes something else, since it finds them otherwise than by their names.
    """
    names, replaced = _written(trial, sizes)
    if replaced:
        raise _refused(replaced)
    if not names:
        return
    expected = watch(trial, sizes)
    buffers: dict[int, Tensor] = {}
    for name in names:
        path, attribute = _split(name)
        module = trial.model.get_submodule(path)
        parameter = module.get_parameter(attribute)
        held = buffers.setdefault(id(parameter), parameter.detach().clone())
        delattr(module, attribute)
        module.register_buffer(attribute, held)
    got = watch(trial, sizes)
    pairs = zip(expected.calls, got.calls, strict=True)
    if not all(same(*outputs) for one, other in pairs for outputs in zip(one.outputs, other.outputs, strict=True)):
        raise _refused(names)


def _refused(names: Sequence[str]) -> CaptureError:
    written = " and ".join(str(Place(*_split(name))) for name in names)
    return cannot_stream(
        f"forward writes to the parameter {written}. Keep what it writes in a buffer, by register_buffer."
    )


def _split(name: str) -> tuple[str, str]:
    path, _, attribute = name.rpartition(".")
    return path, attribute


def _written(trial: Trial, sizes: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The names of the parameters that a few calls change, and of those in whose place they put others.

    What `max_norm` makes smaller is no memory.
    """
    model = copied(trial.model)
    bounded = {id(each) for part in model.modules() if _is_bounded(part) for each in part.parameters(recurse=False)}
    writable = {id(each) for each in writable_parameters(model)} - bounded
    watched = [(n, each) for n, each in model.named_parameters(remove_duplicate=False) if id(each) in writable]
    before = {id(each): each.detach().clone() for _, each in watched}
    with preserve_module_state(model):
        for k in range(CALLS):
            run_on(model, trial.tensors(sizes, k))
        now = dict(model.named_parameters(remove_duplicate=False))
        replaced = [name for name, each in watched if now.get(name) is not each]
        return [name for name, each in watched if not same(each.detach(), before[id(each)])], replaced


def _is_bounded(module: nn.Module) -> bool:
    return getattr(module, "max_norm", None) is not None
