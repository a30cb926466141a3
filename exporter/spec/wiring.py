"""Read how a user says what feeds what: `"joiner.encoder": "encoder.out[:, t]"`, and find out what runs when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError, did_you_mean
from .pipeline import GIVEN, TOKEN, Frame, When

_SOURCE = re.compile(r"\s*(?P<name>[\w.]+)\s*(\[(?P<axes>[^\]]*)\])?\s*")
_FRAMES = {"t": False, "t:t+1": True}


@dataclass(frozen=True)
class Ends:
    """The inputs and outputs of a graph, and the outputs that its states are fed back from, by input."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    states: Mapping[str, str]


@dataclass(frozen=True)
class Wire:
    """What is fed: all of it, or one frame."""

    source: str
    frame: Frame | None


def read_wiring(wiring: Mapping[str, str], graphs: Mapping[str, Ends]) -> dict[str, dict[str, Wire | None]]:
    """What feeds each input of each graph; None for a state that begins as it is reset.

    An input of a graph that nothing is said of is one of the whole pipeline, if the graph is the first to run.

    Raises:
        InputError: an end of a wire is not there, an input is fed by nothing, or by a graph that runs later.
    """
    found: dict[str, dict[str, Wire | None]] = {name: {} for name in graphs}
    known = [f"{name}.{each}" for name, ends in graphs.items() for each in ends.inputs]
    for target, text in wiring.items():
        if target not in known:
            raise InputError(
                f"There is no input '{target}'.{did_you_mean(target, known)} Choose from {', '.join(known)}."
            )
        graph, _, name = target.partition(".")
        found[graph][name] = _wire(target, text, graphs)
    for k, (graph, ends) in enumerate(graphs.items()):
        for name in ends.inputs:
            if name in found[graph]:
                continue
            if name not in ends.states and k > 0:
                raise InputError(f"Nothing feeds '{graph}.{name}'. Say what does, such as {_example(graph, name)}.")
            found[graph][name] = None if name in ends.states else Wire(f"{GIVEN}{name}", None)
    return {graph: {name: found[graph][name] for name in ends.inputs} for graph, ends in graphs.items()}


def runs_of(wires: Mapping[str, Mapping[str, Wire | None]]) -> dict[str, tuple[When, ...]]:
    """When each graph runs: whenever the frame or token has changed that it depends on, itself or through others.

    Raises:
        InputError: a graph reads what runs after it.
    """
    runs: dict[str, tuple[When, ...]] = {}
    for graph, inputs in wires.items():
        when: set[When] = set()
        for name, wire in inputs.items():
            source = "" if wire is None else wire.source
            if source == TOKEN:
                when.add("token")
            elif wire is not None and wire.frame is not None:
                when.add("frame")
            elif source and not source.startswith(GIVEN):
                other = source.partition(".")[0]
                if other not in runs:
                    raise InputError(f"'{graph}.{name}' is fed by '{other}', which runs after it. Put '{other}' first.")
                when.update(runs[other])
        runs[graph] = tuple(sorted(when))
    return runs


def _wire(target: str, text: str, graphs: Mapping[str, Ends]) -> Wire:
    match = _SOURCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"'{target}' is fed with '{text}'. Write it like {_example(*target.split('.', 1))}.")
    source = match["name"]
    outputs = [f"{name}.{each}" for name, ends in graphs.items() for each in ends.outputs]
    if source != TOKEN and not source.startswith(GIVEN) and source not in outputs:
        raise InputError(
            f"'{target}' is fed with '{source}', which is no output.{did_you_mean(source, outputs)} "
            f"Choose from {', '.join([*outputs, TOKEN])}, or {GIVEN}NAME for what is given."
        )
    return Wire(source, None if match["axes"] is None else _frame(target, text, match["axes"]))


def _frame(target: str, text: str, axes: str) -> Frame:
    *before, last = [axis.replace(" ", "") for axis in axes.split(",")]
    if any(axis != ":" for axis in before) or last not in _FRAMES:
        raise InputError(
            f"'{target}' is fed with '{text}'. Write a frame like encoder.out[:, t] or encoder.out[t:t+1]."
        )
    return Frame(len(before), _FRAMES[last])


def _example(graph: str, name: str) -> str:
    return f"'{graph}.{name}': 'encoder.out[:, t]', '{TOKEN}', or '{GIVEN}{name}'"
