"""Functions are compiled once, and whatever is wrong with the cache costs a compilation alone."""

import errno
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from families import TESTS
from numba.core import caching

from sklearn_fsad._stats.compilation import FLOAT, MATRIX, NUMBER, compiled, plain, vector


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, caplog):
    """Folder of the cache, empty at first."""
    caplog.set_level(logging.INFO, "sklearn_fsad")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def one_more():
    """The same function as another process would make it."""

    @compiled(NUMBER, vector(NUMBER, out=True))
    def one_more(n, out):
        out[0] = n + 1

    def call(n):
        out = np.zeros(1, dtype=np.intp)
        one_more(n, out)
        return out[0]

    return call


def test_a_function_is_compiled_when_first_called_and_read_by_later_processes(folder, caplog):
    function = one_more()
    assert not list(folder.rglob("*.nbi"))
    assert (function(1), function(2)) == (2, 3)
    (told,) = caplog.messages
    assert told.startswith("Compiled one_more in ")
    assert str(folder) in told
    assert one_more()(1) == 2
    assert len(caplog.messages) == 1


def no_folder(folder, monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])


def full_disk(folder, monkeypatch):
    def save(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", save)


def folder_that_goes(folder, monkeypatch):
    (folder / "file").touch()
    name = "UserProvidedCacheLocator"
    of = getattr(caching, name, None) or getattr(caching, f"_{name}")  # before numba 0.61
    monkeypatch.setattr(of, "get_cache_path", lambda self: str(folder / "file" / "x"))
    monkeypatch.setattr(of, "from_function", lambda f, file: of(f, file))


@pytest.mark.parametrize("fail", [no_folder, full_disk, folder_that_goes])
def test_a_cache_that_cannot_be_written_costs_a_compilation(fail, folder, monkeypatch, caplog):
    fail(folder, monkeypatch)
    function = one_more()
    assert (function(1), function(2)) == (2, 3)
    (told,) = caplog.messages
    assert "could not keep it" in told
    assert "NUMBA_CACHE_DIR" in told


@pytest.mark.parametrize("part", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_damaged_cache_costs_a_compilation_and_is_mended(part, left, folder, caplog):
    one_more()(1)
    (file,) = folder.rglob(part)
    file.write_bytes(file.read_bytes()[:left])
    assert one_more()(1) == 2
    assert "could not keep it" in caplog.messages[-1]
    assert one_more()(1) == 2  # which keeps it
    n_told = len(caplog.messages)
    assert one_more()(1) == 2
    assert len(caplog.messages) == n_told


def test_a_cache_of_another_version_of_numba_is_not_used(monkeypatch, caplog):
    with monkeypatch.context() as older:
        older.setattr(numba, "__version__", "0.1")
        one_more()(1)
    assert one_more()(1) == 2
    assert len(caplog.messages) == 2


def test_an_error_of_the_function_is_told():
    @compiled(NUMBER)
    def wrong(n):
        return n.name

    with pytest.raises(numba.TypingError, match="name"):
        wrong(1)


def test_threads_that_call_first_at_once_get_the_same(folder):
    function = one_more()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(function, range(20))) == list(range(1, 21))


def test_arrays_that_would_be_compiled_for_anew_are_refused():
    @compiled(MATRIX, vector(FLOAT, out=True))
    def first(rows, out):
        out[0] = rows[0, 0]

    rows, out = np.asfortranarray(np.arange(6.0).reshape(2, 3) + 1.0), np.zeros(1)
    first(plain(rows), out)
    assert out == [1.0]
    with pytest.raises(TypeError, match="No matching definition"):
        first(rows, out)


def test_what_ctrl_c_could_disturb_is_refused():
    @compiled(MATRIX)
    def copied(rows):
        return rows.copy(), rows.copy()

    with pytest.raises(numba.TypingError, match="to none"):
        copied(np.ones((2, 3)))


PROGRAM = """
import numpy as np
from sklearn_fsad._stats.compiled import row_product
print(row_product(np.ones((2, 3)), np.ones((3, 1))).sum())
"""


def start(folder, **settings):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, cwd=TESTS.parent,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **settings},
    )  # fmt: skip


def test_processes_that_compile_at_once_do_not_disturb_each_other(folder):
    for process in [start(folder) for _ in range(2)]:
        assert process.communicate()[0] == "6.0\n"
    assert len(list(folder.rglob("*.nbi"))) == 1
    assert start(folder).communicate()[0] == "6.0\n"


def test_without_a_compiler_functions_run_as_they_are(folder):
    assert start(folder, NUMBA_DISABLE_JIT="1").communicate()[0] == "6.0\n"
    assert not list(folder.rglob("*.nbi"))
