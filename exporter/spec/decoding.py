"""Decode greedily with the graphs of a pipeline, whatever runs them: files, or PyTorch in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from .pipeline import GIVEN, RESET, TOKEN, Begin, Feed, Frame, Pipeline, Text, Transducer, When

Array = NDArray[Any]

# Given one row of logits, which token comes next.
Choose = Callable[[Array], int]


class Runner(Protocol):
    """Runs the graphs."""

    def begin(self, graph: str, state: str, begin: Begin) -> Any:
        """What a state begins with."""

    def run(self, graph: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs of a graph by name."""


def likeliest(logits: Array) -> int:
    """The token with the largest logit, the first of several."""
    return int(np.argmax(logits))


class Decoding:
    """One sequence that is decoded: its tokens, its states, and what the graphs last put out."""

    def __init__(self, pipeline: Pipeline, runner: Runner, choose: Choose = likeliest) -> None:
        self._pipeline = pipeline
        self._runner = runner
        self._choose = choose
        self._frame = 0
        self._tokens = list(pipeline.start)
        self._values: dict[str, Any] = {}
        self._states: dict[tuple[str, str], Any] = {}
        self._next: dict[tuple[str, str], Any] = {}
        self._began = False

    @property
    def tokens(self) -> list[int]:
        """All that was emitted."""
        return self._tokens[len(self._pipeline.start) :]

    def feed(self, inputs: Mapping[str, Array]) -> list[int]:
        """What is emitted for these inputs; a transducer takes chunk after chunk of them."""
        before = len(self._tokens)
        self._values |= {f"{GIVEN}{name}": array for name, array in inputs.items()}
        for name, graph in self._pipeline.graphs.items():
            if not graph.runs:
                self._run(name)
        self._take_over()
        if isinstance(self._pipeline.decoding, Transducer):
            self._transduce(self._pipeline.decoding)
        else:
            self._write(self._pipeline.decoding)
        return self._tokens[before:]

    def _transduce(self, decoding: Transducer) -> None:
        assert self._pipeline.frames is not None
        source, axis = self._pipeline.frames
        for frame in range(self._values[source].shape[axis]):
            self._frame = frame
            self._run_those(("frame",) if self._began else ("frame", "token"))
            self._began = True
            for _ in range(decoding.max_symbols):
                if self._is_full:
                    return
                token = self._choose(self._logits(self._pipeline.logits.step))
                if token == decoding.blank:
                    break
                self._emit(token)

    def _write(self, decoding: Text) -> None:
        first = self._pipeline.logits.first
        source = self._pipeline.logits.step
        if first is UNSET:
            self._run_those(("token",))
        else:
            source = str(first)
        while not self._is_full:
            token = self._choose(self._logits(source))
            if token == decoding.end:
                return
            self._emit(token)
            source = self._pipeline.logits.step

    def _emit(self, token: int) -> None:
        self._tokens.append(token)
        self._take_over()
        if not self._is_full:
            self._run_those(("token",))

    @property
    def _is_full(self) -> bool:
        return len(self.tokens) >= self._pipeline.decoding.limit

    def _take_over(self) -> None:
        self._states |= self._next
        self._next.clear()

    def _run_those(self, when: tuple[When, ...]) -> None:
        for name, graph in self._pipeline.graphs.items():
            if any(each in graph.runs for each in when):
                self._run(name)

    def _run(self, name: str) -> None:
        feeds = self._pipeline.graphs[name].inputs
        outputs = self._runner.run(name, {each: self._value(name, each, feed) for each, feed in feeds.items()})
        self._values |= {f"{name}.{output}": value for output, value in outputs.items()}
        self._next |= {(name, each): outputs[str(feed.then)] for each, feed in feeds.items() if feed.then is not UNSET}

    def _value(self, graph: str, name: str, feed: Feed) -> Any:
        if (graph, name) in self._states:
            return self._states[graph, name]
        if feed.source == TOKEN:
            assert isinstance(feed.begin, Begin)
            return feed.begin.tokens(self._tokens)
        if feed.source == RESET:
            assert isinstance(feed.begin, Begin)
            return self._runner.begin(graph, name, feed.begin)
        value = self._values[feed.source]
        if not isinstance(feed.frame, Frame):
            return value
        cut = np.take(value, [self._frame], feed.frame.axis)
        return cut if feed.frame.kept else cut.squeeze(feed.frame.axis)

    def _logits(self, source: str) -> Array:
        logits = self._values[source]
        return np.asarray(logits.reshape(-1, logits.shape[-1])[-1])
