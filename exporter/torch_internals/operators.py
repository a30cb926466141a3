"""The schemas of captured operators, and those ATen operators whose names are private."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload

# PyTorch's own record of a copy, such as `x.to(dtype)` after decomposition.
TO_COPY = torch.ops.aten._to_copy.default

# A check that `torch.export` adds; nothing uses its result.
ASSERT_TENSOR_METADATA = torch.ops.aten._assert_tensor_metadata.default

# What batch normalization in evaluation mode is decomposed into.
BATCH_NORM_INFERENCE = torch.ops.aten._native_batch_norm_legit_no_training.default


def operator_name(target: Any) -> str:
    """`aten::add` for any overload of it; empty for a target that is no operator."""
    return target.name().partition(".")[0] if isinstance(target, OpOverload) else ""


def mutates(target: Any) -> bool:
    """Whether a target writes to one of its arguments."""
    return isinstance(target, OpOverload) and bool(target._schema.is_mutable)


def takes_tensor(target: Any, position: int) -> bool:
    """Whether an operator, or its overload for tensors, takes a tensor as this positional argument."""
    overload = tensor_overload(target)
    if not isinstance(overload, OpOverload):
        return False
    return str(overload._schema.arguments[position].type) == "Tensor"


def tensor_overload(target: Any) -> Any:
    """`gt.Tensor` for `gt.Scalar`, where both take as many arguments; any other target unchanged."""
    if not isinstance(target, OpOverload) or target.name().partition(".")[2] != "Scalar":
        return target
    overload = getattr(target.overloadpacket, "Tensor", None)
    fits = overload is not None and len(overload._schema.arguments) == len(target._schema.arguments)
    return overload if fits else target
