# Everything from nothing but Python 3.11+, make and a network that has PyPI.
#   make demo    the main job: digits, from training to FPGA, edge and TPU, with a report
#   make test    all checks and tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint locks docs coverage clean

setup: $(BIN)/edgeflow

$(BIN)/edgeflow: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"expected Python 3.11 to 3.13, found {sys.version.split()[0]}: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/edgeflow run models/digits/digits.yaml --output runs/digits

test: setup lint
	$(BIN)/edgeflow env sync
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

locks: setup
	for file in edgeflow/toolchains/*/requirements.in; do \
	  $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-annotate \
	    $$file -o $$(dirname $$file)/lock.txt || exit 1; \
	done

coverage: setup
	$(BIN)/python docs/coverage.py

docs: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) runs
