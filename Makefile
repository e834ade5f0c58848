# Two targets are all a newcomer needs: `make demo` and `make test`. Both install what they need first.
PY := .venv/bin/python
# Tests write and sync a lot, so their folders lie in memory where there is room; those of tests that passed go at once.
SPACIOUS := $(shell test "$$(df --output=avail --block-size=1G /dev/shm 2>/dev/null | tail -n 1)" -ge 8 2>/dev/null && echo yes)
IN_MEMORY := $(if $(SPACIOUS),PYTEST_DEBUG_TEMPROOT=/dev/shm)
# More processes than cores: a good part of a test's time is waiting for what it has started.
PYTEST := $(IN_MEMORY) $(PY) -m pytest -n 3 --dist worksteal -o tmp_path_retention_policy=failed

.DEFAULT_GOAL := help
# By a name of its own: a line of a recipe that says MAKE runs in dry runs, too.
LOOK := $(MAKE) --no-print-directory look
# Spark's tests start some forty JVMs.
WARM_UP := if command -v java > /dev/null; then .venv/bin/strongroom spark warm-up; fi

.PHONY: look chaos queue-chaos conformance conversion flink help kube setup setup-all demo test lint bench bench-serving fuzz soak spark docs clean

help:
	@echo "make demo   set up, then run the whole story on this machine: seal, attest, release, serve, classify, attack"
	@echo "make test   set up, then lint and all tests"
	@echo "make setup-all   install every engine as well: TensorFlow, OpenVINO, Spark, Flink"
	@echo "make lint   layering, ruff, mypy --strict"
	@echo "make bench  measure speed; writes bench/results/*.json"
	@echo "make bench-serving  the model server beside its peers, about 15 minutes; OPTIONS='--quick --only tiny,json'"
	@echo "make fuzz   mutate evidence against a second verifier, fuzz every parser, 1,000 examples a property; SECONDS=N for each part"
	@echo "make soak   serve for ten minutes under callers, reloads and kills; SECONDS=N for another time"
	@echo "make chaos  three brokers on one PostgreSQL under load and faults, and a proof of what held; SECONDS=N SEED=N"
	@echo "make queue-chaos  100,000 records while workers and Redis are killed: one result each; OPTIONS='--records N --seed N'"
	@echo "make conformance  replay TensorFlow Serving's cases on both front ends; CASES=FILE TESTDATA=FOLDER for others"
	@echo "make conversion  convert ResNet50 at full size from every source to every format, within rounding"
	@echo "make kube   a real Kubernetes cluster, a deployment's whole life on it under load; builds Kubernetes once; root"
	@echo "make flink  a Flink cluster with TLS: jobs, the queue's workers killed and cancelled, beside the plain runner"
	@echo "make spark  every example of trusted analytics at full size, each held against what it has to print, and jobs killed or spilling on clusters; OPTIONS='--seed N'"
	@echo "make docs   regenerate what docs/ takes from the code"
	@echo "make clean  remove what the other targets made"

setup:
	@tools/setup.sh

setup-all:
	@tools/setup.sh all

demo: setup
	@.venv/bin/strongroom demo $(DEMO)

test: setup-all
	$(WARM_UP) & warm=$$!; $(LOOK) && wait $$warm # on the core that looking at types leaves
	$(PY) -m pytest tests/contracts/test_root_keys.py # by itself: its token does not stand TensorFlow's OpenSSL beside it
	$(PYTEST) tests/unit tests/properties tests/contracts --ignore=tests/contracts/test_root_keys.py
	$(PYTEST) tests/e2e

lint: setup-all look

look:
	@.venv/bin/ruff check src tests bench tools
	@.venv/bin/ruff format --check --quiet src tests bench tools
	@.venv/bin/lint-imports --no-cache > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@.venv/bin/mypy

bench: setup-all
	@for each in bench/[a-z]*.py; do case $$each in bench/harness.py) ;; *) echo "== $$each"; $(PY) $$each || exit 1;; esac; done
	cd bench && ../$(PY) -m serving --quick --no-peers --only tiny,image,floor

bench-serving: setup-all
	cd bench && ../$(PY) -m serving $(OPTIONS)

fuzz: setup-all
	$(PY) tools/differential/run.py --seconds $(or $(SECONDS),20) --first-seed $$(date +%s)
	$(PY) tools/fuzz/fuzz.py --seconds $(or $(SECONDS),20)
	STRONGROOM_EXAMPLES=1000 $(PYTEST) tests/properties

soak: setup-all
	$(PY) tools/soak/soak.py --seconds $(or $(SECONDS),600)

chaos: setup-all
	$(PY) tools/chaos/chaos.py --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

queue-chaos: setup-all
	$(PY) tools/queue/queue_chaos.py $(OPTIONS)

conformance: setup-all
	$(PY) tools/conformance/conformance.py $(CASES) $(if $(TESTDATA),--testdata $(TESTDATA))

conversion: setup-all
	STRONGROOM_CONVERSION_FULL=1 $(PY) -m pytest tests/e2e/test_conversion_resnet50.py

spark: setup-all
	.venv/bin/strongroom spark example --all $(OPTIONS)
	STRONGROOM_SPARK_FULL=1 $(PYTEST) tests/e2e/analytics -m full
	STRONGROOM_SPARK_FULL=1 $(PY) -m pytest tests/e2e/test_docs.py -k analytics-examples

kube: setup-all
	cd tools && ../$(PY) -m kube $(OPTIONS)

flink: setup-all
	STRONGROOM_FLINK_FULL=1 $(PY) -m pytest tests/e2e/streaming/test_flink.py tests/e2e/streaming/test_flink_environment.py tests/e2e/streaming/test_sealed_records.py::test_an_06_kd_24_flink_launches_workers_that_attest_and_holds_no_key -s

docs: setup-all
	@$(PY) tools/write_error_docs.py
	@$(PY) tools/write_difference_docs.py
	@$(PY) tools/write_flag_docs.py
	@$(PY) tools/write_threat_list.py
	@$(PY) tools/write_openapi.py
	@$(PY) tools/write_cloud_docs.py

clean:
	rm -rf .venv .venv-original .venv-flink .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +
