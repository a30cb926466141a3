"""What is replaced is exclusive to a thread, and restored as it was."""

from __future__ import annotations

import threading

import pytest
from rnn_export.torch_internals.modules import exclusive, patched


class Owner:
    value = 1

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    @property
    def size(self) -> int:
        return 2


@pytest.mark.parametrize("name", ["value", "name", "size"])
def test_a_patched_attribute_is_restored_as_it_was(name: str) -> None:
    before = vars(Owner)[name]
    with pytest.raises(KeyError, match="^7$"), patched(Owner, name, 7):
        raise KeyError(vars(Owner)[name])
    assert vars(Owner)[name] is before


def test_an_inherited_attribute_is_not_patched() -> None:
    class Heir(Owner):
        pass

    with pytest.raises(KeyError), patched(Heir, "value", 7):
        pass
    assert Heir.value == 1


def test_one_thread_at_a_time() -> None:
    entered = threading.Event()

    def enter() -> None:
        with exclusive():
            entered.set()

    other = threading.Thread(target=enter)
    with exclusive(), exclusive():
        other.start()
        assert not entered.wait(0.05)
    other.join(60)
    assert entered.is_set()
