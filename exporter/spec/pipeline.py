"""A model of several graphs: the graphs, what feeds each input, what runs when, and when it ends.

A pipeline decodes one sequence at a time, greedily. Graphs whose `runs` is empty run once for what is given, all others
when the frame or the token has changed that they depend on. A token is chosen from the last row of the logits. A state
is taken over when a token is emitted; where none is, the graph runs again from the state before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, field

from .artifact import Sha256
from .signature import Dtype, Size
from .streams import Number, State, numbers

Name = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
Token = Annotated[int, Meta(ge=0)]
When = Literal["frame", "token"]

# What a feed's source may be besides `<graph>.<output>`.
GIVEN, TOKEN, RESET = "inputs.", "token", "reset"


class Frame(Struct, frozen=True, forbid_unknown_fields=True):
    """The frame of an output that a graph is fed with: the axis that counts frames, and whether it stays, as 1."""

    axis: Annotated[int, Meta(ge=0)]
    kept: bool


class Begin(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor for one sequence: the last tokens, as many as it has elements; or a state before the first step."""

    dtype: Dtype
    shape: tuple[Size, ...]
    reset: Number | tuple[Number, ...] | UnsetType = UNSET

    def array(self) -> np.ndarray:
        """The state."""
        assert not isinstance(self.reset, UnsetType)
        state = State("", "", self.dtype, self.shape, numbers(self.reset))
        return state.initial({})

    def tokens(self, last: list[int]) -> np.ndarray:
        """The last tokens."""
        count = self.count
        return np.asarray(last[-count:], self.dtype).reshape(self.shape)

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=int))


class Feed(Struct, frozen=True, forbid_unknown_fields=True):
    """What goes into an input: `inputs.x` of what is given, `encoder.out` of a graph, `token`, or `reset`."""

    source: Annotated[str, Meta(description="What is fed; to a state, what it begins with.")] = field(name="from")
    then: Annotated[
        str | UnsetType, Meta(description="The output of this graph that is fed back once a token is emitted.")
    ] = UNSET
    frame: Frame | UnsetType = UNSET
    begin: Begin | UnsetType = UNSET


class Graph(Struct, frozen=True, forbid_unknown_fields=True):
    """One graph: the bundle that holds it, and what feeds it. A graph without `runs` runs once."""

    bundle: Annotated[Name, Meta(description="A folder beside pipeline.json.")]
    file: str
    manifest_sha256: Annotated[Sha256, Meta(description="Of the bundle's manifest.json.")]
    runs: tuple[When, ...]
    inputs: Mapping[str, Feed]


class Logits(Struct, frozen=True, forbid_unknown_fields=True):
    """The output that tokens are chosen from: of what runs step by step, and of what runs once, for the first token."""

    step: str
    first: str | UnsetType = UNSET


class Transducer(Struct, frozen=True, forbid_unknown_fields=True, tag="transducer", tag_field="kind"):
    """For every frame, up to `max_symbols` tokens until the blank one, which is not emitted."""

    blank: Token
    max_symbols: Annotated[int, Meta(ge=1)]
    limit: Annotated[int, Meta(ge=1, description="How many tokens at most.")]


class Text(Struct, frozen=True, forbid_unknown_fields=True, tag="text", tag_field="kind"):
    """Token after token until the end token, which is not emitted, or without one until the limit."""

    end: Token | None
    limit: Annotated[int, Meta(ge=1, description="How many tokens at most.")]


class Checked(Struct, frozen=True, forbid_unknown_fields=True):
    """What was compared with PyTorch: greedy tokens, and logits along these and along random tokens.

    A tie is a choice that PyTorch in float32 makes otherwise, between tokens that float64 has closer together than
    float32 can tell.
    """

    sequences: int
    choices: int
    tokens: int
    ties: int
    largest_error_over_limit: float
    reference: Annotated[bool, Meta(description="Whether a decoder of the user's own gave the same tokens.")]


class Pipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="format", tag=1):
    """How the graphs of a model fit together, and what runs until when."""

    name: Annotated[str, Meta(min_length=1)]
    inputs: Annotated[Mapping[str, str], Meta(min_length=1, description="What is given, such as float32[1, T, 80].")]
    graphs: Annotated[Mapping[Name, Graph], Meta(min_length=1, description="In the order in which they run.")]
    logits: Logits
    start: Annotated[tuple[Token, ...], Meta(description="The tokens before the first one.")]
    decoding: Transducer | Text
    checked: Checked | None
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        for graph, name, feed in self.feeds():
            if isinstance(feed.begin, UnsetType) and feed.source in (TOKEN, RESET):
                raise ValueError(f"{graph}.{name} is fed with the {feed.source}, and has no `begin`")
        if isinstance(self.decoding, Transducer) and self.frames is None:
            raise ValueError("A transducer reads frame by frame, and no input is fed so")

    def feeds(self) -> Iterator[tuple[str, str, Feed]]:
        """Every input of every graph, with what feeds it."""
        for name, graph in self.graphs.items():
            for each, feed in graph.inputs.items():
                yield name, each, feed

    @property
    def frames(self) -> tuple[str, int] | None:
        """The output that is fed frame by frame, and its axis of frames."""
        found = ((feed.source, feed.frame.axis) for _, _, feed in self.feeds() if isinstance(feed.frame, Frame))
        return next(found, None)
