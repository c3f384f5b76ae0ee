# make demo   install into .venv and run the main job on real data (handwritten digits)
# make test   install into .venv and run the tests
# make check  lint and types, as CI does

PYTHON ?= python3
BIN := .venv/bin
# torch first and by its exact version: an open requirement may fetch gigabytes of GPU libraries
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test check clean

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

.venv/installed: pyproject.toml constraints.txt
	@echo "== Make .venv and install the package with what its tests and pictures need."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[tests]"
	@touch $@

clean:
	rm -rf .venv build dist
