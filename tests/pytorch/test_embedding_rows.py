"""An embedding that lacks a row says which it has, and which input is to be described so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from rnn_export.pytorch.embedding_rows import says_rows
from torch import Tensor, nn


class Tokens(nn.Module):
    """Looks up what `taken` makes of its tokens, after a table that has every row."""

    def __init__(self, taken: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.taken = taken
        self.whole, self.few = nn.Embedding(99, 2), nn.Embedding(12, 2)

    def forward(self, lengths: Tensor, tokens: Tensor) -> Tensor:
        return self.whole(lengths).sum() + self.few(self.taken(tokens))


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (lambda tokens: tokens, "Embedding 'few' has 12 rows: describe 'tokens' as 'in 0..11'"),
        (lambda tokens: tokens.T.int(), "Embedding 'few' has 12 rows: describe 'tokens' as 'in 0..11'"),
        # What the input has to be is not known where forward looks up other numbers.
        (lambda tokens: tokens + 1, "Embedding 'few' has 12 rows, 0..11"),
        (lambda tokens: tokens[:1], "Embedding 'few' has 12 rows, 0..11"),
    ],
)
def test_the_rows_and_the_input(taken: Callable[[Tensor], Tensor], said: str) -> None:
    model, given = Tokens(taken), {"lengths": torch.tensor([3, 2]), "tokens": torch.tensor([[0, 12], [4, 4]])}
    with pytest.raises(IndexError) as error:
        model(**given)
    assert says_rows(error.value, model, given) == said


def test_another_error_has_no_rows() -> None:
    with pytest.raises(IndexError) as error:
        torch.zeros(3)[4]
    assert says_rows(error.value, nn.Embedding(3, 2), {}) == ""
