"""Products and smallest values that are computed in registers, by instructions that numba lacks.

Matrices are held in panels of ``WIDTH`` columns, (n_panels, n_in, WIDTH), filled up by zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .._typing import Array

WIDTH = 16
HALF = WIDTH // 2
_IS_COMPILED = not getattr(numba.config, "DISABLE_JIT", False)
FMA = ("contract",)  # multiply and add in one instruction
ROWS = 4  # that are multiplied with a panel at once
_BYTES = 16  # of a column of them: more sums than this are too many for the registers of AVX2
_ARRAYS = 0, 2, 6, 7  # places of arrays among the arguments
LANES, MOST = 8, 4  # rows whose smallest values are found at once, and how many values


class _Numbers:
    """Emit loads and stores of a contiguous array, of numbers and of vectors of them."""

    def __init__(self, context: Any, builder: Any, kind: types.Array, value: Any) -> None:
        made = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, made.data
        self.shape = cgutils.unpack_tuple(builder, made.shape)
        self.of = context.get_value_type(kind.dtype)
        self.align: int = context.get_abi_sizeof(self.of)

    def pointer(self, places: list[Any], length: int) -> Any:
        """Emit the address of a number, or of so many that follow each other."""
        where = places[0]
        for size, place in zip(self.shape[1:], places[1:], strict=True):
            where = self.builder.add(self.builder.mul(where, size), place)
        found = self.builder.gep(self.data, [where])
        wanted = ir.VectorType(self.of, length) if length else self.of
        return self.builder.bitcast(found, wanted.as_pointer())

    def load(self, *places: Any, length: int = 0) -> Any:
        """Emit the load of a number, or of so many that follow each other."""
        return self.builder.load(self.pointer([*places], length), align=self.align)

    def store(self, values: Any, *places: Any) -> None:
        """Emit the store of a vector."""
        where = self.pointer([*places], values.type.count)
        self.builder.store(values, where, align=self.align)


def _filled(builder: Any, number: Any, length: int) -> Any:
    """Emit a vector of one number."""
    int32 = ir.IntType(32)
    empty = ir.Constant(ir.VectorType(number.type, length), ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(int32, 0))
    zeros = ir.Constant(ir.VectorType(int32, length), [0] * length)
    return builder.shuffle_vector(first, empty, zeros)


def _looped(
    builder: Any, start: Any, stop: Any, values: list[Any], step: Callable[..., list[Any]]
) -> list[Any]:
    """Emit a loop that replaces values, held in registers, by those of ``step(j, values)``."""
    before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.cbranch(builder.icmp_signed("<", start, stop), body, after)
    builder.position_at_end(body)
    j, *held = (builder.phi(value.type) for value in (start, *values))
    found = step(j, held)
    following = builder.add(j, ir.Constant(j.type, 1))
    builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
    builder.position_at_end(after)
    results = [builder.phi(value.type) for value in values]
    incoming = zip((start, *values), (following, *found), strict=True)
    for phi, (first, last) in zip((j, *held), incoming, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, body)
    for phi, first, last in zip(results, values, found, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, body)
    return results


def _adding(n_rows: int, width: int = WIDTH, *, is_rectified: bool = False) -> Any:
    """Make a function that adds the products of so many rows and a panel to results.

    ``(rows, row, panels, panel, start, stop, bias, out)`` adds those of columns ``start`` to
    ``stop`` to the bias or, unless these are the first columns, to ``out``. A narrower width leaves
    out the last columns of a panel. Negative results are rectified if so asked.
    """

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        a, b, bias, c = (_Numbers(context, builder, signature.args[i], given[i]) for i in _ARRAYS)
        _, row, _, panel, start, stop, _, _ = given
        places = [builder.add(row, ir.Constant(row.type, r)) for r in range(n_rows)]
        column = builder.mul(panel, ir.Constant(panel.type, WIDTH))
        is_first = builder.icmp_signed("==", start, ir.Constant(start.type, 0))
        zeros = ir.Constant(ir.VectorType(a.of, width), [0.0] * width)

        def step(here: list[Any], j: Any, sums: list[Any]) -> list[Any]:
            line = b.load(panel, j, ir.Constant(j.type, 0), length=width)
            weights = [_filled(builder, a.load(place, j), width) for place in here]
            products = [builder.fmul(weight, line, flags=FMA) for weight in weights]
            return list(map(lambda x, y: builder.fadd(x, y, flags=FMA), products, sums))

        several = _BYTES // b.align * WIDTH // width
        for first in range(0, n_rows, several):
            here = places[first : first + several]
            to = [c.pointer([place, column], width) for place in here]
            at = [builder.select(is_first, bias.pointer([column], width), where) for where in to]
            sums = [builder.load(where, align=c.align) for where in at]
            sums = _looped(builder, start, stop, sums, partial(step, here))
            for where, total in zip(to, sums, strict=True):
                if is_rectified:
                    is_positive = builder.fcmp_ordered(">", total, zeros)
                    total = builder.select(is_positive, total, zeros)
                builder.store(total, where, align=c.align)
        return context.get_dummy_value()

    def add_plainly(
        rows: Array, row: int, panels: Array, panel: int, start: int, stop: int, bias: Array,
        out: Array,
    ) -> None:  # fmt: skip
        columns = slice(panel * WIDTH, panel * WIDTH + width)
        part = out[row : row + n_rows, columns]
        part[:] = rows[row : row + n_rows, start:stop] @ panels[panel, start:stop, :width] + (
            part if start else bias[columns]
        )
        if is_rectified:
            np.maximum(part, 0.0, out=part)

    if not _IS_COMPILED:
        return add_plainly

    @intrinsic
    def add(
        typing: Any, rows: Any, row: Any, panels: Any, panel: Any, start: Any, stop: Any,
        bias: Any, out: Any,
    ) -> Any:  # fmt: skip
        place = types.intp
        return types.none(rows, place, panels, place, place, place, bias, out), emit

    return add


add_several, add_one = _adding(ROWS), _adding(1)
add_several_halves, add_one_half = _adding(ROWS, HALF), _adding(1, HALF)
rectify_several, rectify_one = _adding(ROWS, is_rectified=True), _adding(1, is_rectified=True)


def _emit_smallest(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    a, b, c = (_Numbers(context, builder, signature.args[i], given[i]) for i in (0, 2, 5))
    _, row, _, start, stop, _ = given
    int32, several = ir.IntType(32), ir.VectorType(a.of, LANES)
    places = [builder.add(row, ir.Constant(row.type, r)) for r in range(LANES)]

    def step(t: Any, least: list[Any]) -> list[Any]:
        value = ir.Constant(several, ir.Undefined)
        for r, place in enumerate(places):
            value = builder.insert_element(value, a.load(place, t), ir.Constant(int32, r))
        value, found = builder.fadd(value, _filled(builder, b.load(t), LANES)), []
        for kept in least:
            is_less = builder.fcmp_ordered("<", value, kept)
            found.append(builder.select(is_less, value, kept))
            value = builder.select(is_less, kept, value)
        return found

    infinite = [ir.Constant(several, [math.inf] * LANES)] * MOST
    for s, line in enumerate(_looped(builder, start, stop, infinite, step)):
        c.store(line, ir.Constant(row.type, s), ir.Constant(row.type, 0))
    return context.get_dummy_value()


def _smallest_plainly(
    values: Array, row: int, added: Array, start: int, stop: int, out: Array
) -> None:
    sums = values[row : row + LANES, start:stop] + added[start:stop]
    found = np.sort(sums, axis=1).T[:MOST]
    out[: len(found)] = found


@intrinsic
def _emitted_smallest(
    typing: Any, values: Any, row: Any, added: Any, start: Any, stop: Any, out: Any
) -> Any:
    """Find the smallest sums of values and what is added, ascending, of eight rows: -> (4, 8)."""
    place = types.intp
    return types.none(values, place, added, place, place, out), _emit_smallest


smallest: Any = _emitted_smallest if _IS_COMPILED else _smallest_plainly
