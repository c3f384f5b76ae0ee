# make demo       install into .venv what the main job needs and run it on real data (handwritten digits)
# make test       install into .venv what the tests need and run them
# make check      lint and types, as CI does
# make docs       build the site into docs/_build/html; a warning is an error
# make pictures   draw the logo and the picture of the first page anew

PYTHON ?= python3
BIN := .venv/bin
# torch first and by its exact version: an open requirement may fetch gigabytes of GPU libraries
TORCH := $(shell grep '^torch==' constraints.txt)
# modules are compiled when they are first imported: torch alone has thousands that never are
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test check docs pictures clean

demo: .venv/installed
	@echo "== Meta-learn on seven digits, adapt to three others, compare. About a minute."
	$(BIN)/python docs/examples/plot_quickstart.py

test: .venv/installed-tests
	@echo "== Run the tests."
	$(BIN)/python -m pytest -n 2

check: .venv/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-docs
	@echo "== Build the site. About two minutes: the examples run."
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "== Open docs/_build/html/index.html"

pictures: .venv/installed
	$(BIN)/python docs/make_pictures.py

.venv/installed: pyproject.toml constraints.txt
	@echo "== Make .venv and install the package with what its pictures need."
	$(PYTHON) -m venv .venv
	$(INSTALL) $(TORCH)
	$(INSTALL) -c constraints.txt -e ".[plot]"
	@touch $@

.venv/installed-tests: .venv/installed
	@echo "== Install what the tests need: a gigabyte more, with Ray and MLflow."
	$(INSTALL) -c constraints.txt -e ".[tests,scale,integrations]"
	@touch $@

.venv/installed-docs: .venv/installed
	$(INSTALL) -c constraints.txt -e ".[docs]"
	@touch $@

clean:
	rm -rf .venv build dist docs/_build docs/auto_examples docs/generated
