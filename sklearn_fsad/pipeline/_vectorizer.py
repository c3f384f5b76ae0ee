"""skrub's TableVectorizer, made strict: what it would lose without a word is kept or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pandas
from sklearn.utils.validation import check_is_fitted
from skrub import Cleaner, TableVectorizer  # only this module needs skrub: it is imported late

from .._detectors.base.checks import restored_on_error
from .._input.codings import is_missing
from .._input.containers import n_rows
from .._input.frames import column_names
from .._warn import warn
from ._frames import (
    as_frame,
    column,
    entries,
    kind_of,
    numbers_in_words,
    numbers_of,
    with_columns,
)
from ._objects import refuse_dates_among_words, refuse_objects
from ._times import Zone, refuse_other_zones, with_times_for_text, zone_of

_MOST_NAMES = 8
_WORDS = ("low_cardinality", "high_cardinality")  # skrub's kinds of them
_FEW_LEVELS = 8  # fewer different words than this are categories in any number of rows


# skrub has no types, or is not installed where types are checked
class StrictTableVectorizer(TableVectorizer):  # type: ignore[misc, unused-ignore]
    """Turn a table of numbers, text, categories and dates into numbers, by skrub.

    It is a :class:`skrub.TableVectorizer`, with its parameters and attributes, and differs in this:

    - Numbers stay float64; skrub keeps seven digits of them.
    - An entry that cannot be read as what its column held in ``fit``, a number or a date, is an
      error that names it; skrub takes it for missing. Words among numbers in ``fit`` are a warning.
    - Categories are at most half as many as the rows, or seven; a column of more different words is
      text for ``high_cardinality``, below ``cardinality_threshold`` too.
    - Times with a time zone for times without one, lists, periods, times of day, and dates among
      words are errors; skrub mixes or renames them.
    - A warning names the columns that are left out.
    - Arrow tables, lists and wrapped frames are read too; repeated column names are an error.
    """

    _doc_link_module = ""  # skrub's site has no page of it
    cardinality_threshold: int

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the columns of a table."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Learn the columns of a table, and return them as numbers."""
        X = as_frame(X)
        _refuse_repeated(column_names(X) or [])
        _refuse_complex(X)
        _refuse_objects(X)
        with restored_on_error(self):
            return self._with_exact_numbers(self._learned(X, y), X)

    def transform(self, X: Any) -> Any:
        """Return the columns of a table as numbers."""
        check_is_fitted(self, "transformers_")
        X = as_frame(X, self.feature_names_in_)
        self._check_names([str(name) for name in column_names(X) or []])
        _refuse_objects(X)
        self._check_kinds(X)
        X = self._with_checked_dates(X)
        with np.errstate(over="ignore"):
            Z = super().transform(X)
        self._refuse_unread(Z, X)
        return self._with_exact_numbers(Z, X)

    # --- private ----------------------------------------------------------------------------------
    def _learned(self, X: Any, y: Any) -> Any:
        """Learn the columns of a frame, and return them as skrub does."""
        asked = self.cardinality_threshold
        self.cardinality_threshold = min(asked, max(_FEW_LEVELS, n_rows(X) // 2 + 1))
        try:
            with np.errstate(over="ignore"):  # what is too large for float32 is put back below
                Z = super().fit_transform(X, y)
        finally:
            self.cardinality_threshold = asked
        self._kinds = {name: kind_of(held) for name, held in self._columns_of(X)}
        self._zones: dict[str, Zone | bool] = {
            name: zone_of(held) for name, held in self._columns_of(X, "datetime")
        }
        for name, held in self._columns_of(X, *_WORDS):
            refuse_dates_among_words(held, name)
        self._warn_of_words(X)
        self._warn_of_left_out()
        if not len(self.all_outputs_):
            raise ValueError(f"No column of X can be used, of {_listed(self.feature_names_in_)}.")
        return Z

    def _columns_of(self, X: Any, *kinds: str) -> Iterator[tuple[str, Any]]:
        """Yield names and columns of a table, those of some of skrub's kinds."""
        for j, name in enumerate(self.feature_names_in_):
            if not kinds or self.column_to_kind_.get(name) in kinds:
                yield name, column(X, j)

    def _check_names(self, names: list[str]) -> None:
        known = list(self.feature_names_in_)
        if names == known:
            return
        missing = [name for name in known if name not in names]
        unknown = [name for name in names if name not in known]
        told = f"{_listed(missing)} are missing. " if missing else ""
        told += f"{_listed(unknown)} are unknown. " if unknown else ""
        mend = "" if missing else "Give X[names] with names = pipe[0].feature_names_in_."
        raise ValueError(
            "X must have the columns of fit, in the same order: "
            f"{told or 'the order differs. '}{mend}".strip()
        )

    def _check_kinds(self, X: Any) -> None:
        """Refuse dates for numbers or words, and numbers for dates, which skrub would read."""
        for name, held in self._columns_of(X):
            now, before = kind_of(held), self._kinds[name]
            differ = now != before and "words" not in (now, before)
            if self.column_to_kind_.get(name) in _WORDS:
                differ = now in ("dates", "durations")
            if differ and not all(map(is_missing, entries(held))):
                raise ValueError(f"X holds {now} in column {name!r}, where fit saw {before}.")

    def _with_checked_dates(self, X: Any) -> Any:
        """Refuse dates among words, and those with a time zone where fit saw none."""
        for name, held in self._columns_of(X, *_WORDS):
            refuse_dates_among_words(held, name)
        for name, held in self._columns_of(X, "datetime"):
            refuse_other_zones(held, name, self._zones[name])
            if self._kinds[name] == "dates" and not hasattr(X, "iloc"):
                X = with_times_for_text(X, name)
        return X

    def _refuse_unread(self, Z: Any, X: Any) -> None:
        """Refuse entries that are not missing in X, and that skrub made missing."""
        for name, held in self._columns_of(X, "numeric", "datetime"):
            for output in self.input_to_outputs_[name][:1]:
                lost = np.flatnonzero(np.isnan(numbers_of(Z[[output]])))
                given = entries(held) if len(lost) else []
                for row in lost:
                    self._check_missing(given[row], name, int(row))

    def _check_missing(self, value: Any, name: str, row: int) -> None:
        if is_missing(value) or (isinstance(value, str) and self._stands_for_missing(value)):
            return
        thing = "numbers" if self.column_to_kind_[name] == "numeric" else "dates"
        raise ValueError(
            f"X holds {value!r} in column {name!r}, row {row}, where fit saw {thing}: mend the "
            "entry, make it missing (None), or, if these are categories, make the column "
            "categorical for fit too."
        )

    def _stands_for_missing(self, word: str) -> bool:
        """Ask skrub whether a word such as N/A stands for a missing entry."""
        more = getattr(self, "null_strings", None)
        cleaner = Cleaner(null_strings=more) if more else Cleaner()
        cleaned = cleaner.fit_transform(pandas.DataFrame({"word": [word, "a word"]}))
        return bool(cleaned["word"].isna().iloc[0])

    def _warn_of_words(self, X: Any) -> None:
        """Warn of columns of words most of which are numbers: each number became a category."""
        for name, held in self._columns_of(X, *_WORDS):
            dtype = str(next(iter(held.dtypes))).lower()
            if dtype.startswith(("categor", "enum", "dictionary")):
                continue
            given = [value for value in entries(held) if not is_missing(value)]
            known = ~np.isnan(numbers_in_words(given))
            if 2 * known.sum() > len(given):
                warn(
                    f"Column {name!r} holds numbers but for entries such as "
                    f"{given[int(np.argmin(known))]!r}, so it is not read as numbers. Make such "
                    "entries missing (None), or make the column categorical."
                )

    def _warn_of_left_out(self) -> None:
        """Warn of columns of text and dates that are not used."""
        for kind, reason, encoder in (
            ("high_cardinality", "too many different texts", "MinHashEncoder"),
            ("datetime", "dates without a time of day", "DatetimeEncoder"),
        ):
            names = [n for n in self.kind_to_columns_[kind] if not self.input_to_outputs_[n]]
            if names and not (kind == "datetime" and self.datetime == "drop"):
                warn(
                    f"The columns {_listed(names)} hold {reason} and are not used. Leave them out "
                    f"of X, or set an encoder: tablevectorizer__{kind}=skrub.{encoder}()."
                )

    def _with_exact_numbers(self, Z: Any, X: Any) -> Any:
        """Put back the numbers as float64 where skrub passes them on."""
        if self.numeric != "passthrough" and type(self.numeric).__name__ != "PassThrough":
            return Z
        exact = {}
        for name, held in self._columns_of(X, "numeric"):
            if kind_of(held) == "numbers":
                exact[name] = numbers_of(held)
            elif kind_of(held) == "words":
                values, rounded = numbers_in_words(entries(held)), numbers_of(Z[[name]])
                exact[name] = np.where(np.isnan(values), rounded, values)
        return with_columns(Z, exact)


def _refuse_repeated(names: list[Any]) -> None:
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise ValueError(f"X has several columns named {_listed(repeated)}: rename them.")


def _refuse_complex(X: Any) -> None:
    for j, name in enumerate(column_names(X) or []):
        if kind_of(column(X, j)) == "complex numbers":
            raise ValueError(f"Complex data not supported: X holds it in column {name!r}.")


def _refuse_objects(X: Any) -> None:
    for j, name in enumerate(column_names(X) or []):
        refuse_objects(column(X, j), str(name))


def _listed(names: list[Any]) -> str:
    """Show some names, as Python writes a list."""
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return f"[{', '.join(map(repr, names[:_MOST_NAMES]))}{more}]"
