# make train [ARGS="--cell gru --implementation builtin"]   set up .venv, then train
# make test                                                  set up .venv, then run the tests
# make lint                                                  ruff and mypy
# make docs                                                  the study guide as a site, in site/
# make figures [ARGS="--data-dir FOLDER"]                    train, and draw the guide's pictures

PYTHON ?= python3

.PHONY: train test lint docs figures

train: .venv/installed
	.venv/bin/python train.py $(ARGS)

test: .venv/installed
	.venv/bin/python -m pytest $(ARGS)

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/installed
	.venv/bin/python -m pip install -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

figures: .venv/installed
	PYTHONPATH=. .venv/bin/python docs/make_figures.py $(ARGS)

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -e ".[dev]"
	@touch $@
