"""What is timed: models, shapes and threads, and the matrix products that each row cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

Model = Literal["RNN", "GRU", "LSTM", "hetero", "from-scratch"]

MODELS: tuple[Model, ...] = ("RNN", "GRU", "LSTM", "hetero", "from-scratch")
THREADS = (1, 2)
CLASSES = 3
FLOAT = 4

# The widths of `rnn_export.models.hetero`, whose first one is the shape's H; other shapes scale them.
_HETERO = (256, 156, 512, 512)
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4, "hetero": 1, "from-scratch": 1}


@dataclass(frozen=True)
class Shape:
    """Time, batch, input size, hidden size and layers."""

    T: int
    N: int
    I: int  # noqa: E741  the field's name
    H: int
    L: int

    def __str__(self) -> str:
        time = "one step" if self.T == 1 else f"T{self.T}"
        return f"{time} N{self.N} I{self.I} H{self.H} L{self.L}"

    @property
    def is_one_step(self) -> bool:
        """Whether it is what a stream runs at a time."""
        return self.T == 1 and self.N == 1


SHAPES = (
    Shape(35, 32, 100, 256, 4),
    Shape(35, 32, 28, 256, 1),
    Shape(100, 64, 256, 512, 1),
    Shape(1000, 1, 64, 128, 1),
    Shape(50, 1, 100, 256, 4),
    Shape(1, 1, 100, 256, 4),
    Shape(3, 50, 10, 20, 1),
)


@dataclass(frozen=True)
class Product:
    """`count` products [rows, inner] x [inner, columns] in float32, with the same right-hand side."""

    rows: int
    inner: int
    columns: int
    count: int

    @property
    def operations(self) -> int:
        """Floating point operations of all of them."""
        return 2 * self.rows * self.inner * self.columns * self.count

    @property
    def bytes(self) -> int:
        """Of the right-hand side: the weights."""
        return FLOAT * self.inner * self.columns


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    model: Model
    shape: Shape
    threads: int

    def __str__(self) -> str:
        return f"{self.model}, {self.shape}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def folder(self) -> str:
        """A name for the folder of the row's files; the same for any number of threads."""
        return f"{self.model} {self.shape}".replace(" ", "-")

    def as_json(self) -> dict[str, Any]:
        return {"model": self.model, "shape": asdict(self.shape), "threads": self.threads}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        return cls(data["model"], Shape(**data["shape"]), data["threads"])


def rows(
    models: Iterable[Model] = MODELS, shapes: Iterable[Shape] = SHAPES, threads: Iterable[int] = THREADS
) -> list[Row]:
    """Every row of the table for these models, shapes and numbers of threads."""
    return [Row(model, shape, count) for count in threads for model in models for shape in shapes]


def widths(model: Model, shape: Shape) -> list[int]:
    """The hidden size of each layer: H in all of them, but for "hetero"; "from-scratch" has one layer whatever L is."""
    if model == "from-scratch":
        return [shape.H]
    if model == "hetero":
        return [round(width * shape.H / _HETERO[0]) for width in _HETERO[: shape.L]]
    return [shape.H] * shape.L


def products(model: Model, shape: Shape) -> list[Product]:
    """The products of a row: over the input for all steps at once, over the state step by step, then the output layer.

    The one-hot input of "from-scratch" times a matrix is a look-up, and no product.
    """
    sizes = [shape.I, *widths(model, shape)]
    found = list(_layers(sizes, shape, _GATES[model]))
    if model == "hetero":
        found.append(Product(shape.N, sizes[-1], CLASSES, 1))
    if model == "from-scratch":
        found = [*found[1:], Product(shape.T * shape.N, shape.H, shape.I, 1)]
    return found


def _layers(sizes: list[int], shape: Shape, gates: int) -> Iterator[Product]:
    for inputs, hidden in pairwise(sizes):
        yield Product(shape.T * shape.N, inputs, gates * hidden, 1)
        yield Product(shape.N, hidden, gates * hidden, shape.T)


def operations(row: Row) -> int:
    """Floating point operations that a row's products take; gates and activations are not counted."""
    return sum(product.operations for product in products(row.model, row.shape))


def weight_bytes(row: Row) -> int:
    """Bytes of the weights that are read again in every step; all of them where there is but one step."""
    return sum(product.bytes for product in products(row.model, row.shape) if product.rows == row.shape.N)
