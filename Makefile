# demo   the whole tutorial on a local AWS account with a real HTCondor pool (needs root, Debian)
# test   everything: the gate, the local account, real HTCondor, the demo's own steps
# check  the quick gate: format, lint, types, layers, unit tests; a minute or two
# explore  every order of the control plane's calls, up to a number of states; five minutes, no root needed
# account  the local account alone, in the foreground: `make account`, Ctrl-C ends it
#
# Each installs what it needs (tools/prepare says what) and can be run twice.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Of a package index that hesitates: pip asks so often again, `chalice deploy`'s too.
export PIP_RETRIES ?= 7

.PHONY: demo test check explore account bench clean

demo: prepared-root
	@$(BIN)/python -m demo

# Real HTCondor mostly waits; what only computes runs beside it.
test: check prepared-root
	@$(MAKE) --no-print-directory -j 2 hosts aws-side
	@echo "==> The demo, with HTCondor's own intervals"
	@$(BIN)/python -m demo

.PHONY: hosts aws-side
hosts:
	@echo "==> Real HTCondor"
	@$(BIN)/python -m pytest tests/pool tests/end_to_end -q

aws-side:
	@echo "==> The local account and the control plane on it"
	@$(BIN)/python -m pytest tests/client/test_setup.py tests/contract tests/account -q
	@echo "==> Orders of the control plane's calls: a part of 'make explore'"
	@$(BIN)/python -m tests.explorer --part 10

# Side by side: neither keeps two processors busy all the time.
check: prepared
	@$(MAKE) --no-print-directory -j 2 static unit

.PHONY: static unit
static:
	@echo "==> Format, lint, types, layers"
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports pyproject.toml > /dev/null || $(BIN)/lint-imports pyproject.toml

unit:
	@echo "==> Unit tests"
	@$(BIN)/python -m pytest tests/unit tests/flow tests/client -q -n 2 --dist loadfile --ignore tests/client/test_setup.py

explore: prepared
	@$(BIN)/python -m tests.explorer

account: prepared-root
	@$(BIN)/python -m local up

bench: prepared-root
	@$(BIN)/python -m bench

.PHONY: prepared prepared-root
prepared:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" tools/prepare
prepared-root:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" tools/prepare hosts

clean:
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m local down
	@rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
