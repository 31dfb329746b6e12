# Every target makes the environment it needs. make PYTHON=python3.12 TARGET chooses the Python.
PYTHON ?= python3
# make test TESTS=tests/engines ARGS="-k filter" runs a part of the tests.
TESTS ?= tests
ARGS ?=
BIN := .venv/bin
CHOSEN = -c ../../pyproject.toml --rootdir ../.. $(addprefix ../../,$(TESTS)) $(ARGS)

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help environment install fix check test coverage wheel docs demo build lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

environment:
	@sh .ci/environment .venv dev

install: environment ## make .venv with sparse-ir (as it lies here) and the development tools
	@test -x $(BIN)/sparse-ir || \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "Ready. Next: . $(BIN)/activate && sparse-ir --help"

fix: environment ## put imports and format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: environment ## lint, format, types, layers, spelling: everything but the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

# The tests see the wheel and nothing of this folder: their environment holds the wheel, and they
# are started from a folder without a sparse_ir, so that their subprocesses find the wheel too.
test: wheel ## build the wheel, install it into .venv-test, run the tests against it
	cd build/test && SPARSE_IR_EXPECT_WHEEL=1 ../../.venv-test/bin/pytest $(CHOSEN)

coverage: wheel ## the same, and what the tests reach: a table, and build/coverage/index.html
	cd build/test && SPARSE_IR_EXPECT_WHEEL=1 COVERAGE_FILE=$(CURDIR)/build/test/.coverage \
		../../.venv-test/bin/coverage run --rcfile ../../pyproject.toml -m pytest $(CHOSEN)
	.venv-test/bin/coverage combine --quiet --data-file build/.coverage build/test
	.venv-test/bin/coverage html --quiet --data-file build/.coverage -d build/coverage
	.venv-test/bin/coverage report --data-file build/.coverage --skip-covered

wheel:
	@sh .ci/environment .venv-test test
	@rm -rf build && mkdir -p build/test
	.venv-test/bin/python -m hatchling build -t wheel -d build/wheel
	@.venv-test/bin/python -m pip install --quiet --no-deps --force-reinstall build/wheel/*.whl

docs: install ## the documentation as a site, into build/site; a warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: install ## index Python's own documentation, search it, evaluate it
	$(BIN)/sparse-ir demo

build: environment ## the wheel and the source archive, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

lock: environment ## write constraints.txt anew, with the newest versions
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate \
		--custom-compile-command "make lock" --group dev pyproject.toml -o constraints.txt

clean: ## remove what the other targets made, environments included
	rm -rf .venv .venv-test .venv-tools build dist .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
