"""Views of a run's fields that write through: config, summary, tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runcellar._run import Run


class _Tagged(Protocol):
    def _tags(self) -> list[str]: ...

    def _set_tags(self, add: list[str], remove: list[str]) -> None: ...


class Config(dict[str, Any]):
    """Parameters of a run: a dict whose items are attributes too, and whose changes are recorded.

    Nested dicts are such views as well; a change in one records the top-level key above it. Lists
    are plain: assign them again after changing them. Names that are methods of dict (``items``,
    ``update``) and names that begin with an underscore are reached as items only.

    Examples
    --------
    >>> run.config["optimizer"] = {"name": "sgd", "lr": 0.1}  # doctest: +SKIP
    >>> run.config.optimizer.lr = 0.05  # doctest: +SKIP
    """

    __slots__ = ("_path", "_run", "_top", "_top_key")

    def __init__(
        self,
        run: Run,
        values: Mapping[str, Any],
        path: str = "config",
        top: Config | None = None,
        top_key: str | None = None,
    ) -> None:
        super().__init__()
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_top", self if top is None else top)
        object.__setattr__(self, "_top_key", top_key)
        for key, value in values.items():
            super().__setitem__(key, self._wrap(key, value))

    def _wrap(self, key: str, value: Any) -> Any:
        """Return `value` as it is kept under `key`: dicts as views."""
        if not isinstance(value, dict):
            return value
        top_key = key if self._top_key is None else self._top_key
        return Config(self._run, value, f"{self._path}.{key}", self._top, top_key)

    def _record(self, changes: Mapping[Any, Any]) -> None:
        """Record items of this level; one that cannot be stored is counted and changes nothing."""
        for key, value in changes.items():
            # Going through the store's form shows at once what will be read: a tuple is a list.
            plain = self._run._plain_config(self._path, {key: value})
            if plain is None:
                continue
            ((name, member),) = plain.items()
            missing = object()
            before = self.get(name, missing)
            super().__setitem__(name, self._wrap(name, member))
            top_key = name if self._top_key is None else self._top_key
            try:
                self._run._set_config(top_key, self._top[top_key])
            except BaseException:
                if before is missing:
                    super().__delitem__(name)
                else:
                    super().__setitem__(name, before)
                raise

    def _record_removal(self, key: str) -> None:
        if self._top_key is None:
            self._run._remove_config(key)
        else:
            self._run._set_config(self._top_key, self._top[self._top_key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._record({key: value})

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._record_removal(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"config has no key {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(dict, name):
            raise AttributeError(f"{name!r} cannot be an attribute; use config[{name!r}]")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"config has no key {name!r}") from None

    def __ior__(self, other: Any) -> Config:  # type: ignore[override,misc]
        self.update(other)
        return self

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several items, given as for ``dict.update``.

        Parameters
        ----------
        *args : mapping or iterable of pairs
            At most one.
        **kwargs : Any
            Further items.
        """
        self._record(dict(*args, **kwargs))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the item `key`, set to `default` first if it is not there.

        Parameters
        ----------
        key : str
            Name of the item.
        default : Any
            Value of an item that is not there.

        Returns
        -------
        Any
            The item.
        """
        if key not in self:
            self[key] = default
        return self.get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove an item and return it.

        Parameters
        ----------
        key : str
            Name of the item.
        *default : Any
            What to return if it is not there; without one that is a KeyError.

        Returns
        -------
        Any
            The item.
        """
        was_there = key in self
        value = super().pop(key, *default)
        if was_there:
            self._record_removal(key)
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last item and return it.

        Returns
        -------
        tuple of str and Any
            Name and value.
        """
        key, value = super().popitem()
        self._record_removal(key)
        return key, value

    def clear(self) -> None:
        """Remove all items."""
        for key in list(self):
            del self[key]

    def copy(self) -> dict[str, Any]:
        """Return the items as plain nested dicts.

        Returns
        -------
        dict
            A copy that records nothing.
        """
        return {
            key: value.copy() if isinstance(value, Config) else value for key, value in self.items()
        }

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return (dict, (self.copy(),))


class Summary(MutableMapping[str, Any]):
    """The summary of a run: its last or best value per metric, and what is set here.

    Reading asks the store, so it shows what was logged a moment ago. Nested dicts become dotted
    keys. Items are attributes too.

    Examples
    --------
    >>> run.summary["best_accuracy"] = 0.97  # doctest: +SKIP
    """

    __slots__ = ("_local", "_run")

    def __init__(self, run: Run) -> None:
        object.__setattr__(self, "_run", run)
        # A run that records nothing has no store to ask.
        object.__setattr__(self, "_local", {} if run.disabled else None)

    def _read(self) -> dict[str, Any]:
        if self._local is not None:
            local: dict[str, Any] = self._local
            return local
        info = self._run._info()
        summary: dict[str, Any] = {} if info is None else info["summary"]
        return summary

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        if key not in self._read():
            raise KeyError(key)
        if self._local is not None:
            del self._local[key]
        else:
            self._run._remove_summary(key)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values, given as for ``dict.update``.

        Parameters
        ----------
        *args : mapping or iterable of pairs
            At most one.
        **kwargs : Any
            Further values.
        """
        stored = self._run._set_summary(dict(*args, **kwargs))
        if self._local is not None:
            self._local.update(stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __contains__(self, key: object) -> bool:
        return key in self._read()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"summary has no key {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(type(self), name):
            raise AttributeError(f"{name!r} cannot be an attribute; use summary[{name!r}]")
        self[name] = value

    def __eq__(self, other: object) -> bool:
        return self._read() == (dict(other) if isinstance(other, Mapping) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._read())


class Tags(MutableSet[str]):
    """The tags of a run, in order of adding; adding and removing write through.

    Examples
    --------
    >>> run.tags.add("baseline")  # doctest: +SKIP
    """

    __slots__ = ("_run",)

    def __init__(self, run: _Tagged) -> None:
        self._run = run

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        # Unions and the like are plain sets: they are nobody's tags.
        return set(it)

    def __contains__(self, tag: object) -> bool:
        return tag in self._run._tags()

    def __iter__(self) -> Iterator[str]:
        return iter(self._run._tags())

    def __len__(self) -> int:
        return len(self._run._tags())

    def add(self, value: str) -> None:
        """Add a tag.

        Parameters
        ----------
        value : str
            The tag; one that is there already changes nothing.
        """
        self.update([value])

    def discard(self, value: str) -> None:
        """Take a tag away, if it is there.

        Parameters
        ----------
        value : str
            The tag.
        """
        if value in self:
            self._run._set_tags([], [value])

    def update(self, tags: Iterable[str]) -> None:
        """Add several tags.

        Parameters
        ----------
        tags : iterable of str
            The tags.
        """
        known = self._run._tags()
        new = [tag for tag in tags if tag not in known]
        if new:
            self._run._set_tags(new, [])

    def _replace(self, tags: Iterable[str]) -> None:
        """Make `tags` the tags of the run."""
        wanted, known = list(tags), self._run._tags()
        add = [tag for tag in wanted if tag not in known]
        remove = [tag for tag in known if tag not in wanted]
        if add or remove:
            self._run._set_tags(add, remove)

    def __repr__(self) -> str:
        return repr(list(self))


for _class in (Config, Summary, Tags):
    _class.__module__ = "runcellar"
