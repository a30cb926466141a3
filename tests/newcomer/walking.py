"""What a newcomer has: an installed wheel, an empty folder, and what pages and messages say; nothing of the sources."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from doc_blocks import blocks, commands

# What a package registry, a proxy or a certificate needs; nothing of the checkout.
_KEPT = re.compile(r"PIP_|SSL_|REQUESTS_|CURL_|NODE_EXTRA_|npm_|HTTPS?_PROXY|LANG|LC_")


@dataclass(frozen=True)
class Newcomer:
    """Types commands in a folder; `bin` is where the wheel's programs are."""

    folder: Path
    bin: Path

    def type(self, command: str, *, code: int = 0) -> str:
        """Run a command; returns what it printed, on both streams."""
        kept = {name: value for name, value in os.environ.items() if _KEPT.match(name)}
        path = os.pathsep.join([str(self.bin), "/usr/local/bin", "/usr/bin", "/bin"])
        environment = {**kept, "HOME": str(self.folder), "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-euc", command], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command}\n{said}"
        return said

    def save(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def follow(self, page: Path) -> str:
        """Do all that a page says; its Python is one script, cut where a command stands between."""
        said, script = [], ""
        for block in blocks(page):
            if block.title:
                self.save(block.title, block.text)
            elif block.language == "python":
                script += block.text
            elif block.language == "sh":
                said += [self._run(script), *map(self.type, commands(block))]
                script = ""
        return "".join([*said, self._run(script)])

    def _run(self, script: str) -> str:
        self.save("page.py", script)
        return self.type("python page.py") if script else ""


def fenced(text: str, language: str) -> list[str]:
    """The blocks of a language in a page that is not one of the documentation's."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def proposed(said: str) -> str:
    """The options that a message offers to copy."""
    return " ".join(re.findall(r"--input '[^']+'", said))


def assert_prints(printed: list[str], readme: str) -> None:
    """A program has printed the numbers that a bundle's README says it must."""
    for line, expected in zip(printed, fenced(readme, "text")[0].splitlines(), strict=True):
        (name, *numbers), (output, *known) = line.split(), expected.split()
        assert name == output
        assert [float(number) for number in numbers] == pytest.approx([float(number) for number in known], rel=1e-3)
