"""Run an exported stream one time step at a time, and keep its states.

One step of a small model takes some tens of microseconds, so that what Python does around it counts: arrays are made
and bound once, in `buffers`, and a step copies its input in and its output out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, did_you_mean, first_line
from ..spec.signature import TensorSpec
from ..spec.streams import State
from .buffers import StepBuffers, guarded, make_buffers, refused
from .feeding import by_name, checked_chunk, describe, wrong_step
from .session import StepModel, open_step_model

Array = NDArray[Any]
Outputs = Array | dict[str, Array]
_NEXT: tuple[Literal[1], Literal[0]] = (1, 0)


class Stream:
    """A model that is fed one time step after another, or in chunks, and keeps its states in between.

    A step has no time dimension: where the model takes [T, N, I] or [N, T, I], a step takes [N, I]; where the model
    returns [T, N, H], [N, T, H] or [T*N, H], a step returns [N, H]. What has no time dimension, such as the logits of a
    classifier, is as the model has it. A model with one output returns an array, others a dictionary by name; outputs
    that are states are not returned, `states` has them. What is returned is the caller's own.

    A stream is for one thread at a time; streams that share a model through `another` may run in several.

    Args:
        bundle: a folder that `rnn-export onnx --stateful` wrote.
        sizes: of the dynamic dimensions but for the time, such as `{"N": 2}` for two sequences at once; else 1.
        options: session options for ONNX Runtime, in place of those for single steps.

    Raises:
        BundleError: it is not a bundle, was changed, or was exported without `--stateful`.
        InputError: a size is given for what is no dynamic dimension, or is no size.
    """

    _model: StepModel
    _buffers: StepBuffers
    _turn: Literal[0, 1]

    def __init__(
        self, bundle: str | Path, *, sizes: Mapping[str, int] | None = None, options: ort.SessionOptions | None = None
    ) -> None:
        self._begin(open_step_model(Path(bundle), options), sizes or {})

    def another(self, *, sizes: Mapping[str, int] | None = None) -> Stream:
        """A stream of its own, at its beginning, on the same loaded model: one for each user, say.

        Args:
            sizes: as above; those of this stream if not given.

        Raises:
            InputError: as above.
        """
        stream = Stream.__new__(Stream)
        stream._begin(self._model, self._buffers.sizes if sizes is None else sizes)
        return stream

    def step(self, *arrays: Array, **named: Array) -> Outputs:
        """Feed one time step; inputs in the model's order or by name.

        Raises:
            InputError: an input is missing, is no numpy array, or has another shape or dtype; or ONNX Runtime raises.
                The states are then as they were.
        """
        buffers, turn = self._buffers, self._turn
        if named or len(arrays) != len(buffers.slots):
            arrays = self._in_order(arrays, named)
        for x, slot in zip(arrays, buffers.slots, strict=True):
            if not isinstance(x, np.ndarray) or x.shape != slot.shape or x.dtype != slot.dtype:
                raise wrong_step(slot.name, x, self._model.inputs[slot.name], buffers.sizes, self._model.spec)
            slot.array[...] = x
        if self._model.spec.grows:
            return self._grown_step()
        # Written out, here and below, where `run` calls functions: a step takes but a few microseconds.
        try:
            self._model.session.run_with_iobinding(buffers.bindings[turn])
        except Exception as error:  # onnxruntime raises classes of its own that have no common base
            raise refused(error) from error
        self._turn = _NEXT[turn]
        results = buffers.results[turn]
        if len(results) == 1:
            return next(iter(results.values())).copy()
        return {name: result.copy() for name, result in results.items()}

    def run(self, *arrays: Array, **named: Array) -> Outputs:
        """Feed a chunk of any number of time steps; inputs and outputs are shaped as the model has them.

        Raises:
            InputError: as for `step`; also where inputs differ in length.
        """
        given = checked_chunk(self._model, by_name(self._model, arrays, named), self._buffers.sizes)
        names = [*dict.fromkeys([*self._model.outputs, *(state.output for state in self._model.states)])]
        outputs = dict(zip(names, guarded(self._model.chunks.run, names, {**given, **self._current}), strict=True))
        self._carry(outputs)
        return _returned({name: outputs[name] for name in self._model.outputs})

    def _grown_step(self) -> Outputs:
        """The step that was put in the slots, where a state is longer after it: there is no array to bind."""
        buffers, names = self._buffers, [*self._model.outputs, *(state.output for state in self._model.states)]
        fed = {slot.name: slot.array for slot in buffers.slots}
        whole = {
            name: array.reshape(self._model.inputs[name].sized({**buffers.sizes, **self.time_of_a_step}))
            for name, array in fed.items()
        }
        got = dict(zip(names, guarded(self._model.session.run, names, {**whole, **self._current}), strict=True))
        self._carry(got)
        return _returned({name: got[name].squeeze(axes) for name, axes in self._model.outputs.items()})

    def _carry(self, outputs: Mapping[str, Array]) -> None:
        for state in self._model.states:
            if state.grows:
                self._current[state.name] = outputs[state.output]
            else:
                self._current[state.name][...] = outputs[state.output]

    @property
    def multiple(self) -> int:
        """Of how many steps a chunk is a multiple; if of more than 1, `step` takes so many, with the time dimension."""
        return self._model.spec.multiple

    @property
    def time_of_a_step(self) -> dict[str, int]:
        """How many time steps `step` takes, by the dimension's name."""
        time = self._model.time
        return {} if time is None else {time: self.multiple}

    @property
    def delays(self) -> dict[str, int]:
        """How many elements of each output, along the time, mean nothing yet, at the beginning of a stream."""
        return {name: self._model.spec.delay(name) for name in self._model.outputs}

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the dynamic dimensions but for the time."""
        return dict(self._buffers.sizes)

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """What a step takes, by name: the model's inputs without the time and without states."""
        time = self._model.time
        if self.multiple > 1:
            return dict(self._model.inputs)
        return {
            name: replace(spec, shape=tuple(dim for dim in spec.shape if dim != time))
            for name, spec in self._model.inputs.items()
        }

    @property
    def states(self) -> dict[str, Array]:
        """Copies of all states by the names of their inputs, such as `rnn.0.h0`; assign them to go back there.

        Raises:
            InputError: on assignment, where one is missing, or has another shape or dtype.
        """
        return {name: state.copy() for name, state in self._current.items()}

    @states.setter
    def states(self, values: Mapping[str, Array]) -> None:
        current = self._current
        if values.keys() != current.keys():
            raise InputError(f"The states are {', '.join(current)}, not {', '.join(values) or 'none'}. Give them all.")
        for state in self._model.states:
            if not _fits(state, values[state.name], current[state.name]):
                have = describe(current[state.name])
                raise InputError(f"State '{state.name}' is {have}, not {describe(values[state.name])}. Give it so.")
        self._carry({state.output: np.array(values[state.name]) for state in self._model.states})

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Go back to the beginning, with every sequence, or with some of a batch.

        Args:
            rows: a number, several, or a bool for each sequence.

        Raises:
            InputError: there is no such row, or no one dimension of all states that counts sequences.
        """
        if self._model.spec.grows:
            if rows is not None:
                raise InputError(
                    "Some states grow with every step, for all rows together. Reset all, or make `another`."
                )
            self._current.update({name: state.copy() for name, state in self._buffers.initial.items()})
            return
        axes = dict.fromkeys(self._buffers.initial, 0) if rows is None else self._batch_axes()
        chosen = slice(None) if rows is None else _indices(rows)
        for name, state in self._current.items():
            where = (*[slice(None)] * axes[name], chosen) if state.ndim else ()
            try:
                state[where] = self._buffers.initial[name][where]
            except IndexError as error:
                raise InputError(f"These are no rows of the batch ({first_line(error)}). Count from 0.") from error

    def _begin(self, model: StepModel, sizes: Mapping[str, int]) -> None:
        _check_sizes(model, sizes)
        self._model = model
        self._buffers = make_buffers(model, {**dict.fromkeys(model.symbols, 1), **sizes})
        self._turn = 0

    def _in_order(self, arrays: tuple[Array, ...], named: Mapping[str, Array]) -> tuple[Array, ...]:
        inputs = self._model.inputs
        given = named if named.keys() == inputs.keys() and not arrays else by_name(self._model, arrays, named)
        return tuple([given[name] for name in inputs])

    @property
    def _current(self) -> dict[str, Array]:
        return self._buffers.states[self._turn]

    def _batch_axes(self) -> dict[str, int]:
        dims = [{dim for dim in state.shape if isinstance(dim, str)} for state in self._model.states]
        shared = [*set.intersection(*dims)]
        if len(shared) != 1:
            raise InputError("The states have no one dynamic dimension in common whose rows are sequences. Reset all.")
        return {state.name: state.shape.index(shared[0]) for state in self._model.states}


def _check_sizes(model: StepModel, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if name == model.time:
            raise InputError(f"{name} is the time, of which a step has 1 and a chunk any number. Leave it out.")
        if name not in model.symbols:
            known = f"They are {', '.join(model.symbols)}." if model.symbols else "There is none beside the time."
            raise InputError(f"There is no dynamic dimension '{name}'.{did_you_mean(name, model.symbols)} {known}")
        if not isinstance(size, int | np.integer) or size < 1:
            raise InputError(f"The size of {name} is {size!r}. Give a whole number, 1 or more.")


def _fits(state: State, value: Any, current: Array) -> bool:
    """Whether a value is one that the state may have: as it is now, but for the length of what grows."""
    if not state.grows or not isinstance(value, np.ndarray):
        return describe(value) == describe(current)
    axis = state.shape.index(state.grows)
    shape = (*value.shape[:axis], *current.shape[axis : axis + 1], *value.shape[axis + 1 :])
    return value.dtype == current.dtype and shape == current.shape


def _returned(outputs: dict[str, Array]) -> Outputs:
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _indices(rows: ArrayLike) -> NDArray[Any]:
    """Rows as numpy indexes with them; an empty list is one of no numbers."""
    found = np.asarray(rows)
    return found if found.size else found.astype(np.intp)
