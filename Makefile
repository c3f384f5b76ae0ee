# make demo   install into .venv and run the main job on real data (handwritten digits)
# make test   install into .venv and run the tests
# make check  lint and types, as CI does
# make docs   build the site into docs/_build/html; a warning is an error

PYTHON ?= python3
BIN := .venv/bin
# torch first and by its exact version: an open requirement may fetch gigabytes of GPU libraries
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test check docs clean

demo: .venv/installed
	@echo "== Meta-learn on seven digits, adapt to three others, compare. About a minute."
	$(BIN)/python docs/examples/plot_quickstart.py

test: .venv/installed
	@echo "== Run the tests."
	$(BIN)/python -m pytest -n 2

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-docs
	@echo "== Build the site. About two minutes: the examples run."
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "== Open docs/_build/html/index.html"

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

.venv/installed: pyproject.toml constraints.txt
	@echo "== Make .venv and install the package with what its tests and pictures need."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[tests,scale,integrations]"
	@touch $@

clean:
	rm -rf .venv build dist docs/_build docs/auto_examples docs/generated
