"""Pickles of the published archives, read without running what they may hold.

A pickle is a program: ``pickle.load`` runs whatever it names. Here only the few functions that rebuild NumPy arrays and
pandas tables may be named, by their exact module and name; anything else is refused before it is called.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import MissingPackageError, PellucidError

BUILTINS = {"list", "dict", "set", "frozenset", "tuple", "slice", "complex", "bytearray", "int", "float", "str", "bool"}
ALLOWED = {
    "collections": {"OrderedDict"},
    "numpy": {"dtype", "ndarray"},
    **{module: {"_reconstruct", "scalar"} for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{module: {"_frombuffer"} for module in ("numpy.core.numeric", "numpy._core.numeric")},
    "pandas": {"DataFrame", "Series", "Index", "RangeIndex", "MultiIndex", "StringDtype"},
    "pandas.arrays": {"ArrowStringArray"},
    "pyarrow.lib": {"py_buffer", "_restore_array", "type_for_alias"},  # column names of pandas 3
    "pandas.core.frame": {"DataFrame"},
    "pandas.core.series": {"Series"},
    "pandas.core.internals.managers": {"BlockManager", "SingleBlockManager"},
    "pandas.core.internals.blocks": {"new_block"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.indexes.numeric": {"Int64Index", "Float64Index"},
    "pandas.core.indexes.multi": {"MultiIndex"},
}
"""Module -> names that a pickle may call, besides :data:`BUILTINS`: no attribute of them, exactly these."""


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What old pickles of arrays call: bytes that were written as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding}")
    return text.encode("latin1")


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        known = BUILTINS if module in ("builtins", "__builtin__") else ALLOWED.get(module, set())
        if name not in known:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def read_pickle(path: Path, *, trust: bool = False) -> dict[str, NDArray[np.generic]]:
    """A pickled pandas table, or a dict of arrays or lists, as columns.

    Args:
        path: The file.
        trust: **Runs whatever the pickle holds.** Only for files that you made, or whose source you trust as you would
            trust a program.

    Returns:
        Columns by name; a column of lists has dtype object.

    Raises:
        PellucidError: if the pickle names anything that does not rebuild a table (it is not run then), is damaged, or
            holds something else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "hits.pkl"
        >>> _ = file.write_bytes(pickle.dumps({"x": np.arange(3)}))
        >>> read_pickle(file)
        {'x': array([0, 1, 2])}
    """
    try:
        content = path.read_bytes()
        table = pickle.loads(content) if trust else _Restricted(io.BytesIO(content)).load()
    except pickle.UnpicklingError as error:
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
    columns = {}
    for name, values in table.items():
        ragged = isinstance(values, (list, tuple)) and any(isinstance(v, (list, tuple, np.ndarray)) for v in values)
        if ragged:
            columns[str(name)] = np.empty(len(values), dtype=object)
            columns[str(name)][:] = [np.asarray(v) for v in values]
        else:
            columns[str(name)] = np.asarray(values)
    lengths = {name: len(column) if column.ndim else 0 for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise PellucidError(f"expected columns of one length in {path}, got {lengths}")
    return columns
