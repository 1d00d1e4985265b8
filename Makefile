# The package's own requirement is a range; this is the PyTorch that the project is developed with.
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN := .venv/bin
comma := ,

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

# PyTorch first: asked for by a dependency it would come with several gigabytes of CUDA packages.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

.PHONY: setup
setup: .venv/installed ## make .venv with everything in it

# TorchRec asks for the CUDA build of FBGEMM everywhere: without its dependencies, which are named here.
FBGEMM ?= fbgemm-gpu-cpu
.venv/torchrec: .venv/installed
	versions="$$($(BIN)/python -m mlet_bench.system.torchrec)" && set -- $$versions && \
	$(BIN)/pip install --quiet "$(FBGEMM)==$$1" "torchmetrics==1.0.3" tensordict pyre-extensions tqdm && \
	$(BIN)/pip install --quiet --no-deps "torchrec==$$2"
	@touch $@

.PHONY: setup-torchrec
setup-torchrec: .venv/torchrec ## add TorchRec for hardware=torchrec (FBGEMM=fbgemm-gpu: for GPUs)

.PHONY: test-torchrec
test-torchrec: .venv/torchrec ## run the tests of several processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/distributed

.PHONY: demo
demo: .venv/installed ## train, collapse and evaluate an MLET model on generated rows (about 2 minutes)
	$(BIN)/mlet-bench train model=dlrm emb=mlet emb.inner=64

.PHONY: test
test: .venv/installed ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.PHONY: test-more
test-more: .venv/installed ## all tests, the long tail too, with 200 examples of every property instead of 12 (slow)
	OMP_NUM_THREADS=1 MLET_BENCH_EXAMPLES=200 $(BIN)/python -m pytest -n auto -m 'not faults'

.PHONY: test-faults
test-faults: .venv/installed ## kill commands, harm files, fill disks, and compare what comes of it (slow)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m faults tests

.PHONY: bench-data
bench-data: .venv/installed ## time prepare and the training batches on 1 and 3 million generated rows (about 4 minutes)
	$(BIN)/python scripts/bench_data.py --rows $(or $(ROWS),1000000,3000000)

.PHONY: bench
bench: .venv/installed ## time training steps against the goals for speed (about 10 minutes; PEER=Python with deepctr-torch)
	$(BIN)/python scripts/bench.py --steps $(or $(STEPS),50) $(if $(PEER),--peer $(PEER))

.PHONY: reproduce-frappe
reproduce-frappe: .venv/installed ## the published runs on Frappe_x1 beside ours (RAW=folder; FAST=1: two models, one seed)
	$(BIN)/python scripts/reproduce_frappe.py --raw $(or $(RAW),data/raw/frappe_x1) $(if $(FAST),--models dcn$(comma)dlrm --seeds 1)

.PHONY: reproduce-paper
reproduce-paper: .venv/installed ## the paper's claims tried here (PROFILE=small, medium or full; RAW=folder of raw sets)
	$(BIN)/python scripts/reproduce_paper.py --profile $(or $(PROFILE),small) --raw $(or $(RAW),data/raw)

.PHONY: compare-embeddings
compare-embeddings: .venv/installed ## embedding modes at equal bytes and equal tuning (PROFILE=small or medium; RAW=folder of raw sets)
	$(BIN)/python scripts/compare_embeddings.py --profile $(or $(PROFILE),small) --raw $(or $(RAW),data/raw)

.PHONY: lint
lint: .venv/installed ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: .venv/installed ## bring the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: wheel
wheel: .venv/installed ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: clean
clean: ## remove .venv and what tools left behind; never runs or data
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
