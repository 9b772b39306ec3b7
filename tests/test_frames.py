"""Frames of pandas, Polars and Arrow, and mappings: the same rows as texts, whoever's they are."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from pellucid.errors import PellucidError
from pellucid.frames import PIECE, Frame, cell

MANY = 2 * PIECE + 3
DATA = {"n": [*range(MANY)], "x": [None, *(i / 8 for i in range(1, MANY))], "text": [f"t{i}" for i in range(MANY)]}
ROWS = [(str(i), str(i / 8) if i else "", f"t{i}") for i in range(MANY)]


@pytest.mark.parametrize("make", [
    pd.DataFrame, pl.DataFrame, pa.table, dict, lambda d: pa.table(d).to_reader(),
    lambda d: dataset.dataset(pa.table(d)),
    lambda d: pd.DataFrame(d).set_index(pd.Index(d["text"], name="n")), lambda d: pd.DataFrame(d).convert_dtypes(),
    lambda d: {name: np.array(column, dtype=object) for name, column in d.items()},
], ids=["pandas", "polars", "arrow", "dict", "reader", "dataset", "index", "nullable", "numpy"])
def test_rows_are_the_same_again_and_again(make):
    frame = Frame.of(make(DATA))
    assert frame.names == ("n", "x", "text")
    assert list(frame.rows()) == list(frame.rows()) == ROWS


def test_a_parquet_file(tmp_path):
    parquet.write_table(pa.table(DATA), tmp_path / "a.parquet", row_group_size=700)
    assert list(Frame.of_parquet(tmp_path / "a.parquet", "a").rows()) == ROWS
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(PellucidError, match="expected a parquet file in b"):
        Frame.of_parquet(tmp_path / "b.parquet", "b")


def test_types_are_those_of_columns_whatever_else_is_there():
    twice = pd.DataFrame([[1, "a", 0.5]], columns=["x", "x", "y"])
    assert Frame.of(twice).types() == (pa.int64(), None, pa.float64())
    odd = pd.DataFrame({"c": [1j], "mol": [object()], "when": pd.to_datetime(["2020-01-01"]),
                        "zone": pd.to_datetime(["2020-01-01"], utc=True), "kind": pd.Categorical(["a"])})
    assert [kind is None for kind in Frame.of(odd).types()] == [True, True, False, True, True]
    held = pl.DataFrame({"mol": pl.Series([object()], dtype=pl.Object), "on": [True], "text": ["a"],
                         "day": [datetime.date(2020, 1, 1)], "money": pl.Series([decimal.Decimal("1.5")])})
    assert Frame.of(held).types() == (None, pa.bool_(), None, pa.date32(), None)
    assert Frame.of({"x": [1]}).types() == (None,)


def test_what_is_no_frame():
    for one in ("CCO", 3, [1], None, np.zeros(3), pd.Series([1]), pl.Series([1]), pa.array([1]),
                pa.chunked_array([[1]])):
        assert Frame.of(one) is None


def test_cells():
    assert [cell(v) for v in (np.float32(0.1), np.int64(3), np.bool_(True), pd.NA, pd.NaT, b"a", np.nan)] == [
        "0.1", "3", "True", "", "", "a", ""]
    assert cell(decimal.Decimal("1.50")) == "1.50"
    assert cell(datetime.date(2026, 1, 2)) == "2026-01-02"
    one = object.__new__(type("Thing", (), {"__module__": "elsewhere"}))
    assert cell(one) is one
