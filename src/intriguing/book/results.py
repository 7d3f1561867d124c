"""Results as data: tables and claims, recorded once and compared with every later run of the same profile.

They lie in ``results/<profile>/<name>.json`` of the checkout, small and readable enough for a review of
changes.
"""

from __future__ import annotations

import json
import math
import numbers
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from intriguing.attack import files
from intriguing.book import settings
from intriguing.book.verdicts import Difference, Verdict

_REFRESH = "run it once with INTRIGUING_RECORD=1 to store it"
_ABSENT, _PRESENT = "absent", "present"
_UNDECIDED = "undecided"

Tolerance: TypeAlias = float | Mapping[str, float] | pd.DataFrame
"""Largest absolute difference allowed: one number, one by column, or a frame with one by row and column."""


_NOTHING = 1e-6
"""A tolerance that only rounding uses up; it is wide for no entry, not even for zero."""


class ResultError(RuntimeError):
    """A stored run cannot be found, read or placed."""


class MissingResult(ResultError):
    """There is no stored run of that name and profile."""


@dataclass(frozen=True)
class Table:
    """A table of numbers with the run that made it.

    Attributes:
        name: The name of its file: letters, digits, ``-`` and ``_``.
        columns: The names of the columns.
        rows: The entries by name of the row, one per column, finite; None, or NaN on the way in, where there
            is none.
        meta: JSON values about the run; ``data`` says which data set it used. Recording adds
            :func:`intriguing.book.settings.provenance`.
    """

    name: str
    columns: list[str]
    rows: dict[str, list[float | None]]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if isinstance(self.columns, str) or not isinstance(self.rows, Mapping):
            raise ValueError(f"Table {self.name!r} has columns or rows of another kind; expected a list and a dict.")
        columns = list(self.columns)
        if not all(isinstance(column, str) for column in columns) or len(set(columns)) < len(columns):
            raise ValueError(f"Table {self.name!r} has the columns {columns}; expected different strings.")
        rows = {}
        for row, entries in self.rows.items():
            entries = [] if isinstance(entries, str) else list(entries)
            if not isinstance(row, str) or len(entries) != len(columns):
                raise ValueError(
                    f"Table {self.name!r} has {len(entries)} entries in row {row!r}; "
                    f"expected a string and {len(columns)} entries, one per column."
                )
            rows[row] = [_entry(self.name, row, column, value) for column, value in zip(columns, entries, strict=True)]
        _check_meta(self.name, self.meta)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "rows", rows)

    @classmethod
    def from_frame(cls, name: str, frame: pd.DataFrame, meta: dict[str, Any] | None = None) -> Table:
        """Returns a table with the entries of a data frame.

        Args:
            name: The table's name.
            frame: Numbers; its index names the rows. NaN stands for no entry.
            meta: As for the class; None stands for nothing.

        Raises:
            ValueError: A name is used twice, or an entry is no finite number.
        """
        if not frame.index.is_unique:
            raise ValueError(f"Table {name!r} has the rows {list(frame.index)}; expected different names.")
        rows = dict(zip(frame.index, frame.to_numpy(dtype=object).tolist(), strict=True))
        return cls(name, list(frame.columns), rows, dict(meta or {}))

    def to_frame(self) -> pd.DataFrame:
        """Returns the table as a data frame of floats, with NaN where there is no entry."""
        return pd.DataFrame.from_dict(self.rows, orient="index", columns=self.columns).astype(float)


class _Tabular(Protocol):
    columns: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]


def record(table: Table) -> Path:
    """Stores a table as the run that later ones are compared with.

    Args:
        table: The table; ``table.meta["data"]`` has to say which data set was used. Entries are rounded to
            six significant digits. What ``meta`` holds goes before what :func:`intriguing.book.settings.provenance`
            says.

    Returns:
        The file.

    Warns:
        UserWarning: Entries that were numbers in the stored run are none in this one.

    Raises:
        ValueError: ``data`` is missing from the meta data, the profile in it is unknown, or the table is empty.
        ResultError: This is no checkout of the source.
        OSError: The file cannot be written; a stored run that was there is left as it was.
    """
    _check_data(table)
    meta = settings.provenance() | table.meta
    rows = {row: [_rounded(value) for value in entries] for row, entries in table.rows.items()}
    content = {"meta": meta, "columns": table.columns, "rows": rows}
    lost = _lost(table, meta["profile"])
    if lost:
        warnings.warn(
            f"Table {table.name!r} has no number any more where the stored run had one: {'; '.join(lost)}.",
            stacklevel=2,
        )
    return _write(table.name, meta["profile"], content)


def load(name: str, profile: str | None = None) -> Table:
    """Returns a stored table.

    Args:
        name: The table's name.
        profile: ``quick`` or ``paper``; None takes the profile of this run.

    Raises:
        ValueError: There is no such profile.
        MissingResult: No such run is stored.
        ResultError: This is no checkout of the source, or the file holds no table of that profile.
    """
    content = _stored(name, profile)
    try:
        return Table(name, content["columns"], content["rows"], content["meta"])
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise _unreadable(location(name, profile), problem) from problem


def last_run(content: Mapping[str, Any]) -> float | None:
    """Returns the seconds of the run that wrote a measurement last, None where it does not say."""
    meta = content.get("meta", {})
    return meta.get("wall_seconds", meta.get("seconds"))


def measured(name: str, took: Callable[[dict[str, Any]], float | None] = last_run) -> dict[str, Any]:
    """Returns what a program of the folder ``benchmarks`` has measured or computed, and stored.

    Args:
        name: Of the file, for instance ``peers``, ``growth`` or ``back_feeding``.
        took: From the content, the seconds that all of it took at least, for the foot of the page.

    Returns:
        The content of ``results/benchmarks/<name>.json``; its ``meta`` names the machine, and in most files the day.

    Raises:
        MissingResult: No such measurement is stored.
        ResultError: This is no checkout of the source, or the file cannot be read.
    """
    path = location(name).parents[1] / "benchmarks" / f"{name}.json"
    try:
        content = _read(path)
        seconds = took(content)
    except FileNotFoundError:
        found = f"no measurement in results/benchmarks/{name}.json"
        raise MissingResult(f"{found}; the programs of the folder benchmarks make it.") from None
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as problem:
        raise _unreadable(path, problem) from problem
    settings.measured(name, seconds)
    return content


def compare(table: Table, tolerance: Tolerance) -> Verdict:
    """Compares a table with the stored run of its profile.

    Both are rounded to six significant digits first. An entry agrees when the two differ by the tolerance or
    less; a missing entry agrees with a missing one only. The order of rows and columns does not matter.

    Args:
        table: The table; its profile is ``table.meta["profile"]`` where that is given, else the one of this
            run.
        tolerance: The largest absolute difference allowed: for all entries, by column, or by row and column.

    Raises:
        ValueError: A tolerance is negative or not finite, or a row or a column has none.
        ResultError: This is no checkout of the source, or the stored file holds no table.
    """
    allowed = _tolerances(table, tolerance)
    subject = f"Table {table.name!r}"
    try:
        stored = load(table.name, table.meta.get("profile"))
    except MissingResult as problem:
        return Verdict(subject, False, 0, [], f"{subject} cannot be compared: {problem}")
    differences = [
        *_unmatched(table.rows, stored.rows, lambda row: (row, None)),
        *_unmatched(table.columns, stored.columns, lambda column: (None, column)),
    ]
    entries = loose = 0
    for row, column, got in _entries(table):
        if row in stored.rows and column in stored.columns:
            entries += 1
            kept = _rounded(stored.rows[row][stored.columns.index(column)])
            loose += kept is not None and allowed[row, column] > max(abs(kept) / 2, _NOTHING)
            if not _close(_rounded(got), kept, allowed[row, column]):
                differences.append(Difference(row, column, _rounded(got), kept, allowed[row, column]))
    settings.guarded(table.name, entries, loose)
    within = f"{entries} of {entries} entries within tolerance."
    return _verdict(subject, entries, differences, f"{subject} agrees with the stored run: {within}")


def check(table: Table, tolerance: Tolerance) -> str:
    """Compares a table with the stored run of its profile, in a recording run after storing it.

    Args:
        table: The table, as for :func:`record` and :func:`compare`.
        tolerance: As for :func:`compare`.

    Returns:
        The verdict in one line, which holds no numbers of the profile where all agrees.

    Raises:
        ValueError: As for :func:`record` and :func:`compare`.
        ResultError: As for :func:`compare`.
        OSError: As for :func:`record`.
    """
    _check_data(table)
    if settings.recording():
        record(table)
    return str(compare(table, tolerance))


def check_claims(name: str, claims: Mapping[str, bool | None], meta: Mapping[str, Any] | None = None) -> str:
    """Compares which claims hold with the stored run of this profile, in a recording run after storing them.

    A claim may be undecided. That is an outcome of its own: it agrees with an undecided one only.

    Args:
        name: The name of the file: letters, digits, ``-`` and ``_``.
        claims: Whether each claim, a sentence, has come out true; None where the run has not decided it.
        meta: JSON values about the run that go before what :func:`intriguing.book.settings.provenance` says.

    Returns:
        The verdict in one line.

    Raises:
        TypeError: A claim came out as something else than true, false or undecided.
        ValueError: The name or the meta data cannot be stored, or there are no claims.
        ResultError: This is no checkout of the source, or the stored file holds no claims.
        OSError: The file cannot be written.
    """
    _check_name(name)
    for claim, holds in claims.items():
        if not isinstance(claim, str) or not isinstance(holds, bool | np.bool_ | None):
            raise TypeError(f"Claim {claim!r} came out as {holds!r}; expected a sentence with True, False or None.")
    claims = {claim: None if holds is None else bool(holds) for claim, holds in claims.items()}
    meta = dict(meta or {})
    _check_meta(name, meta)
    if not claims:
        raise ValueError(f"Claims {name!r} are none; expected at least one sentence.")
    if settings.recording():
        whole = settings.provenance() | meta
        _write(name, whole["profile"], {"meta": whole, "claims": claims})
    return str(compare_claims(name, claims, meta.get("profile")))


def compare_claims(name: str, claims: Mapping[str, bool | None], profile: str | None = None) -> Verdict:
    """Compares which claims hold with a stored run.

    Args:
        name: The name of the file.
        claims: Whether each claim, a sentence, has come out true; None where the run has not decided it.
        profile: The profile of the stored run; None takes the one of this run.

    Raises:
        ResultError: This is no checkout of the source, or the stored file holds no claims.
    """
    subject = f"Claims {name!r}"
    try:
        stored = load_claims(name, profile)
    except MissingResult as problem:
        return Verdict(subject, False, 0, [], f"{subject} cannot be compared: {problem}")
    differences = list(_unmatched(claims, stored, lambda claim: (claim, None)))
    for claim in claims:
        if claim in stored and claims[claim] != stored[claim]:
            got, kept = (_UNDECIDED if holds is None else holds for holds in (claims[claim], stored[claim]))
            differences.append(Difference(claim, None, got, kept, None))
    agreeing = f"All {len(claims)} claims come out as in the stored run."
    return _verdict(subject, len(claims), differences, agreeing)


def load_claims(name: str, profile: str | None = None) -> dict[str, bool | None]:
    """Returns stored claims: sentence -> whether it holds, None where the run has not decided it.

    Args:
        name: The name of the file.
        profile: ``quick`` or ``paper``; None takes the profile of this run.

    Raises:
        ValueError: There is no such profile.
        MissingResult: No such run is stored.
        ResultError: This is no checkout of the source, or the file holds no claims of that profile.
    """
    claims = _stored(name, profile).get("claims")
    if not isinstance(claims, dict):
        raise _unreadable(location(name, profile), "it holds no claims")
    for claim, holds in claims.items():
        if not isinstance(holds, bool | None):
            raise _unreadable(location(name, profile), f"{claim!r} is {holds!r}, neither true, false nor null")
    return claims


def frame_against(table: _Tabular, reference: _Tabular) -> pd.DataFrame:
    """Sets a table beside another one, for display.

    Args:
        table: Our table.
        reference: The paper's table from :mod:`intriguing.book.paper`, or any other with ``columns`` and ``rows``.

    Returns:
        For each column that both have, in our order, the columns ``ours``, ``paper`` and ``difference`` (ours
        minus the paper's). Rows are ours first and then those that the reference alone has; NaN where there
        is no entry.

    Raises:
        ValueError: They have no column in common.
    """
    shared = [column for column in table.columns if column in reference.columns]
    if not shared:
        raise ValueError(
            f"got the columns {list(table.columns)} and {list(reference.columns)}; "
            "expected at least one that both have."
        )
    rows = list(dict.fromkeys([*table.rows, *reference.rows]))
    ours, papers = (
        pd.DataFrame.from_dict(dict(part.rows), orient="index", columns=list(part.columns))
        .astype(float)
        .reindex(index=rows, columns=shared)
        for part in (table, reference)
    )
    parts = {"ours": ours, "paper": papers, "difference": ours - papers}
    beside = pd.concat(parts, axis="columns").swaplevel(axis="columns")
    return beside[[(column, part) for column in shared for part in parts]]


def location(name: str, profile: str | None = None) -> Path:
    """Returns the file of a stored run, whether it exists or not.

    Args:
        name: The table's or the claims' name.
        profile: ``quick`` or ``paper``; None takes the profile of this run.

    Raises:
        ValueError: The name holds other characters than letters, digits, ``-`` and ``_``, or there is no such
            profile.
        ResultError: This is no checkout of the source.
    """
    _check_name(name)
    profile = settings.profile(profile).name
    root = settings.checkout()
    if root is None:
        raise ResultError(
            f"No checkout of the source found at or above {Path.cwd()}, and the stored runs lie in its "
            "folder 'results': start from within the checkout, or install from it with pip install -e."
        )
    return root / "results" / profile / f"{name}.json"


def _write(name: str, profile: str, content: dict[str, Any]) -> Path:
    path = location(name, profile)
    encoded = _text(content).encode()
    files.write_atomically(path, encoded)
    settings.wrote(path, encoded)
    return path


def _text(content: dict[str, Any]) -> str:
    """Returns JSON with one line per entry of meta, per row and per claim, so that a change is one line."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            # The order of rows and claims means something; that of the meta data does not.
            entries = sorted(value.items()) if key == "meta" else value.items()
            lines = ",\n".join(f"    {_json(name)}: {_json(entry)}" for name, entry in entries)
            parts.append(f"  {_json(key)}: {{\n{lines}\n  }}" if lines else f"  {_json(key)}: {{}}")
        else:
            parts.append(f"  {_json(key)}: {_json(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _stored(name: str, profile: str | None) -> dict[str, Any]:
    path = location(name, profile)
    try:
        content = _read(path)
    except FileNotFoundError:
        relative = path.relative_to(path.parents[2])
        raise MissingResult(f"no stored run in {relative.as_posix()}; {_REFRESH}.") from None
    except (OSError, ValueError) as problem:
        raise _unreadable(path, problem) from problem
    meta, wanted = content.get("meta"), path.parent.name
    if isinstance(meta, dict) and meta.get("profile", wanted) != wanted:
        raise _unreadable(path, f"it is of profile {meta['profile']}")
    return content


def _read(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; one that has a name twice is none, for one of the two would be lost."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in it twice")
        return found

    content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def _lost(table: Table, profile: str) -> list[str]:
    """The entries of a table that are none and are numbers in the stored run, if there is one."""
    try:
        stored = load(table.name, profile)
    except ResultError:
        return []
    return [
        f"{row!r} / {column!r}"
        for row, column, value in _entries(table)
        if value is None
        and row in stored.rows
        and column in stored.columns
        and stored.rows[row][stored.columns.index(column)] is not None
    ]


def _unreadable(path: Path, problem: object) -> ResultError:
    return ResultError(f"The stored run {path} cannot be read ({problem}); restore it from git, or {_REFRESH}.")


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name, flags=re.ASCII):
        raise ValueError(f"name is {name!r}; expected letters, digits, - and _ only.")


def _check_data(table: Table) -> None:
    if not table.meta.get("data"):
        raise ValueError(f"Table {table.name!r} has no meta['data']; expected the data set it rests on.")
    if not table.rows or not table.columns:
        raise ValueError(f"Table {table.name!r} has no entries; expected at least one row and one column.")


def _check_meta(name: str, meta: Mapping[str, Any]) -> None:
    try:
        if not all(isinstance(key, str) for key in meta):
            raise TypeError("a key is no string")
        _json(meta)
    except (TypeError, ValueError) as problem:
        raise ValueError(
            f"meta of {name!r} cannot be written as JSON ({problem}); "
            "expected strings, finite numbers, lists and dicts."
        ) from problem


def _entry(name: str, row: str, column: str, value: Any) -> float | None:
    """Returns an entry as a plain float, or None for None and NaN."""
    if value is None or value is pd.NA:
        return None
    # A tensor or an array with one element has item(); what it holds decides.
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real) or math.isinf(plain):
        raise ValueError(f"Table {name!r} has {value!r} in row {row!r}, column {column!r}; expected a finite number.")
    return None if math.isnan(plain) else float(plain)


def _rounded(value: float | None) -> float | None:
    """Returns the value to six significant digits; adding zero turns -0.0 into 0.0."""
    return None if value is None else float(f"{value:.6g}") + 0.0


def _close(got: float | None, stored: float | None, tolerance: float) -> bool:
    if got is None or stored is None:
        return got is stored
    # Exact decimals: 0.062 and 0.061 differ by 0.001 and not by 0.0010000000000000009.
    difference = Decimal(repr(got)) - Decimal(repr(stored))
    return abs(difference) <= Decimal(repr(tolerance))


def _tolerances(table: Table, tolerance: Tolerance) -> dict[tuple[str, str], float]:
    """The tolerance of every entry, by row and column."""
    if isinstance(tolerance, pd.DataFrame):
        without = [entry for entry in table.rows if entry not in tolerance.index]
        without += [column for column in table.columns if column not in tolerance.columns]
        given = {(row, column): tolerance.at[row, column] for row, column, _ in _entries(table) if not without}
    else:
        columns = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(table.columns, tolerance)
        without = [column for column in table.columns if column not in columns]
        given = {(row, column): columns[column] for row, column, _ in _entries(table) if not without}
    if without:
        raise ValueError(f"Table {table.name!r} has no tolerance for {without}; expected one for each row and column.")
    for (row, column), value in given.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f"tolerance of column {column!r} is {value} in row {row!r}; expected a finite number of at least 0."
            )
    return {entry: float(value) for entry, value in given.items()}


def _entries(table: Table) -> Iterator[tuple[str, str, float | None]]:
    for row, values in table.rows.items():
        for column, value in zip(table.columns, values, strict=True):
            yield row, column, value


def _unmatched(
    got: Collection[str], stored: Collection[str], place: Callable[[str], tuple[str | None, str | None]]
) -> Iterator[Difference]:
    """Yields the names that only one side has."""
    yield from (Difference(*place(name), _PRESENT, _ABSENT, None) for name in got if name not in stored)
    yield from (Difference(*place(name), _ABSENT, _PRESENT, None) for name in stored if name not in got)


def _verdict(subject: str, entries: int, differences: list[Difference], agreeing: str) -> Verdict:
    if not differences:
        return Verdict(subject, True, entries, [], agreeing)
    noun = "difference" if len(differences) == 1 else "differences"
    listed = "; ".join(map(str, differences))
    line = f"{subject} differs from the stored run, {len(differences)} {noun}: {listed}."
    return Verdict(subject, False, entries, differences, line)
