"""Decode with the files and with PyTorch: the same tokens, and logits as near to float64 as PyTorch's own.

The files decode greedily, and then along random tokens, which shows what greedy tokens may not: an untrained model says
the same over and over. PyTorch goes the same way, in float32 and in float64. Where it would have chosen another token,
that is a tie if float64 has the two closer together than the errors that are allowed; all other differences are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ..errors import ParityError, first_line
from ..parity.limits import FACTOR, FLOOR, TOLERANCE
from ..spec.decoding import Decoding, Runner, likeliest
from ..spec.pipeline import Checked, Pipeline, Text, Transducer
from .eager import EagerGraph, EagerGraphs

Array = NDArray[Any]
Inputs = Mapping[str, Array]
# Tokens to compare of one sequence.
_LONGEST = 64

Reference = Callable[[Inputs], Sequence[int]]


@dataclass
class Path:
    """The tokens that were chosen one after the other, blank and end tokens too, and the logits of each choice."""

    chosen: list[int] = field(default_factory=list)
    logits: list[Array] = field(default_factory=list)

    @property
    def rows(self) -> NDArray[np.float64]:
        return np.asarray(self.logits, np.float64)


@dataclass
class Found:
    """What has been compared so far."""

    sequences: int = 0
    choices: int = 0
    tokens: int = 0
    ties: int = 0
    largest: float = 0.0

    def checked(self, reference: bool) -> Checked:
        return Checked(self.sequences, self.choices, self.tokens, self.ties, float(f"{self.largest:.3g}"), reference)


class Comparison:
    """Compares the files of a pipeline with PyTorch, sequence by sequence."""

    def __init__(
        self, pipeline: Pipeline, files: Runner, graphs: Mapping[str, EagerGraph], reference: Reference | None
    ) -> None:
        # A hidden state is run again from its beginning for every token, so that long texts would take long.
        decoding = replace(pipeline.decoding, limit=min(pipeline.decoding.limit, _LONGEST))
        self._pipeline = replace(pipeline, decoding=decoding)
        self._files = files
        self._eager = EagerGraphs(graphs)
        wide = {name: graph.in_float64() for name, graph in graphs.items()}
        self._float64 = None if None in wide.values() else EagerGraphs({k: each for k, each in wide.items() if each})
        self._reference = reference
        self.found = Found()

    def runs(self, inputs: Inputs) -> str:
        """Why PyTorch itself does not run these inputs; empty if it does."""
        try:
            self._go(self._eager, [inputs], likeliest)
        except Exception as error:  # whatever the model raises
            return f"{type(error).__name__}: {first_line(error).rstrip('.')}"
        return ""

    def checked(self) -> Checked:
        """What has been compared."""
        return self.found.checked(self._reference is not None)

    def compare(self, inputs: Inputs, seed: int) -> None:
        """Decode one sequence in all ways.

        Raises:
            ParityError: a token or a logit is another than PyTorch's.
        """
        greedy, tokens = self._go(self._files, [inputs], likeliest)
        ties = self._judge(greedy, [inputs], "greedy tokens")
        if self._reference is not None:
            self._compare_reference(tokens, greedy, ties, inputs)
        forced, _ = self._go(self._files, [inputs], self._any_token(seed))
        self._judge(forced, [inputs], "random tokens", tell_ties=False)
        self.found.sequences += 1
        self.found.tokens += len(tokens)
        self.found.ties += len(ties)

    def compare_chunks(self, inputs: Inputs, chunks: Sequence[Inputs]) -> None:
        """Decode a sequence in chunks: the choices are those for the whole.

        Raises:
            ParityError: one is not.
        """
        greedy, _ = self._go(self._files, chunks, likeliest)
        self._judge(greedy, [inputs], "greedy tokens in chunks")

    def _go(self, runner: Runner, chunks: Sequence[Inputs], choose: Callable[[Array], int]) -> tuple[Path, list[int]]:
        path = Path()

        def chosen(logits: Array) -> int:
            path.logits.append(logits)
            path.chosen.append(choose(logits))
            return path.chosen[-1]

        decoding = Decoding(self._pipeline, runner, chosen)
        for chunk in chunks:
            decoding.feed(chunk)
        return path, decoding.tokens

    def _follow(self, runner: Runner, path: Path, inputs: Sequence[Inputs]) -> NDArray[np.float64]:
        """The logits along a path."""
        tokens = iter(path.chosen)
        followed, _ = self._go(runner, inputs, lambda logits: next(tokens))
        return followed.rows

    def _judge(self, path: Path, inputs: Sequence[Inputs], what: str, *, tell_ties: bool = True) -> list[int]:
        """The choices that are ties.

        Raises:
            ParityError: logits are further off than PyTorch's own, or a choice is another one.
        """
        if not path.chosen:
            return []
        eager = self._follow(self._eager, path, inputs)
        exact = eager if self._float64 is None else self._follow(self._float64, path, inputs)
        limit = _limit(eager, exact, path.logits[0].dtype, has_reference=self._float64 is not None)
        error = np.abs(path.rows - exact)
        self.found.choices += len(path.chosen)
        if not np.array_equal(np.isfinite(path.rows), np.isfinite(exact)):
            raise self._wrong(f"for {what}, the logits of the files are not finite where PyTorch's are")
        largest = float(np.nanmax(error, initial=0.0))
        self.found.largest = max(self.found.largest, largest / limit)
        if largest > limit:
            k = int(np.nanmax(error, 1).argmax())
            raise self._wrong(
                f"for {what}, choice {k} of {len(path.chosen)}, a logit is off by {largest:.2g}, "
                f"and {limit:.2g} is allowed"
            )
        return self._ties(path, eager, exact, limit, what) if tell_ties else []

    def _ties(
        self, path: Path, eager: NDArray[np.float64], exact: NDArray[np.float64], limit: float, what: str
    ) -> list[int]:
        ties = []
        for k, (token, row, wide) in enumerate(zip(path.chosen, eager, exact, strict=True)):
            other = likeliest(row)
            if other == token:
                continue
            if abs(wide[other] - wide[token]) > 2 * limit:
                raise self._wrong(f"for {what}, choice {k}, the files say {token} and PyTorch {other}")
            ties.append(k)
        return ties

    def _compare_reference(self, tokens: Sequence[int], path: Path, ties: Sequence[int], inputs: Inputs) -> None:
        """Compare with the user's own decoder, up to the first tie.

        Raises:
            ParityError: it says something else.
        """
        assert self._reference is not None
        wanted = [int(token) for token in self._reference(inputs)][: self._pipeline.decoding.limit]
        if wanted == list(tokens):
            return
        same = next(
            (k for k, (a, b) in enumerate(zip(tokens, wanted, strict=False)) if a != b), min(len(tokens), len(wanted))
        )
        if ties and self._emitted(path.chosen[: ties[0]]) <= same:
            return
        raise self._wrong(
            f"the reference says {_shown(wanted, same)}, and the pipeline {_shown(tokens, same)}. "
            "Its graphs are right: mend the wiring, the start, or when it ends"
        )

    def _emitted(self, chosen: Sequence[int]) -> int:
        decoding = self._pipeline.decoding
        silent = decoding.blank if isinstance(decoding, Transducer) else decoding.end
        return sum(token != silent for token in chosen)

    def _any_token(self, seed: int) -> Callable[[Array], int]:
        """Chooses at random, a blank every other time, and no end token."""
        random = np.random.default_rng(seed)
        decoding = self._pipeline.decoding

        def choose(logits: Array) -> int:
            token = int(random.integers(len(logits)))
            if isinstance(decoding, Text):
                return token if token != decoding.end else (token + 1) % len(logits)
            return decoding.blank if random.random() < 0.5 else token

        return choose

    def _wrong(self, why: str) -> ParityError:
        return ParityError(f"The pipeline does not decode as PyTorch does: {why}.", None)


def _limit(
    eager: NDArray[np.float64], exact: NDArray[np.float64], dtype: np.dtype[Any], *, has_reference: bool
) -> float:
    """How large an error of a logit may be; the factors are those of `parity.limits`."""
    finite = np.isfinite(exact)
    scale = float(np.abs(exact[finite]).max(initial=0.0))
    if not has_reference:
        return TOLERANCE[dtype.name] * max(scale, 1e-30)
    own = float(np.abs(eager - exact)[finite & np.isfinite(eager)].max(initial=0.0))
    return FACTOR * max(own, FLOOR * float(np.finfo(dtype).eps) * scale, float(np.finfo(dtype).tiny))


def _shown(tokens: Sequence[int], same: int) -> str:
    """The tokens around the first that differs."""
    begin = max(0, same - 2)
    shown = ", ".join(map(str, tokens[begin : same + 3]))
    return f"[{'..., ' if begin else ''}{shown}{', ...' if len(tokens) > same + 3 else ''}]"
