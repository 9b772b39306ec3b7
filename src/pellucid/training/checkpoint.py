"""The state of a training on disk: tensors and JSON in one safetensors file, so that reading it can run no code."""

from __future__ import annotations

import contextlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import read_tensors, write_tensors

LAST = "last.safetensors"
"""The newest state of a training that has not ended, in its folder."""
WARM_UP = "warm-up.safetensors"
"""The state at the end of a warm-up of its own."""
OLD = ("last.ckpt", "warm-up.ckpt")
"""What they were called when they were pickles, which run what they hold: these are never opened."""
VERSION = "1"
TRAINING = ("state_dict", "loops", "optimizer_states", "lr_schedulers")
"""What Lightning must find to go on."""
DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool}
"""Of tensors that can be kept."""
_KEY = "pellucid.checkpoint"
_STATE = "state"
_DEEPEST = 100  # levels; more would reach Python's own limit, while saving or, worse, only while loading
_LONGEST = 40_000_000  # characters of JSON: safetensors opens no file with a header above 100 MB
_EXACT = 2**63  # JSON readers elsewhere, and Python's for very many digits, lose or refuse larger integers
_STRUCTURE = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError)
_AGAIN = "delete it to start again"


def save(path: Path, state: Any) -> None:
    """Writes a state, whole or not at all.

    Args:
        path: The file; an older one is replaced.
        state: Nested dicts, lists and tuples of tensors, numbers, booleans, strings and None. Keys are strings or whole
            numbers; an OrderedDict comes back as a dict. Tensors of any shape: dense, of one of :data:`DTYPES`, without
            gradient, on any device.

    Raises:
        PellucidError: for anything else in the state, or if the file cannot be written; an older file stays then.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "state.safetensors"
        >>> save(path, {"step": {0: torch.tensor(3.0)}, "score": (0.5, float("-inf"))})
        >>> load(path)
        {'step': {0: tensor(3.)}, 'score': (0.5, -inf)}
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_packed(state, tensors, "state", 0), allow_nan=False, separators=(",", ":"))
    if len(text) > _LONGEST:
        raise PellucidError(f"expected at most {_LONGEST:,} characters of a state besides its tensors, got "
                            f"{len(text):,}; keep numbers in tensors")
    write_tensors(path, tensors, {_KEY: VERSION, _STATE: text})


def load(path: Path) -> Any:
    """Reads what :func:`save` wrote. Nothing in the file is run, whoever wrote it.

    Args:
        path: The file.

    Returns:
        The state; its tensors are on the CPU and share no memory, with the file or with each other.

    Raises:
        PellucidError: if the file is missing, or of a newer pellucid.
        DamagedFileError: if it is truncated, or something else.
    """
    try:
        tensors, metadata = read_tensors(path)
    except (DamagedFileError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:150]
        raise DamagedFileError(f"expected a checkpoint in {path}, got a damaged or foreign file ({reason}); {_AGAIN}"
                               ) from error
    version = metadata.get(_KEY, "")
    if version not in ("", VERSION):
        raise PellucidError(f"expected a checkpoint of version {VERSION} in {path}, got version {version[:20]!r}; "
                            f"update pellucid or {_AGAIN}")
    if not version or _STATE not in metadata:
        raise DamagedFileError(f"expected a checkpoint in {path}, got other tensors; {_AGAIN}")
    unused = dict(tensors)
    try:
        state = _unpacked(json.loads(metadata[_STATE], parse_constant=_refused), unused, 0)
        if unused:
            raise ValueError(f"{len(unused)} tensors without a place")
    except (*_STRUCTURE, RecursionError) as error:
        raise DamagedFileError(f"expected a checkpoint in {path}, got a malformed one "
                               f"({' '.join(str(error).split())[:150]}); {_AGAIN}") from error
    return state


def refuse_pickled(folder: Path) -> None:
    """Raises PellucidError where a folder holds a checkpoint of the time when these were pickles."""
    for name in OLD:
        if (folder / name).exists():
            raise PellucidError(f"expected {Path(name).stem}.safetensors in {folder}, got {name} of an older pellucid, "
                                "which could run code and is not read; delete it and train again")


@contextlib.contextmanager
def fitting(path: Path, applies: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Tells errors that come up while a loaded state is put to use as what they are: the state of something else.

    Args:
        path: Where the state was read from.
        applies: Whether an error is still one of these.

    Raises:
        DamagedFileError: one sentence instead of the error.

    Example:
        >>> with fitting(Path("last.safetensors")):
        ...     {}["loops"]
        Traceback (most recent call last):
        pellucid.errors.DamagedFileError: expected a state of this training in last.safetensors, got another \
(KeyError: 'loops'); delete it to start again
    """
    try:
        yield
    except PellucidError:
        raise
    except _STRUCTURE as error:
        if not applies():
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise DamagedFileError(f"expected a state of this training in {path}, got another ({reason}); {_AGAIN}"
                               ) from error


class SafeCheckpointIO(CheckpointIO):
    """Lightning's way to disk without pickles: ``Trainer(plugins=[SafeCheckpointIO()])``.

    Then ``trainer.save_checkpoint(path)`` and ``trainer.fit(ckpt_path=path)`` go through :func:`save` and :func:`load`.

    Example:
        >>> import tempfile
        >>> path, files = Path(tempfile.mkdtemp()) / "last.safetensors", SafeCheckpointIO()
        >>> state = {"state_dict": {"a": torch.ones(2)}, "loops": {}, "optimizer_states": [], "lr_schedulers": []}
        >>> files.save_checkpoint(state, path)
        >>> files.load_checkpoint(path)["state_dict"]
        {'a': tensor([1., 1.])}
        >>> files.remove_checkpoint(path)
        >>> path.exists()
        False
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """See :func:`save`."""
        save(Path(path), checkpoint)

    def load_checkpoint(self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None,
                        ) -> dict[str, Any]:
        """See :func:`load`; Lightning moves the tensors, and both other arguments concern pickles.

        Raises:
            DamagedFileError: also if the state is not a training's, or only its weights.
        """
        state: dict[str, Any] = load(Path(path))
        missing = [name for name in TRAINING if not isinstance(state, dict) or name not in state]
        if missing:  # Lightning would begin at the first epoch, with all else from the file
            raise DamagedFileError(f"expected a state of this training in {path}, got one without "
                                   f"{', '.join(missing)}; {_AGAIN}")
        return state

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes the file, if it is there."""
        Path(path).unlink(missing_ok=True)


def _packed(value: Any, tensors: dict[str, Tensor], place: str, depth: int) -> Any:
    """A value as JSON: what JSON has not is a dict with one key, its kind; every tensor gets a number."""
    if depth > _DEEPEST:
        raise PellucidError(f"expected a state of at most {_DEEPEST} levels, got a deeper one at {place[:80]}; do not "
                            "nest it in itself")
    kind = type(value)  # exactly these: a subclass would come back as something else
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_EXACT <= value < _EXACT else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is str:
        try:
            value.encode()  # JSON would join pairs of surrogates to other characters
        except UnicodeEncodeError:
            raise PellucidError(f"expected text that UTF-8 can hold at {place}, got {value[:40]!r}; replace it"
                                ) from None
        return value
    if kind is Tensor:
        tensors[str(len(tensors))] = _plain(value, place)
        return {"tensor": str(len(tensors) - 1)}
    if kind is list:
        return [_packed(entry, tensors, f"{place}[{i}]", depth + 1) for i, entry in enumerate(value)]
    if kind is tuple:
        return {"tuple": [_packed(entry, tensors, f"{place}[{i}]", depth + 1) for i, entry in enumerate(value)]}
    if kind is dict or kind is OrderedDict:
        pairs = []
        for key, entry in value.items():
            if type(key) not in (str, int):
                raise PellucidError(f"expected keys that are text or whole numbers at {place}, got a "
                                    f"{type(key).__name__}; convert it")
            within = f"{place}[{key!r:.40}]"
            pairs.append([_packed(key, tensors, within, depth), _packed(entry, tensors, within, depth + 1)])
        return {"dict": pairs}
    raise PellucidError(f"expected tensors, numbers, text, lists, tuples and dicts, got a {kind.__module__}."
                        f"{kind.__qualname__} at {place}; convert it")


def _plain(tensor: Tensor, place: str) -> Tensor:
    what = None
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type == "meta":
        what = "sparse, quantized, nested or without values (meta)"
    elif tensor.dtype not in DTYPES:
        what = str(tensor.dtype)
    elif tensor.requires_grad:
        what = "with a gradient"
    if what is not None:
        raise PellucidError(f"expected a plain tensor at {place}, got one that is {what}; detach or convert it")
    return tensor.resolve_neg()  # a view that only claims to be negated is written as the memory that it shows


def _unpacked(packed: Any, unused: dict[str, Tensor], depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels")
    if isinstance(packed, list):
        return [_unpacked(entry, unused, depth + 1) for entry in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":  # a copy, since the file is only mapped, and may be replaced while this is in use
        return unused.pop(content).clone()
    if kind == "int" and type(content) is str:
        return int(content, 16)
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "tuple" and type(content) is list:
        return tuple(_unpacked(entry, unused, depth + 1) for entry in content)
    if kind == "dict" and type(content) is list:
        result: dict[str | int, Any] = {}
        for key, entry in content:
            own = _unpacked(key, unused, depth)
            if type(own) not in (str, int) or own in result:
                raise ValueError("a key that is none, or twice")
            result[own] = _unpacked(entry, unused, depth + 1)
        return result
    raise ValueError(f"something that is called {kind[:40]!r}")


def _refused(constant: str) -> Any:
    raise ValueError(f"the constant {constant}")
