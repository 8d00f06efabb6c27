# Nothing but make and Python 3.11+ is needed beforehand.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-slow bench lint install clean

demo: $(STAMP)            ## train, measure and report on real handwritten digits
	rm -rf build/demo
	$(BIN)/mrl demo --out build/demo

test: $(STAMP) lint       ## everything that must hold, in minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)       ## the long ones
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)           ## one script per claim; each prints machine, versions, medians and ratios
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("mrl needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
