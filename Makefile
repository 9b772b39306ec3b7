# Three commands do all: `make demo`, `make test` and `make check-slow`. They set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo

.PHONY: demo test lint types check check-slow index browser bench clean

# One thread: a third slower than two on idle cores, but not many times slower when something else runs as well.
demo: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/demo.py --out $(DEMO)

test: $(STAMP) browser
	$(MAKE) --no-print-directory lint types check

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) scripts/setup_venv.py $(VENV)
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

check: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest --doctest-modules src/pellucid
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

# Kills, clusters, whole trainings, larger pages: what is marked slow.
check-slow: $(STAMP) browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow

# After a class or function was registered, renamed or moved: a test compares.
index: $(STAMP)
	$(BIN)/python scripts/index.py

# The report's tests look at it in a browser; without one they are skipped with a reason.
browser:
	@sh scripts/browser.sh

bench: $(STAMP)
	$(BIN)/python benches/training_speed.py
	$(BIN)/python benches/neighbors_speed.py

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache
