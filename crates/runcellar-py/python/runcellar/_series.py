"""The series of one metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray


class Series:
    """One metric of one run, by (step, order written); unpacks into its three arrays.

    Attributes
    ----------
    steps : ndarray of int64, shape (n,)
        Steps; one that was logged several times stands several times.
    values : ndarray of float64, int64, bool or object, shape (n,)
        Values in the narrowest type that holds them all exactly; object for texts and mixtures.
    times : ndarray of int64, shape (n,)
        When each was logged, microseconds UTC since 1970.
    sampled : bool
        True if points were left out because ``points=`` asked for fewer.
    ranks : ndarray of int32, shape (n,), or None
        The rank that logged each; None if the run has no rank besides 0.

    Examples
    --------
    >>> steps, values, times = run.series("loss")  # doctest: +SKIP
    """

    __slots__ = ("ranks", "sampled", "steps", "times", "values")

    steps: NDArray[np.int64]
    values: NDArray[Any]
    times: NDArray[np.int64]
    sampled: bool
    ranks: NDArray[np.int32] | None

    def __init__(
        self,
        steps: NDArray[np.int64],
        values: NDArray[Any],
        times: NDArray[np.int64],
        sampled: bool,
        ranks: NDArray[np.int32] | None = None,
    ) -> None:
        self.steps = steps
        self.values = values
        self.times = times
        self.sampled = sampled
        self.ranks = ranks

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.steps)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield steps, values and times, for unpacking."""
        return iter((self.steps, self.values, self.times))

    def _repr_html_(self) -> str:
        from runcellar import _display

        return _display.series(self)

    def __repr__(self) -> str:
        sampled = ", sampled" if self.sampled else ""
        steps = f", steps {self.steps[0]} to {self.steps[-1]}" if len(self) else ""
        return f"<runcellar.Series: {len(self)} points of {self.values.dtype}{steps}{sampled}>"


Series.__module__ = "runcellar"
