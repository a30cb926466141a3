"""`python -m providers.swiftshader COMMAND...` runs a command on Chromium's software Vulkan driver, for WebGPU.

A driver that VK_ICD_FILENAMES names already is left, so that a GPU can be tried.
"""

from __future__ import annotations

import os
import sys
import tempfile
from glob import glob

DRIVER = "vk_swiftshader_icd.json"
PLACES = ("/usr/lib*/chromium*", "/opt/google/chrome*")


def main(command: list[str]) -> None:
    environment = dict(os.environ)
    if "VK_ICD_FILENAMES" not in environment:
        found = [path for place in PLACES for path in sorted(glob(f"{place}/{DRIVER}"))]
        if not found:
            sys.exit(
                f"There is no {DRIVER}, the Vulkan driver that comes with Chromium. Get it with: "
                "apt-get install -y chromium; or set VK_ICD_FILENAMES to the driver of a GPU."
            )
        environment["VK_ICD_FILENAMES"] = found[0]
        # Beside the driver lies a Vulkan loader, for systems without one.
        paths = [os.path.dirname(found[0]), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    # The Vulkan loader complains on every start where this is not set.
    environment.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
