"""What a stream does not read: PyTorch multiplies masked steps by 0, which makes NaN of one that is infinite or NaN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .expected import Expected
from .limits import Tolerance

Array = NDArray[np.generic]

NOT_FINITE = "Infinite or NaN in a stream where PyTorch's whole run, which multiplies masked steps by 0, has the other"


def without_unread(item: Expected, got: Mapping[str, Array]) -> Expected:
    """A case with a non-finite input, where PyTorch's NaN, if a stream has a number there, is that of ordinary inputs.

    The number has to be PyTorch's for an ordinary value in that place, so that it follows from none that is masked.
    """
    ordinary = item.ordinary
    if item.reference is None or ordinary is None or ordinary.reference is None:
        return item
    eager, exact, limits = dict(item.reference.eager), dict(item.reference.exact or {}), dict(item.tolerances)
    for name, array in item.reference.eager.items():
        if not _fits(array, got[name]):
            continue
        where = np.isnan(array) & np.isfinite(got[name])
        eager[name] = np.where(where, ordinary.reference.eager[name], array)
        if name in exact and ordinary.reference.exact is not None:
            exact[name] = np.where(where, ordinary.reference.exact[name], exact[name])
        if name in limits:
            one, other = limits[name], ordinary.tolerances[name]
            limit, scale = (np.where(where, b, a) for a, b in ((one.limit, other.limit), (one.scale, other.scale)))
            limits[name] = Tolerance(limit, scale)
    reference = replace(item.reference, eager=eager, exact=None if item.reference.exact is None else exact)
    return replace(item, reference=reference, tolerances=limits)


def with_other(item: Expected, got: Mapping[str, Array]) -> Expected:
    """A case with a non-finite input, where what is not finite in PyTorch is what is not finite in a stream.

    Sums of an infinite step and of 0 times it are NaN, and a state that was carried from there is infinite; or the
    other way round, where an operator computes a chunk by pairs of steps.
    """
    if item.reference is None or item.ordinary is None:
        return item
    eager = {name: _other(array, got[name]) for name, array in item.reference.eager.items()}
    return replace(item, reference=replace(item.reference, eager=eager))


def _other(array: Array, got: Array) -> Array:
    return np.where(~np.isfinite(array) & ~np.isfinite(got), got, array) if _fits(array, got) else array


def _fits(array: Array, got: Array) -> bool:
    return array.dtype.kind == "f" and array.shape == got.shape
