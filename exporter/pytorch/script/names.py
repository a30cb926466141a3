"""Names for what is written in Python: as they are in TorchScript where Python allows it, and each once."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field

from torch import nn

_NUMBERED = re.compile(r"\.\d+$")
_MODULES_OWN = frozenset({*dir(nn.Module), *vars(nn.Module())}) - {"training", "forward"}


@dataclass
class Names:
    """Gives names that have not been given, and are none of these."""

    taken: set[str] = field(default_factory=set)

    def fresh(self, wanted: str) -> str:
        """A name like the one that is wanted, `h.3` as `h`, and that of a value without a name as `_12`."""
        plain = re.sub(r"\W", "_", _NUMBERED.sub("", wanted)).strip("_")
        plain = f"_{plain}" if not plain or plain[0].isdigit() else plain
        name, number = plain, 1
        while name in self.taken or keyword.iskeyword(name):
            number += 1
            name = f"{plain}_{number}"
        self.taken.add(name)
        return name


def attribute(name: str) -> str:
    """What an attribute of TorchScript is called in Python, where a module has attributes and methods of its own."""
    return f"{name}_" if name in _MODULES_OWN or (name.startswith("__") and name.endswith("__")) else name


def access(owner: str, name: str) -> str:
    """The expression for an attribute: `self.cell`, or `getattr(self, '0')`."""
    spelled = attribute(name)
    return f"{owner}.{spelled}" if _is_plain(spelled) else f"getattr({owner}, {spelled!r})"


def assignment(owner: str, name: str, value: str) -> str:
    """The statement that sets an attribute."""
    spelled = attribute(name)
    return f"{owner}.{spelled} = {value}" if _is_plain(spelled) else f"setattr({owner}, {spelled!r}, {value})"


def _is_plain(name: str) -> bool:
    # In a class Python has other names for those that begin with two underscores.
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


def demangled(qualified: str) -> str:
    """The name of a class or function without what TorchScript inserts to tell equal ones apart."""
    return re.sub(r"\.___torch_mangle_\d+", "", qualified)
