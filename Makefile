# make run    the whole workflow on the embedded crystals; ARGS go to snakemake:
#             make run ARGS="--configfile config/mp20.yaml"
# make check  style, types, imports, generated files and the fast unit tests: under two minutes
# make test   the same checks and every test
# make test-gpu  the tests marked gpu on the GPU of this machine, and benchmarks
# make dist   a wheel with everything that the package needs outside the repository, in dist/
# make docs   the documentation as a site, in site/
# make clean  removes .venv and caches; results/ stay

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RECENT := -c "import sys; sys.exit(sys.version_info < (3, 11))"
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run check test test-gpu lint dist docs clean
.DELETE_ON_ERROR:

run: .venv/installed
	snakemake $(ARGS)

check: lint
	pytest -n auto --dist loadfile -m "not slow" tests/unit

test: lint
	pytest -n auto --dist loadfile --durations 15
	pytest -n auto --dist loadfile --gpu=pretend -m gpu tests/unit

test-gpu: .venv/installed-dev
	pytest --gpu=real -m gpu tests/unit
	python benchmarks/model.py --device cuda --batch 1000 --samples 50000
	python benchmarks/relax.py tests/fixtures/mp20_val_16.csv

lint: .venv/installed-dev
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint
	lint-imports
	crystalformer-rl configure --check

dist: .venv/installed
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

docs: .venv/installed-dev
	mkdocs build --strict

clean:
	rm -rf .venv .snakemake .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/installed: envs/requirements.txt pyproject.toml
	@$(BIN)/python $(RECENT) 2>/dev/null || $(PYTHON) $(RECENT) 2>/dev/null || { echo \
	  "Python 3.11 or later is needed, and '$(PYTHON)' is not one: make PYTHON=/path/to/it" >&2; \
	  exit 1; }
	$(BIN)/python $(RECENT) 2>/dev/null || $(PYTHON) -m venv --clear .venv || \
	  { rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/installed-dev: envs/requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --requirement envs/requirements-dev.txt
	touch $@
