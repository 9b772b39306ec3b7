"""Pickles of the published archives, read without running what they may hold.

A pickle is a program: ``pickle.load`` runs whatever it names. Here :mod:`pellucid.pickled` reads it, which runs nothing
and builds arrays and columns by itself; anything else is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import MissingPackageError, PellucidError
from pellucid.pickled import Refused, load, object_array


def read_pickle(path: Path, *, trust: bool = False) -> dict[str, NDArray[np.generic]]:
    """A pickled pandas table, or a dict of arrays or lists, as columns.

    Args:
        path: The file.
        trust: **Runs whatever the pickle holds.** Only for files that you made, or whose source you trust as you would
            trust a program.

    Returns:
        Columns by name; a column of lists has dtype object.

    Raises:
        PellucidError: if the pickle wants anything that a plain table does not need (it is not run then), is damaged,
            or holds something else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "hits.pkl"
        >>> _ = file.write_bytes(pickle.dumps({"x": np.arange(3)}))
        >>> read_pickle(file)
        {'x': array([0, 1, 2])}
    """
    try:
        content = path.read_bytes()
        table = pickle.loads(content) if trust else load(io.BytesIO(content), tables=True)
    except Refused as error:
        raise PellucidError(f"expected a pickle of a plain table in {path}, got one that wants {error}, which was not "
                            "run; convert the file to parquet where you trust it") from None
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"expected {error.name} for the pickle {path}, got none; pip install "
                                  "'pellucid[collisions]'") from None
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to cause
        raise PellucidError(f"expected a pickle in {path}, got {type(error).__name__}: "
                            f"{' '.join(str(error).split())[:150]}; check the file") from None
    if hasattr(table, "columns") and hasattr(table, "to_numpy"):
        return {str(name): table[name].to_numpy() for name in table.columns}
    if not isinstance(table, dict):
        raise PellucidError(f"expected a table or a dict of columns in {path}, got {type(table).__name__}")
    columns: dict[str, NDArray[np.generic]] = {}
    for name, values in table.items():
        ragged = isinstance(values, (list, tuple)) and any(isinstance(v, (list, tuple, np.ndarray)) for v in values)
        if ragged:
            columns[str(name)] = object_array([np.asarray(v) for v in values])
        else:
            columns[str(name)] = np.asarray(values)
    lengths = {name: len(column) if column.ndim else 0 for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise PellucidError(f"expected columns of one length in {path}, got {lengths}")
    return columns
