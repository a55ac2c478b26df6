"""Tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runcellar import _runcellar
from runcellar._errors import InvalidArgumentError
from runcellar.media._base import Media, of_bytes

#: Floats that JSON has no number for, as `runcellar ls --json` writes them.
_UNUSUAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Table(Media):
    """Rows under named columns, with media in cells if need be.

    Parameters
    ----------
    columns : sequence of str, optional
        Names of the columns.
    data : iterable, optional
        Rows: sequences, or dicts, whose keys are the columns if none are given; or an array.
    dataframe : pandas.DataFrame, optional
        A table to take, in place of the others.

    Notes
    -----
    The table is copied when it is logged; `add_data` adds a row before.
    """

    __slots__ = ("_columns", "_rows")

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: Iterable[Any] | None = None,
        *,
        dataframe: Any = None,
    ) -> None:
        if dataframe is not None:
            if columns is not None or data is not None:
                raise InvalidArgumentError("table: either a dataframe or columns and data")
            columns = [str(name) for name in dataframe.columns]
            data = dataframe.itertuples(index=False, name=None)
        elif hasattr(data, "itertuples"):
            columns = [str(name) for name in data.columns]  # type: ignore[union-attr]
            data = data.itertuples(index=False, name=None)  # type: ignore[union-attr]
        rows = list(data) if data is not None else []
        if columns is None:
            named = [row for row in rows if isinstance(row, Mapping)]
            if named:
                columns = list(dict.fromkeys(str(name) for row in named for name in row))
            else:
                columns = [str(index) for index in range(len(rows[0]) if rows else 0)]
        self._columns = [str(name) for name in columns]
        if len(set(self._columns)) != len(self._columns):
            raise InvalidArgumentError("table: two columns of one name")
        self._rows: list[list[Any]] = []
        for row in rows:
            if isinstance(row, Mapping):
                self.add_data(*[row.get(name) for name in self._columns])
            else:
                self.add_data(*row)

    @property
    def columns(self) -> list[str]:
        """Names of the columns; a copy."""
        return list(self._columns)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<runcellar.Table: {len(self._rows)} rows of {len(self._columns)} columns>"

    def add_data(self, *values: Any) -> None:
        """Add a row."""
        if len(values) != len(self._columns):
            raise InvalidArgumentError(
                f"table: a row of {len(values)} values, and {len(self._columns)} columns"
            )
        self._rows.append(list(values))

    def _runcellar_media(self) -> _runcellar.MediaData:
        parts: list[_runcellar.MediaData] = []
        rows = [[_cell(value, parts) for value in row] for row in self._rows]
        text = json.dumps({"columns": self._columns, "rows": rows}, allow_nan=False)
        try:
            content = of_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidArgumentError("table: a text that is not Unicode") from error
        said = {"columns": len(self._columns), "rows": len(rows)}
        self._set("table", "json", content, said, parts=parts)
        return self._data

    @property
    def kind(self) -> str:
        """``table``."""
        return "table"

    @property
    def format(self) -> str:
        """``json``."""
        return "json"

    @property
    def metadata(self) -> dict[str, Any]:
        """How many columns and rows there are."""
        return {"columns": len(self._columns), "rows": len(self._rows)}

    @property
    def caption(self) -> str | None:
        """Tables have none."""
        return None

    def data(self) -> bytes:
        """Return its bytes as they will be stored."""
        return self._runcellar_media().make()


def _cell(value: Any, parts: list[_runcellar.MediaData]) -> Any:
    """Return a cell as JSON has it; media are named by their place among the parts."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else {"int": str(value)}
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"float": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    if hasattr(type(value), "_runcellar_media"):
        parts.append(value._runcellar_media())
        return {"media": len(parts) - 1}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return _cell(value.item(), parts)
    if isinstance(value, Mapping):
        return {"map": [[str(name), _cell(one, parts)] for name, one in value.items()]}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_cell(one, parts) for one in value]
    raise InvalidArgumentError(f"table: a cell of type {type(value).__name__} cannot be stored")


def cell_back(cell: Any, parts: Sequence[Any]) -> Any:
    """Return the value of a stored cell."""
    if isinstance(cell, list):
        return [cell_back(one, parts) for one in cell]
    if isinstance(cell, dict) and len(cell) == 1:
        (name, value), *_ = cell.items()
        if name == "float":
            return _UNUSUAL[value]
        if name == "int":
            return int(value)
        if name == "media":
            return parts[value]
        if name == "map":
            return {key: cell_back(one, parts) for key, one in value}
    return cell
