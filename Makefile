# Everything here works from a clean clone with Python 3.11 to 3.13, make and a shell.
PORT ?= 8080
PYTHON ?= $(shell scripts/find-python)
BIN := .venv/bin

.PHONY: run test check smoke gateway openapi build validate size sam-local sam-invoke bench bench-init bench-images bench-batches bench-limits bench-outage bench-shared bench-streams bench-hostile stress-runtime costs test-built test-stack deploy delete format prices catalog lock clean

run: .venv/local ## Serve everything on http://127.0.0.1:$(PORT)
	@PORT=$(PORT) exec $(BIN)/python -m functions

# One more process than CI has cores, since some tests wait for time to pass; in small portions, so that no process is
# left alone with the slow ones.
test: .venv/dev .venv/openai-2 .venv/agents ## Run the tests
	$(BIN)/python -m pytest -n 3 --maxschedchunk 32

check: .venv/dev ## Lint, type-check, and check the imports against the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

smoke: .venv/local ## Prove a gateway that is up: make smoke URL=https://…, with a client's key in GATEWAY_KEY
	@URL="$(URL)" MODEL="$(or $(MODEL),Auto)" $(BIN)/python scripts/smoke.py

gateway: .venv/local ## Run the command line: make gateway ARGS="keys list"
	@$(BIN)/python -m shared.cli $(ARGS)

openapi: .venv/local ## Print the API's OpenAPI document, which names URL=https://… as its server
	@$(BIN)/python -m functions.api_document $(URL)

SAM = SAM_CLI_TELEMETRY=0 ARCH=$(ARCH) .venv/sam/bin/sam
HERE = $(subst aarch64,arm64,$(shell uname -m))

build: .venv/sam ## Build the functions and layers for ARCH=arm64 or x86_64
	$(SAM) build --parameter-overrides Architecture=$(ARCH)
	@.venv/sam/bin/python scripts/release.py $(ARCH)

validate: .venv/sam ## Lint the templates
	$(SAM) validate --lint --region us-east-1
	.venv/sam/bin/cfn-lint template.yaml capacity-provider.yaml

size: build ## Print the unpacked size of every layer and function
	@$(PYTHON) scripts/size.py

sam-local: .venv/local ## Serve the built template with `sam local start-api`; needs a Docker engine
	@$(MAKE) --no-print-directory build ARCH=$(HERE)
	@PORT=$(PORT) exec $(BIN)/python -m scripts.sam_local

sam-invoke: .venv/local ## Invoke the functions with every sample event by `sam local invoke`; needs a Docker engine
	@$(MAKE) --no-print-directory build ARCH=$(HERE)
	@exec $(BIN)/python -m scripts.sam_local events/*.json

# SHORT=on runs a benchmark once and quickly, WRITE=on renews its table in README.
bench: .venv/local ## Compare CPU time and latency with a plain proxy, and with another checkout: TREE=…
	@$(BIN)/python -m scripts.bench

bench-init: .venv/dev .venv/lambda-runtime ## Measure cold starts under AWS's Runtime Interface Emulator
	@$(MAKE) --no-print-directory build ARCH=$(HERE)
	@$(BIN)/python -m scripts.bench_init

bench-images: .venv/local ## Measure the peak memory for a large image
	@$(BIN)/python -m scripts.bench_images

bench-batches: .venv/local ## Measure the throughput and memory of batches
	@$(BIN)/python -m scripts.bench_batches

bench-limits: .venv/local ## Count DynamoDB writes per request with limits, and time the code
	@$(BIN)/python -m scripts.bench_limits

bench-streams: .venv/local ## Measure the memory of many streams at once, and how late their tokens are: STREAMS=1000
	@$(BIN)/python -m scripts.bench_streams

bench-outage: .venv/local ## Print the share of requests that are answered while a provider fails, and the latency that adds
	@$(BIN)/python -m scripts.bench_outage

bench-shared: .venv/local ## Send equal requests to several processes at once, and time how a circuit gets around
	@$(BIN)/python -m scripts.bench_shared

bench-hostile: .venv/local ## Measure how long hostile requests hold the event loop, and the memory they take: SHAPES="a word"
	@$(BIN)/python -m scripts.bench_hostile $(SHAPES)

stress-runtime: .venv/dev ## Let the runtime serve 10,000 invocations, 500 at once, of which many go wrong
	@$(BIN)/python -m scripts.stress_runtime

costs: .venv/local ## Print what a million calls cost, term by term
	@$(BIN)/python -m scripts.costs

test-built: .venv/dev .venv/lambda-runtime ## Test the built functions under AWS's Runtime Interface Emulator
	@$(MAKE) --no-print-directory build ARCH=$(HERE)
	$(BIN)/python -m pytest -m built

test-stack: .venv/dev .venv/lambda-runtime .venv/stack ## Deploy the built stack into an emulated AWS, use, update, roll back, delete it
	@$(MAKE) --no-print-directory build ARCH=$(HERE)
	$(BIN)/python -m pytest tests/deployed -m deployed

deploy: .venv/local .venv/sam ## Deploy the stack that samconfig.toml describes under ENV=…: see scripts/deploy.py
	@arch=$$($(DEPLOY) architecture) && $(MAKE) --no-print-directory build ARCH=$$arch && $(DEPLOY) stack

delete: .venv/local ## Delete the stack that samconfig.toml describes under ENV=…, and say what remains of it
	@$(BIN)/python -m scripts.delete

# make itself exports the variables that were given to it.
DEPLOY = $(BIN)/python -m scripts.deploy

format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

prices: .venv/dev ## Regenerate shared/prices.toml from genai-prices and scripts/prices_by_hand.toml
	@$(BIN)/python -m scripts.update_prices

catalog: .venv/dev ## Compare shared/catalog.toml with the vendors' SDKs and genai-prices; fails for models retired by DATE
	@$(BIN)/python -m scripts.check_catalog $(DATE)

lock: .venv/dev ## Pin the newest dependency versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra local -c requirements.txt $(LOCK) -o requirements-local.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements-local.txt $(LOCK) -o requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml -c requirements.txt $(LOCK) $(NOT_IN_LAYER) -o layers/dependencies/requirements.txt
	$(BIN)/uv pip compile layers/sam.in $(LOCK) -o requirements-sam.txt
	$(BIN)/uv pip compile layers/lambda-runtime.in $(LOCK:3.11=3.13) -o requirements-lambda-runtime.txt
	$(BIN)/uv pip compile tests/deployed/ministack.in $(LOCK) -o requirements-stack.txt
	$(BIN)/uv pip compile tests/sdk/openai-2.in -c requirements-local.txt $(LOCK) -o requirements-openai-2.txt
	$(BIN)/uv pip compile tests/sdk/agents.in -c requirements-local.txt $(LOCK) -o requirements-agents.txt

LOCK := --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url
# boto3 and what it needs come with Lambda's runtime.
NOT_IN_LAYER := $(addprefix --no-emit-package ,boto3 botocore s3transfer python-dateutil six urllib3)

clean: ## Remove everything that the other targets created
	rm -rf .venv .aws-sam .mypy_cache .ruff_cache .pytest_cache

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

# SAM's dependencies are pinned apart from ours.
.venv/sam: requirements-sam.txt .venv/python
	$(PYTHON) -m venv --clear .venv/sam
	.venv/sam/bin/python -m pip install --quiet --require-hashes --requirement requirements-sam.txt
	@touch $@

# What Lambda's image brings.
.venv/lambda-runtime: requirements-lambda-runtime.txt .venv/sam
	"$$(scripts/find-python 3.13)" -m pip install --quiet --require-hashes --requirement $< --target $@ --upgrade
	@touch $@

# An AWS in one process, to which a stack is deployed. What it needs is pinned apart from ours.
.venv/stack: requirements-stack.txt .venv/python
	$(PYTHON) -m venv --clear .venv/stack
	.venv/stack/bin/python -m pip install --quiet --require-hashes --requirement requirements-stack.txt
	@touch $@

# The previous major version of OpenAI's SDK, which many clients still have, beside the newest.
.venv/openai-2: requirements-openai-2.txt .venv/dev
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $< --target .venv/openai-2-packages --upgrade
	@touch $@

# Agents' libraries: OpenAI's Agents SDK needs an older websockets than the tests' own packages.
.venv/agents: requirements-agents.txt .venv/dev
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $< --target .venv/agents-packages --upgrade
	@touch $@

include layers/build.mk
