# make train [ARGS="--cell gru --implementation builtin"]   set up .venv, then train
# make test                                                  set up .venv, then run all tests
# make test ARGS="-m 'not slow'"                             the quick tests only
# make exercises                                             set up .venv, then start the course
# make lint                                                  ruff and mypy
# make docs                                                  build the documentation in site/
# make figures [ARGS="--data-dir FOLDER"]                    train, and draw the figures of the docs

PYTHON ?= python3

# One worker for each core. A file is run by one worker, so that a fixture of a module is made once.
# Files start in the order of tests/conftest.py, not by their number of tests. More than eight
# workers would only take memory (about 1 GB each).
PARALLEL = -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: train test exercises lint docs figures

train: .venv/installed
	.venv/bin/python train.py $(ARGS)

test: .venv/installed
	.venv/bin/python -m pytest $(PARALLEL) $(ARGS)

exercises: .venv/installed
	.venv/bin/python -m exercises $(ARGS)

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/installed
	.venv/bin/python -m pip install --quiet -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	@echo "The documentation is in site/: open site/index.html in a browser."

figures: .venv/installed
	PYTHONPATH=. .venv/bin/python docs/make_figures.py $(ARGS)
	PYTHONPATH=. .venv/bin/python docs/make_live_figures.py

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -e ".[dev]"
	@touch $@
