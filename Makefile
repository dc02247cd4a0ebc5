# Everything here works from a clean clone with Python 3.11 to 3.13, make and a shell.
PORT ?= 8080
PYTHON ?= $(shell scripts/find-python)
BIN := .venv/bin

.PHONY: run test check smoke format lock clean

run: .venv/local ## Serve everything on http://127.0.0.1:$(PORT)
	@PORT=$(PORT) exec $(BIN)/python -m functions

test: .venv/dev .venv/openai-2 ## Run the tests
	$(BIN)/python -m pytest -n 2

check: .venv/dev ## Lint, type-check, and hold the imports against the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

smoke: .venv/local ## Prove a gateway that is up: make smoke URL=https://… KEY=…
	@URL="$(URL)" KEY="$(KEY)" MODEL="$(or $(MODEL),Auto)" $(BIN)/python scripts/smoke.py

format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/dev ## Pin the newest dependencies that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra local -c requirements.txt $(LOCK) -o requirements-local.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements-local.txt $(LOCK) -o requirements-dev.txt
	$(BIN)/uv pip compile tests/sdk/openai-2.in -c requirements-local.txt $(LOCK) -o requirements-openai-2.txt

LOCK := --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url

clean: ## Remove what the other targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.venv/python:
	@test -n "$(PYTHON)"
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/local: requirements-local.txt .venv/python
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-local.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/python
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.txt
	@touch $@

# The previous major version of OpenAI's SDK, which many clients still have, beside the newest.
.venv/openai-2: requirements-openai-2.txt .venv/dev
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $< --target .venv/openai-2-packages --upgrade
	@touch $@
