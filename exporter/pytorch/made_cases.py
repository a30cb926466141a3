"""The caller's own function that makes the inputs of a case, where they depend on one another: called and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, LoadError, SignatureError, did_you_mean, first_line, type_in_words
from ..spec.signature import Signature
from .load import find_callable
from .samples import Case, check_ranges, sizes_of
from .source_lines import at, user_line

Array = NDArray[np.generic]

# Called with a size for each dynamic dimension and a seed; returns an array or tensor for each input.
CaseMaker = Callable[[Mapping[str, int], int], Mapping[str, Any]]


@dataclass(frozen=True)
class MadeCases:
    """A function that makes the inputs of ordinary cases, and where it is found, such as `file.py:make`.

    `half` says that the model is a float16 one whose user describes it, and makes its inputs, in float32.
    """

    make: CaseMaker
    name: str
    half: bool = False

    def inputs(self, signature: Signature, case: Case) -> dict[str, Array]:
        """The inputs of a case of these sizes.

        Raises:
            InputError: the function raises, or returns something else than an array that fits for each input.
        """
        sizes = ", ".join(f"{name}={size}" for name, size in case.sizes.items()) or "no sizes"
        what = f"{self.name} for {sizes} and seed {case.seed}"
        try:
            made = self.make(dict(case.sizes), case.seed)
        except Exception as error:  # whatever the caller's code raises
            raise InputError(
                f"{what} raised {type(error).__name__}{at(user_line(error))}: {first_line(error).rstrip('.')}. "
                "It has to make inputs of all sizes; describe a dimension that has only one as a number."
            ) from error
        arrays = self._arrays(what, made, signature)
        try:
            given = sizes_of(signature, arrays, "The case's")
            check_ranges(signature, arrays, "The case's")
        except SignatureError as error:
            raise InputError(f"{what}: {error}") from error
        wrong = next((name for name, size in case.sizes.items() if given[name] != size), None)
        if wrong is not None:
            raise InputError(f"{what} made inputs with {wrong}={given[wrong]}. Make them of the sizes that are given.")
        return arrays

    def reachable(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """These sizes, or smaller ones where the function never makes any so large and says so."""
        smaller = getattr(self.make, "reachable", dict)
        return dict(smaller(sizes))

    def _arrays(self, what: str, made: Any, signature: Signature) -> dict[str, Array]:
        wanted = list(signature.inputs)
        if not isinstance(made, Mapping):
            raise InputError(
                f"{what} returned {type_in_words(made)}. Return a dictionary with an array for {', '.join(wanted)}."
            )
        for name in wanted:
            if name not in made:
                raise InputError(f"{what} made no '{name}'. Return an array for each input: {', '.join(wanted)}.")
        for name in made:
            if name not in wanted:
                near = did_you_mean(str(name), wanted)
                raise InputError(f"{what} made '{name}', which is no input.{near} Inputs are {', '.join(wanted)}.")
        return {name: self._array(made[name]) for name in wanted}

    def _array(self, value: Any) -> Array:
        array = np.array(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, order="C")
        return array.astype(np.float16) if self.half and array.dtype == np.float32 else array


def find_made_cases(given: CaseMaker | str | None) -> MadeCases | None:
    """The function itself, or the one that `file.py:make` or `package.module:make` names, whose file is then run.

    Raises:
        LoadError: there is no such function.
        InputError: it is neither a function nor the name of one.
    """
    if given is None:
        return None
    if isinstance(given, str):
        found = find_callable(given)
        if isinstance(found, type) or not callable(found):
            raise LoadError(f"{given} is no function. Name one that takes sizes and a seed and returns inputs by name.")
        return MadeCases(found, given)
    if not callable(given):
        raise InputError(
            f"`cases` is {type_in_words(given)}. Give a function that takes sizes and a seed and returns inputs by "
            "name, or where it is, as file.py:make."
        )
    place, name = getattr(given, "__module__", ""), getattr(given, "__qualname__", type(given).__name__)
    return MadeCases(given, f"{place}:{name}")
