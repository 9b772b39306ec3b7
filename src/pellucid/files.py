"""Files that are whole or absent: everything is written under a temporary name and then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from safetensors import SafetensorError, safe_open

from pellucid.errors import DamagedFileError, PellucidError

if TYPE_CHECKING:
    import torch


def home() -> Path:
    """The folder for datasets and downloads: ``$PELLUCID_HOME``, else the platform's cache folder."""
    return Path(os.environ.get("PELLUCID_HOME") or platformdirs.user_cache_dir("pellucid")).expanduser()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is renamed to ``path``, on failure removed.

    Raises:
        PellucidError: if the disk is full or the folder cannot be written; nothing is left behind.

    Example:
        >>> import tempfile; folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [p.name for p in folder.iterdir()]
        ['a.txt']
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes private files; these are ordinary ones
        temporary.replace(path)
    except OSError as error:
        raise PellucidError(f"expected to write {path}, got {error.strerror or error}; free some space or choose "
                            "another folder (nothing half-written was left)") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes several files into a folder, all of them or none.

    Args:
        folder: Made if it is not there.
        texts: Name -> content.

    Returns:
        Their paths.
    """
    paths = [folder / name for name in texts]
    with contextlib.ExitStack() as stack:  # renames only after the last one is written
        for path, text in zip(paths, texts.values(), strict=True):
            stack.enter_context(replacing(path)).write_text(text, encoding="utf-8")
    return paths


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all.

    Raises:
        PellucidError: if the content holds NaN, an infinity or anything else that JSON has not, or cannot be written.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PellucidError(f"expected content for {path} that JSON can hold, got {error}; convert it") from error
    write_text(path, text + "\n")


def json_ready(value: Any) -> Any:
    """NaN and infinity become None, since JSON has neither."""
    if isinstance(value, dict):
        return {k: json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        PellucidError: if the file is missing.
        DamagedFileError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PellucidError(f"expected a file {path}, got nothing there; check the path") from None
    except (ValueError, OSError) as error:
        raise DamagedFileError(f"expected JSON in {path}, got a damaged file ({error}); delete it and make it "
                               "again") from error


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes safetensors, whole or not at all."""
    from safetensors.torch import save_file  # brings torch, which takes seconds and most users of this file do not need

    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    seen: set[int] = set()
    for name, tensor in ready.items():  # safetensors refuses tensors that share memory
        storage = tensor.untyped_storage().data_ptr()
        if storage in seen:
            ready[name] = tensor.clone()
        seen.add(storage)
    with replacing(path) as temporary:
        try:
            save_file(ready, temporary, dict(metadata or {}))
        except SafetensorError as error:  # the Rust side reports a full disk as its own error
            raise OSError(None, str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Memory-maps a safetensors file: tensors and the string metadata.

    Raises:
        PellucidError: if the file is missing.
        DamagedFileError: if it is truncated or not safetensors.
    """
    if not path.is_file():
        raise PellucidError(f"expected a file {path}, got nothing there; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(f"expected safetensors in {path}, got a damaged file ({error}); delete it and make it "
                               "again") from error


def digest(content: Any) -> str:
    """Short stable hash of JSON-able content, for cache keys.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_used(folder: Path, overwrite: bool | None = None) -> None:
    """Raises PellucidError if a folder holds anything, so that no results are lost or mixed with others.

    Args:
        folder: Where results are to go; it need not be there.
        overwrite: Whether what is in it may be replaced; None where a user cannot say so.
    """
    if not overwrite and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PellucidError(f"expected a new or empty folder, got {folder} with other things in it; choose another"
                            + ("" if overwrite is None else " or pass --overwrite"))
