"""Install the wheels that a machine without network lacks. It needs nothing but Python and pip.

    python -m benchmarks.gpu.offline offline/wheels offline/.site

Prints the wheels that are installed. A package that the machine has already is left out, whatever
its version.
"""

import importlib.metadata
import subprocess
import sys
from pathlib import Path


def missing(wheels: Path) -> list[Path]:
    """The wheels in a folder whose package is not installed."""
    return [wheel for wheel in sorted(wheels.glob("*.whl")) if not _is_installed(wheel)]


def _is_installed(wheel: Path) -> bool:
    try:
        importlib.metadata.version(wheel.name.split("-")[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main(wheels: Path, site: Path) -> None:
    """Install what is missing into the folder ``site``."""
    found = missing(wheels)
    print("installed:", *(wheel.name for wheel in found))
    if found:
        options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--target", str(site)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *found], check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
