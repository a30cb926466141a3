"""A text as tokens: its characters numbered, cut into sequences whose states carry on from batch to batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import torch
from rnn_export import InputError
from torch import Tensor

VOCABULARY = "vocabulary.json"
FORMAT = 1


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows; a character's token is its place."""

    characters: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        return cls(tuple(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        """Tokens int64[T].

        Raises:
            InputError: a character is not in the vocabulary.
        """
        tokens = {character: token for token, character in enumerate(self.characters)}
        for character in text:
            if character not in tokens:
                raise InputError(f"The model does not know the character {character!r}. Leave it out.")
        return torch.tensor([tokens[character] for character in text], dtype=torch.int64)

    def to_json(self) -> str:
        """As clients read it: the input that takes tokens, the output with their logits, the characters in order."""
        data = {"format": FORMAT, "input": "tokens", "output": "logits", "characters": list(self.characters)}
        return json.dumps(data, ensure_ascii=False) + "\n"


def read_text(path: Path | None) -> str:
    """A text file; without one the documentation that this Python carries.

    Raises:
        InputError: the file cannot be read, or is no UTF-8.
    """
    if path is None:
        return "\n".join(topics[name] for name in sorted(topics))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path} cannot be read as a text ({error}). Give a file in UTF-8.") from error


@dataclass(frozen=True)
class Batches:
    """Sequential partitioning: row n of a batch goes on where row n of the batch before it ended.

    Each batch is `(tokens, targets)`, int64[N, T] both; a target is the character after its token.
    """

    tokens: Tensor
    N: int
    T: int

    def __post_init__(self) -> None:
        if len(self) < 1:
            least = self.N * self.T + 1
            need = f"the {least} characters that --batch-size {self.N} and --steps {self.T} need"
            raise InputError(f"The text has {len(self.tokens)} of {need}. Give a longer one.")

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.N // self.T

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        length = len(self) * self.T
        rows, following = (self.tokens[start:][: self.N * length].view(self.N, length) for start in (0, 1))
        for start in range(0, length, self.T):
            yield rows[:, start : start + self.T], following[:, start : start + self.T]
