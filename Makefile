# Every target sets up what is missing first: `make demo` is all there is to know.
# ARGS reach the command: make demo ARGS="--exit --json", make test ARGS="-k restore"

PYTHON := .venv/bin/python
# Tests that share one house of real processes: one after the other, after the rest.
HOUSE_TESTS := $(wildcard tests/acceptance tests/chaos)

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check bench chaos

help:
	@echo "make demo   a fleet, a peak event and a page to watch it"
	@echo "make run    everything on this machine, for real cars"
	@echo "make test   all tests"
	@echo "make check  formatting, lint, types, import directions, migrations, OpenAPI"
	@echo "make bench  measure"
	@echo "make chaos  break everything, and see that every promise holds"

# Set-up talks on stderr, so that the last line of stdout stays the command's own.
setup:
	@sh .ci/setup >&2

demo: setup
	@$(PYTHON) manage.py demo $(ARGS)

run: setup
	@$(PYTHON) manage.py serve $(ARGS)

bench: setup
	@$(PYTHON) manage.py bench $(ARGS)

chaos: setup
	@$(PYTHON) manage.py chaos $(ARGS)

test: setup
	$(PYTHON) -m pytest -n 2 $(HOUSE_TESTS:%=--ignore=%) $(ARGS)
ifneq ($(HOUSE_TESTS),)
	$(PYTHON) -m pytest $(HOUSE_TESTS) $(ARGS)
endif

check: setup
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m mypy .
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()"
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file /dev/null
