# The everyday commands. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test vm-test upstream-test lint format protos hooks agent-configuration agent-metrics configuration metrics-reference bench bench-ingest soak expected-costs lock clean

PYTHON := .venv/bin/python
SOURCES := agent backend common protos tests bench scripts deploy

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## run backend and agent on this machine; FOR=20s stops by itself
	@scripts/setup run
	@$(PYTHON) scripts/run.py $(if $(FOR),--for $(FOR))

test: ## run every test that this machine can run
	@scripts/setup test
	@$(PYTHON) -m pytest $(TESTS)

vm-test: ## run the kernel tests on stock Debian kernels, in virtual machines
	@scripts/setup vm; status=$$?; \
	if [ $$status -eq 69 ]; then echo "vm-test skipped: what it needs cannot be installed (the reason is above)"; \
	elif [ $$status -ne 0 ]; then exit $$status; \
	else $(PYTHON) -m scripts.vm --kernels "$(KERNELS)" --modes "$(MODES)" --run "$(RUN)" $(TESTS); fi

upstream-test: ## compare this backend with SkyWalking's own, and send it what the agent sees
	@scripts/setup upstream; status=$$?; \
	if [ $$status -eq 69 ]; then echo "upstream-test skipped: what it needs cannot be installed (the reason is above)"; \
	elif [ $$status -ne 0 ]; then exit $$status; \
	else PYROVER_UPSTREAM=1 $(PYTHON) -m pytest $(or $(TESTS),tests/upstream); fi

lint: ## check style and types
	@scripts/setup test
	@$(PYTHON) -m ruff check $(SOURCES)
	@$(PYTHON) -m ruff format --check $(SOURCES)
	@$(PYTHON) -m mypy
	@clang-format --dry-run --Werror bpf/*.c bpf/*.h

format: ## rewrite the sources in the project's style
	@scripts/setup test
	@$(PYTHON) -m ruff check --fix-only $(SOURCES)
	@$(PYTHON) -m ruff format $(SOURCES)
	@clang-format -i bpf/*.c bpf/*.h

protos: ## generate the Python code of protos/*.proto
	@scripts/setup test
	@$(PYTHON) scripts/generate_protos.py

hooks: ## write docs/hooks.md from the hook declarations
	@scripts/setup test
	@$(PYTHON) -m agent.kernel.hooks_page

agent-configuration: ## write docs/agent-configuration.md from the declared keys
	@scripts/setup test
	@$(PYTHON) -m agent.config_page

agent-metrics: ## write docs/agent-metrics.md from the declared figures
	@scripts/setup test
	@$(PYTHON) -m agent.telemetry.page

configuration: ## write docs/configuration.md and application.yml from the declared settings
	@scripts/setup test
	@$(PYTHON) -m backend.server.configuration_page

metrics-reference: ## write docs/metrics-reference.md from the scripts of metrics and the hook declarations
	@scripts/setup test
	@$(PYTHON) -m scripts.metrics_reference

bench: ## list the benchmarks, each a command
	@scripts/setup test
	@$(PYTHON) -m bench

bench-ingest: ## measure what one backend takes on one core, from HTTP/2 to rows stored
	@scripts/setup test
	@$(PYTHON) -m bench.ingest

soak: ## run agent and backend under churn and faults; MINUTES=5 is shorter than the hour
	@scripts/setup test
	@$(PYTHON) -m bench.soak $(if $(MINUTES),--minutes $(MINUTES))

expected-costs: ## write what messages cost in counts after a change that is meant to change it
	@scripts/setup test
	@$(PYTHON) -m tests.bench.costs

lock: ## pin the dependencies of pyproject.toml again
	@scripts/lock

clean: ## forget everything that was made here
	rm -rf .venv .run build dist *.egg-info
