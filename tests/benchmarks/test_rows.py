"""What is counted for a row: its products, operations and bytes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.networks import build, flat
from benchmarks.rows import MODELS, SHAPES, THREADS, Model, Product, Row, Shape, operations, products, rows, widths

SMALL = Shape(3, 2, 4, 8, 2)
DEEP = Shape(3, 2, 4, 8, 4)


def test_every_combination_is_a_row() -> None:
    assert len(set(rows())) == len(MODELS) * len(SHAPES) * len(THREADS) == 70


def test_products_of_a_stack_of_gru_layers() -> None:
    assert products("GRU", SMALL) == [
        Product(6, 4, 24, 1),
        Product(2, 8, 24, 3),
        Product(6, 8, 24, 1),
        Product(2, 8, 24, 3),
    ]


def test_a_look_up_is_no_product() -> None:
    assert products("from-scratch", SMALL) == [Product(2, 8, 8, 3), Product(6, 8, 4, 1)]


def test_hetero_is_the_built_in_variant_at_its_sizes() -> None:
    assert widths("hetero", SHAPES[0]) == [256, 156, 512, 512]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("carries", [False, True])
def test_the_products_are_those_of_the_weights(model: Model, carries: bool) -> None:
    matrices = [weight for weight in build(model, DEEP, carries=carries).module.parameters() if weight.dim() == 2]
    looked_up = DEEP.I * DEEP.H if model == "from-scratch" else 0
    assert sum(product.inner * product.columns for product in products(model, DEEP)) == (
        sum(weight.numel() for weight in matrices) - looked_up
    )


def test_operations_grow_with_time_and_batch() -> None:
    row = Row("LSTM", SMALL, 1)
    twice = Row("LSTM", Shape(6, 2, 4, 8, 2), 1)
    assert operations(twice) == 2 * operations(row)


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_the_same_at_every_time_and_batch(model: str) -> None:
    network, other = build(model, SMALL), build(model, Shape(1, 1, 4, 8, 2))
    for weight, same in zip(network.module.parameters(), other.module.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=0, atol=0)
    assert flat(network.module(*network.inputs.values()))


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_carries_its_states_goes_on_where_it_was(model: Model) -> None:
    whole, carrying = build(model, DEEP), build(model, DEEP, carries=True)
    expected = flat(whole.module(*whole.inputs.values()))[0]
    inputs = dict(carrying.inputs)
    sequence, axis = ("tokens", 1) if model == "from-scratch" else ("x", 0)
    parts = []
    for step in carrying.inputs[sequence].split(1, axis):
        inputs[sequence] = step
        outputs = dict(zip(carrying.signature.outputs, flat(carrying.module(*inputs.values())), strict=True))
        inputs |= {before: outputs[after] for before, after in carrying.signature.states.items()}
        parts.append(outputs[carrying.signature.outputs[0]])
    torch.testing.assert_close(parts[-1] if model == "hetero" else torch.cat(parts), expected)
