# The two commands: `make run` (the bot, or the demo without tokens) and `make test` (what to run before a push).
# CI runs `make test` and then `make test-cluster`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Torch's build follows the card, unless TORCH_INDEX says which (docs/install.md).
TORCH_INDEX ?= $(if $(PIP_EXTRA_INDEX_URL),,$(shell $(BIN)/python -m gpu_worker.device.torch_index))
INSTALL = $(PIP) install --constraint requirements.lock $(addprefix --extra-index-url=,$(TORCH_INDEX)) --editable
export PYTHONUNBUFFERED := 1
# Many processes start from these sources; compiling them anew is a third of what it takes to collect the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test pytest test-cluster soak check ruff mypy bench audit docs pictures format lock hashes clean

run: $(VENV)/.run
	@$(BIN)/python -m bot

# The long proofs, which `make test` has in a short form; `make soak ONLY=R6` runs one row (docs/operations.md),
# and `make soak ONLY=R6 CORPUS=<folder>` shows it these pictures too.
soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak $(if $(ONLY),tests/proofs -k "$(ONLY)_")

# mypy beside the tests, as it takes half a minute of one core. Where either fails, this fails once both have ended.
test: ruff
	@$(MAKE) --no-print-directory --jobs=2 --keep-going mypy pytest

# Files side by side, one more than there are cores, as a third of the time is waiting for other programs; in their
# order, which has the long ones early and the short ones last.
pytest: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $$($(BIN)/python -c 'import os; print(min(4, os.cpu_count() + 1))') \
		--dist loadfile --no-loadscope-reorder

# Ray clusters on this machine, and images where buildah, podman and debootstrap are (as root). One after the other,
# as each starts many processes.
test-cluster: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'cluster and not soak'

check: ruff mypy

ruff: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: $(VENV)/.dev
	$(BIN)/mypy

# Speed and memory beside their goals (docs/benchmarks.md): `make bench ONLY=worker-ready` measures one row,
# `make bench PEER=<checkout of sd-scripts> PEER_PYTHON=<its Python>` compares with it.
bench: $(VENV)/.run
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

# Licences of all that is pinned, and published advisories; it says so where the index serves none.
audit: $(VENV)/.dev
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit \
		&& build/audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit; } \
		|| echo "pip-audit cannot be installed from the index that is used here"
	@$(BIN)/python .ci/audit.py build/audit/bin/pip-audit

# The generated pages and diagrams, from the code.
docs: $(VENV)/.dev
	$(BIN)/python .ci/commands.py
	$(BIN)/python .ci/configuration.py
	$(BIN)/python .ci/diagrams.py

# The README's pictures of the chats. Chromium is Debian's (apt install chromium) or, where there is none, Playwright's.
pictures: $(VENV)/.dev
	@$(BIN)/python -c 'import playwright' 2>/dev/null || $(PIP) install 'simcord[screenshot]==3.2.1'
	@command -v chromium >/dev/null || $(BIN)/python -m playwright install chromium
	PYTHONPATH=. $(BIN)/python .ci/pictures.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "LoraCode needs Python 3.11 or newer; point PYTHON at one: make run PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# requirements.lock holds the exact versions; torch's pin takes any build of its version.
$(VENV)/.run: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing the pinned requirements into $(VENV) (once)"
	$(INSTALL) '.[worker]'
	@touch $@

$(VENV)/.dev: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing the pinned requirements and the development tools into $(VENV) (once)"
	$(INSTALL) '.[worker,dev]'
	@touch $@ $(VENV)/.run

# Take the newest versions inside pyproject.toml's ranges; review the difference before you commit it.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --quiet install 'torch==2.13.0' --editable '.[worker,dev]'
	build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | sort -f > requirements.lock
	build/lock/bin/python .ci/hashes.py

# What images are pinned to, byte by byte.
hashes: $(VENV)/.dev
	$(BIN)/python .ci/hashes.py

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
