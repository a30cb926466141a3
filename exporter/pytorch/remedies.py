"""Say what to do about an error of a model's forward, by what PyTorch says of it and where it was raised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import FrameType

from torch import Tensor, nn

from ..errors import did_you_mean
from .embedding_rows import says_rows
from .state_sizes import remedy_of_state, says_of_a_state


def remedy(error: BaseException, model: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """What to do about an error that the model's forward raised for these inputs."""
    if isinstance(error, AttributeError) and isinstance(error.obj, nn.Module) and error.name:
        return _of_missing(error.obj, error.name, "self" if error.obj is model else type(error.obj).__name__)
    if isinstance(error, ImportError):
        return "Install it, or import it at the top of the file, where the file's own folder is searched too."
    message = str(error)
    if _takes_two_states(error, message):
        return "An nn.LSTM or LSTMCell takes its two states as a tuple: give (h0, c0)."
    if says_of_a_state(message):
        return remedy_of_state(message, tensors)
    if rows := says_rows(error, model, tensors):
        return f"{rows}."
    return next(
        (found for said, found in _REMEDIES.items() if re.search(said, message)),
        "Describe its inputs as they are: order, dtypes, dimensions, and for integers their range.",
    )


def _of_missing(module: nn.Module, name: str, called: str) -> str:
    """What is read of a module and is not there: another spelling of what is, or what a layer in it has."""
    registered = (module.named_children(), module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    known = [*vars(module), *(each for named in registered for each, _ in named)]
    if near := did_you_mean(name, [each for each in known if not each.startswith("_")]):
        return f"Nothing sets {called}.{name}.{near}"
    place = f"Set {called}.{name} in __init__ of {type(module).__name__}"
    layer = next((path for path, layer in module.named_modules() if path and hasattr(layer, name)), "")
    return f"{place}, or read {called}.{layer}.{name}." if layer else f"{place}."


def _takes_two_states(error: BaseException, message: str) -> bool:
    """Whether an LSTM was given one tensor for its two states."""
    if "must be tuple of Tensors, not Tensor" in message:
        return True
    return any(
        frame.f_code.co_name == "forward"
        and isinstance(frame.f_locals.get("self"), (nn.LSTM, nn.LSTMCell))
        and isinstance(frame.f_locals.get("hx"), Tensor)
        for frame in _frames(error)
    )


def _frames(error: BaseException) -> Iterator[FrameType]:
    traced = error.__traceback__
    while traced is not None:
        yield traced.tb_frame
        traced = traced.tb_next


_DTYPES = (
    "Where forward makes a tensor, make it like an input, such as x.new_zeros(...), or describe the inputs in the "
    "dtype of the weights."
)
_DEVICES = (
    "The export runs where the model and its inputs are, on the CPU: leave out .cuda() and device='cuda', and make a "
    "tensor where an input is, such as x.new_zeros(...) or torch.zeros(..., device=x.device)."
)
_FEATURES = (
    "What a layer is given has to have as many features as the layer was built for: a recurrent layer of "
    "two directions gives twice its hidden_size, and an input is described with the size that the first layer takes."
)
_WHOLE_NUMBERS = (
    "Describe the range of the whole numbers as the model takes them, such as 'int64[N, T] in 0..9' for an embedding "
    "or a one-hot encoding of 10."
)

# By what PyTorch says, as a regular expression.
_REMEDIES = {
    "must be sorted in decreasing order": "Describe the lengths as 'int64[N] in 1..T descending', or let "
    "pack_padded_sequence sort them with enforce_sorted=False.",
    "greater than 0, but found an element in 'lengths'": "Describe the lengths as whole numbers of at least 1, such as "
    "'int64[N] in 1..T'.",
    "argument should be a 1D CPU int64 tensor": "Give pack_padded_sequence lengths.cpu(), of dimensions [N].",
    "does not match weight dtype": f"One-hot characters are whole numbers until .float() is called on them. {_DTYPES}",
    "must have the same dtype|not the same dtype|expected scalar type|expected m1 and m2": _DTYPES,
    "on the same device|at the same device|on the expected device|not compiled with CUDA|NVIDIA driver": _DEVICES,
    "mat1 and mat2 shapes cannot be multiplied|must be equal to input_size|inconsistent input_size": _FEATURES,
    "Class values must be smaller|index out of range in self": _WHOLE_NUMBERS,
    "'tuple'|not tuple": "A recurrent layer returns a tuple: take it apart, as in output, h_n = self.rnn(x), or "
    "output, (h_n, c_n) = self.rnn(x) of an nn.LSTM.",
    "is invalid for input of size": "Write no number of steps or of sequences into a shape: take it from the tensor, "
    "such as output.size(0), or write -1.",
}
