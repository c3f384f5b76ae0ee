"""The documentation: its links lead somewhere, the public API is listed and described."""

import inspect
import re
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import pytest
from written_pages import PAGES, ROOT

import sklearn_fsad

MODULES = sorted(
    module.name
    for module in iter_modules(sklearn_fsad.__path__)  # packages are modules too
    if not module.name.startswith("_")
)


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page):
    made_by_the_build = ("auto_examples/", "generated/")
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
    links += re.findall(r'(?:src|srcset)="([^"]+)"', prose)
    for link in links:
        if "://" in link or link.startswith(made_by_the_build):
            continue
        target, results = (ROOT / page).parent.joinpath(link).resolve(), ROOT / "benchmarks/results"
        if target.is_relative_to(results.resolve()) and not results.exists():
            continue  # an sdist has no results
        assert target.exists(), link


def test_links_to_examples_lead_to_examples():
    for page, text in PAGES.items():
        for name in re.findall(r"auto_examples/(plot_\w+)", text):
            assert (ROOT / "docs" / "examples" / f"{name}.py").exists(), (page, name)


@pytest.mark.parametrize("page", PAGES)
def test_links_to_sections_of_other_pages_lead_to_a_heading(page):
    for target, section in re.findall(r"\]\(([\w./]*\.md)#([^)]+)\)", PAGES[page]):
        there = (ROOT / page).parent.joinpath(target).resolve().relative_to(ROOT.resolve())
        headings = re.findall(r"^#+ (.+)$", PAGES[there.as_posix()], re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings]
        assert section in slugs, (target, section)


def test_the_readme_is_short_enough_to_be_read():
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.skipif(
    not (ROOT / "benchmarks" / "results").exists(), reason="an sdist has no results"
)
def test_measurements_have_titles_of_words_and_each_its_own(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    from measurements import readable_title

    titles = [readable_title(path) for path in (ROOT / "benchmarks" / "results").glob("*.md")]
    assert len(set(titles)) == len(titles) > 0
    assert [title for title in titles if re.search(r"\w_\w", title)] == []


# --- reference ------------------------------------------------------------------------------------


def test_what_is_called_public_here_leaves_nothing_out():
    expected = (
        "adapters augmentation callbacks datasets evidence exceptions metrics model_selection "
    )
    expected += "pipeline plotting prior series tasks thresholds"
    assert set(expected.split()) <= set(MODULES)
    assert len(public()[0]) >= 56  # names only join them


@cache
def public():
    """Path -> object of each public class and function, once, and of their own public methods."""
    found = {}
    for module in ("sklearn_fsad", *(f"sklearn_fsad.{name}" for name in MODULES)):
        for name in import_module(module).__all__:
            thing = getattr(import_module(module), name)
            if thing not in found.values():
                found[f"{module}.{name}"] = thing
    members = {
        f"{path}.{name}": member
        for path, thing in found.items()
        if inspect.isclass(thing)
        for name, member in inspect.getmembers(thing)
        if not name.startswith("_") and _is_ours(thing, name)
    }
    return found, members


def _is_ours(thing, name):
    home = next((base for base in thing.__mro__ if name in vars(base)), None)
    described = (property, classmethod, staticmethod)
    member = inspect.getattr_static(thing, name)
    return (
        home is not None
        and home.__module__.startswith("sklearn_fsad")
        and (callable(member) or isinstance(member, described) or hasattr(member, "check"))
    )


def test_the_reference_lists_every_public_name():
    listed = set(re.findall(r"^   ([\w.]+)$", PAGES["docs/api.md"], re.MULTILINE))
    assert {path.removeprefix("sklearn_fsad.") for path in public()[0]} <= listed


def test_everything_public_has_a_docstring():
    found, members = public()
    assert [path for path, thing in {**found, **members}.items() if not thing.__doc__] == []


def test_docstrings_follow_numpydoc():
    numpydoc = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed")
    left_out = {
        "ES01",  # an extended summary is not needed everywhere
        "EX01",  # nor an example of each method
        "SA01",  # nor a list of relatives
        "RT02",  # results have names, as in scikit-learn
        "SS05",  # takes "Folds" and "Tasks" for verbs
        "PR08",  # "skorch" is written so
    }
    wrong = [
        f"{path}: {code} {message}"
        for part in public()
        for path in part
        for code, message in numpydoc.validate(path)["errors"]
        if code not in left_out
    ]
    assert wrong == []
