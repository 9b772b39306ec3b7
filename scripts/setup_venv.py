"""Makes the virtual environment and installs the project into it, with the tested versions.

    python3 scripts/setup_venv.py .venv
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


def main() -> None:
    folder = Path(sys.argv[1])
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    # torch first and alone: resolved among others it may come as a build with gigabytes of CUDA packages
    for what in (["torch"], ["-e", ".[dev]"]):
        print(f"installing {what[-1]} into {folder} ...", flush=True)
        done = subprocess.run([*pip, *what], check=False)
        if done.returncode:
            sys.exit(f"expected pip to install {what[-1]}, got exit status {done.returncode}; see its message above")


if __name__ == "__main__":
    main()
