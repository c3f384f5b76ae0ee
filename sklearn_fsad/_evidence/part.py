"""Parts of a support, which share what does not depend on what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from .._stats.moments import stable_mean
from .._typing import Array, Mask
from .coordinates import Coordinates
from .pooled import Whitening
from .support import QueryRows, Support

_MOST_OFFSET = 1e6  # of a part among the rows of the whole, in units of its own size
_MOST_NUMBERS = 2**20  # of parts that are held together


class Turned(NamedTuple):
    """Hold rows in whitened coordinates: those of a part, and those that it leaves out."""

    normals: Array
    anomalies: Array
    left_out: Array


class Part(Support):
    """Hold some rows of a support.

    Parameters
    ----------
    whole : Support
    normals : ndarray of shape (n,), dtype bool
        Which of its normals are in the part.
    anomalies : ndarray of shape (k,), dtype bool
        Which of its anomalies are.
    """

    _together: Together | None = None

    def __init__(self, whole: Support, normals: Mask, anomalies: Mask) -> None:
        super().__init__(
            whole.normals[normals], whole.anomalies[anomalies], whole.pooled, whole, whole.weights
        )
        self._whole = whole
        self._kept = normals, anomalies

    @property
    def whole(self) -> Support:
        """The support of which this one is a part."""
        return self._whole

    def left_out(self, most: Mapping[tuple[str, str], int]) -> LeftOutRows:
        """Return the rows of the whole that are not in the part, normals first."""
        normals, anomalies = self._kept
        X = np.concatenate([self._whole.normals[~normals], self._whole.anomalies[~anomalies]])
        return LeftOutRows(X, self, most)

    @cached_property
    def pooled_raw(self) -> Coordinates:
        """Raw features, whitened by the pooled covariance up to a rotation."""
        turned = self.turned_raw
        if turned is None:
            return super().pooled_raw
        return self._centred(turned.normals, turned.anomalies, 0.05, "pooled_raw")

    @cached_property
    def pooled_scaled(self) -> Coordinates:
        """Scaled features, whitened by the pooled correlation up to a rotation."""
        if self._together is None:
            return super().pooled_scaled
        turned = self._together.turned(self._whitening.scaled, self._place)
        return self._centred(turned.normals, turned.anomalies, None, "pooled_scaled")

    @cached_property
    def turned_raw(self) -> Turned | None:
        """Raw rows as the whole has whitened them, centred anew.

        None where they have lost digits, since a row far from all others has moved their centre.
        """
        space, (normals, anomalies) = self._whole.pooled_raw, self._kept
        N = space.normals[normals]
        mean = stable_mean(N)
        if np.abs(mean).max() > _MOST_OFFSET * np.abs(N - mean).max():
            return None
        out = np.concatenate([space.normals[~normals], space.anomalies[~anomalies]])
        return Turned(N - mean, space.anomalies[anomalies] - mean, out - mean)

    def join(self, together: Together, left_out: LeftOutRows) -> None:
        """Turn the scaled rows together with those of other parts."""
        self._together = together
        self._place = together.add(self.N, self.A, left_out.raw, self.spread)


class LeftOutRows(QueryRows):
    """Hold the rows of a support that are not in a part of it."""

    def __init__(self, X: Array, part: Part, most: Mapping[tuple[str, str], int]) -> None:
        super().__init__(X, part, most)
        self._part = part

    @cached_property
    def pooled_raw(self) -> Array:
        """Raw features, whitened by the pooled covariance up to a rotation."""
        turned = self._part.turned_raw
        is_clipped = not np.array_equal(self.raw, self.X - self._part.mean)
        return super().pooled_raw if turned is None or is_clipped else turned.left_out

    @cached_property
    def pooled_scaled(self) -> Array:
        """Scaled features, whitened by the pooled correlation up to a rotation."""
        part = self._part
        if part._together is None:
            return super().pooled_scaled
        return part._together.turned(part._whitening.scaled, part._place).left_out


class Together:
    """Whiten the scaled rows of several parts at once, which takes less time than one by one."""

    def __init__(self) -> None:
        self._rows: list[tuple[Array, Array, Array, Array]] = []
        self._turned: list[Turned] = []

    def add(self, normals: Array, anomalies: Array, left_out: Array, spread: Array) -> int:
        """Add centred rows of a part, not scaled yet, and return their place."""
        self._rows.append((normals, anomalies, left_out, spread))
        return len(self._rows) - 1

    def turned(self, white: Whitening, place: int) -> Turned:
        """Return the rows at a place, whitened up to a rotation."""
        if not self._turned:
            scaled = [rows / spread for *of_part, spread in self._rows for rows in of_part]
            ends = list(accumulate(map(len, scaled)))[:-1]
            split = np.split(white.turned_together(np.concatenate(scaled)), ends)
            self._turned = [Turned(*split[i : i + 3]) for i in range(0, len(split), 3)]
        return self._turned[place]


def parts_and_rest(
    whole: Support, kept: Sequence[tuple[Mask, Mask]], most: Mapping[tuple[str, str], int]
) -> Iterator[tuple[Part, LeftOutRows]]:
    """Make parts of a support, each with the rows that it leaves out.

    Parameters
    ----------
    whole : Support
    kept : sequence of (ndarray of shape (n,), ndarray of shape (k,)), dtype bool
        Which normals and anomalies each part holds.
    most : mapping of (str, str) to int
        How many neighbours of the rows that are left out count; see :class:`QueryRows`.
    """
    at_once = max(1, _MOST_NUMBERS // max(whole.normals.size + whole.anomalies.size, 1))
    for first in range(0, len(kept), at_once):
        parts = [Part(whole, *rows) for rows in kept[first : first + at_once]]
        left_out = [part.left_out(most) for part in parts]
        together = Together()
        for part, rows in zip(parts, left_out, strict=True):
            part.join(together, rows)
        yield from zip(parts, left_out, strict=True)
