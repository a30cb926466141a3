"""Why a loop or a decision cannot be captured as one, each with what to do instead."""

from __future__ import annotations


class ControlFlowError(Exception):
    """A loop or decision that cannot be captured; the message goes on after the line that it is at."""

    remedy = ""


class StepsDifferError(ControlFlowError):
    """The steps of a loop cannot be one step with a symbolic number."""

    remedy = "Make all steps alike, or move what differs out of the loop."


class RaggedError(StepsDifferError):
    """The steps of a loop put tensors of different sizes in a list, or write them."""

    def __init__(self) -> None:
        super().__init__("a step puts a tensor in a list, or writes one, of another size than the step before")


class DifferentFormsError(ControlFlowError):
    """Two values of which one takes the other's place are not of one structure, shape and dtype."""

    remedy = "Give it the same structure, shape and dtype every time, such as zeros where it is None."


class UnrolledError(ControlFlowError, TypeError):
    """A loop or a list of unknown length is used where Python needs to know every item."""

    remedy = "Use tensor operations there, or give the size as a number in the input."


class RecursionBySizeError(ControlFlowError):
    """A function calls itself as often as a size says."""

    remedy = "Write the recursion as a loop, such as one over offsets that double, or as cumulative sums."

    def __init__(self) -> None:
        super().__init__("a function calls itself as often as a size says")


class WriteToViewError(ControlFlowError):
    """A step or a branch writes to a part of a tensor through another tensor."""

    remedy = "Write to the tensor itself, as in out[:, t] = h."

    def __init__(self) -> None:
        super().__init__("it writes to a tensor through a view of it")
