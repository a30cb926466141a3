"""What is counted for a row: its products, operations and bytes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.networks import build, flat
from benchmarks.rows import MODELS, SHAPES, THREADS, Product, Row, Shape, operations, products, rows, widths

SMALL = Shape(3, 2, 4, 8, 2)


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
def test_the_products_are_those_of_the_weights(model: str) -> None:
    matrices = [weight for weight in build(model, SMALL).module.parameters() if weight.dim() == 2]
    looked_up = SMALL.I * SMALL.H if model == "from-scratch" else 0
    assert sum(product.inner * product.columns for product in products(model, SMALL)) == (
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
