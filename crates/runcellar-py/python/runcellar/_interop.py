"""Tables as data frames; the packages are imported here, on first use, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runcellar._runcellar import Table


def _need(package: str, method: str) -> Any:
    """Import a package that a method needs, or say how to get it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as missing:
        reason = f"{method}() needs {package}, which cannot be imported ({missing})"
        raise ImportError(f"{reason}: pip install {package}") from missing


def to_arrow(table: Table) -> Any:
    """Return a ``pyarrow.Table`` over the columns of `table`.

    Parameters
    ----------
    table : Table
        What `history` or `runs` returned.

    Returns
    -------
    pyarrow.Table
        Absent values are null, NaN stays NaN.
    """
    return _need("pyarrow", "to_arrow").table(table)


def to_polars(table: Table) -> Any:
    """Return a ``polars.DataFrame`` over the columns of `table`.

    Parameters
    ----------
    table : Table
        What `history` or `runs` returned.

    Returns
    -------
    polars.DataFrame
        Absent values are null, NaN stays NaN.
    """
    return _need("polars", "to_polars").DataFrame(table)


def to_pandas(table: Table) -> Any:
    """Return a ``pandas.DataFrame`` of `table`.

    Parameters
    ----------
    table : Table
        What `history` or `runs` returned.

    Returns
    -------
    pandas.DataFrame
        Columns with absent values have pandas' masked types (``Int64``, ``Float64``, ``boolean``),
        so that absent and NaN stay apart; all other columns have numpy's.
    """
    np, pd = _need("numpy", "to_pandas"), _need("pandas", "to_pandas")
    masked = {
        "int64": pd.arrays.IntegerArray,
        "float64": pd.arrays.FloatingArray,
        "bool": pd.arrays.BooleanArray,
    }
    columns: dict[str, Any] = {}
    for name, kind, cells, mask in table._parts():
        absent = None if mask is None else np.frombuffer(mask, dtype=bool)
        if kind == "time":
            times = np.frombuffer(cells, dtype=np.int64).view("datetime64[us]")
            if absent is not None:
                times[absent] = np.datetime64("NaT")
            columns[name] = pd.Series(times).dt.tz_localize("UTC")
        elif kind in masked:
            values = np.frombuffer(cells, dtype=kind)
            columns[name] = values if absent is None else masked[kind](values, absent)
        else:
            objects = np.empty(len(cells), dtype=object)
            # Not objects[:] = cells, which looks into lists for a shape.
            for row, cell in enumerate(cells):
                objects[row] = cell
            columns[name] = pd.Series(objects, dtype=object)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))
