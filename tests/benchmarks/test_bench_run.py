"""The command line of the benchmarks."""

import argparse

import pytest

MODULES = ("options",)


def test_a_command_that_is_not_known_lists_those_that_are(bench, capsys):
    assert bench.main(["trust", "nobody"]) == 2
    shown = capsys.readouterr().out
    assert all(f"    {name}\n" in shown for name in bench.commands)


def test_every_command_explains_itself_and_stands_in_the_page(bench, capsys):
    page = (bench.results.parent / "README.md").read_text(encoding="utf-8")
    for name in bench.commands:
        with pytest.raises(SystemExit) as stopped:
            bench.main([*name.split(), "--help"])
        assert stopped.value.code == 0, name
        assert "--results" in capsys.readouterr().out
        assert f"`run.py {name}" in page


def test_detectors_that_are_named_take_the_place_of_the_default_ones(bench):
    parser = argparse.ArgumentParser()
    bench.options.add_detectors(parser, ["svm=sklearn.svm:OneClassSVM"])
    assert [spec.label for spec in parser.parse_args([]).detector] == ["svm"]
    words = ["--detector", "a=m:A", "b=m:B", "--detector", "c=m:C(x=1)"]
    assert [spec.label for spec in parser.parse_args(words).detector] == ["a", "b", "c"]
    assert [spec.label for spec in parser.parse_args([]).detector] == ["svm"]
