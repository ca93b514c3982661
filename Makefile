# make test    create .venv, install, vendor the browser libraries, lint, run every test: the page's modules in Node first
# make demo    export the bundled networks with the page and serve them (WEIGHTS=path, PORT=8000)
# make test-pythons   install and try the project on every Python found here and with JAX alone, or on PYTHONS="python3.10 python3.13"
# make wheel   build dist/*.whl, with the page and its vendored libraries inside
# make npm     build dist/span-upscaler-*.tgz, the npm package, with the networks of NPM_MODELS="bundled:x4-photo ..." inside
# make lint    check the Python and JavaScript code: rules, types, formatting
# make format  rewrite the code in its format

PYTHON ?= python3
# A Python that is named gets an environment of its own beside that of the usual one.
VENV := .venv$(if $(filter command,$(firstword $(origin PYTHON))),-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
# Python compiles what is imported; compiling all that is installed takes half a minute.
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q --no-compile -c constraints.txt
WEIGHTS ?= bundled:x4-photo
# The page offers every network of the package.
BUNDLED := $(patsubst span_keras/bundled/%.safetensors,bundled:%,$(wildcard span_keras/bundled/x*.safetensors))
NPM_MODELS ?= bundled:x4-photo bundled:x2-fast
PORT ?= 8000
# Browser tests wait much of their time.
WORKERS := $(shell echo $$(($$(nproc 2>/dev/null || echo 2) * 3 / 2)))
NODE_MODULES := web_demo/node_modules/.complete

.DELETE_ON_ERROR:
.PHONY: test ready test-pythons demo wheel npm lint format node-tests vendor chromium other-browsers clean

# What comes before the tests waits for networks and disks much of its time.
test:
	@$(MAKE) --no-print-directory -j 3 ready
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

ready: $(VENV)/.test vendor chromium other-browsers lint node-tests

test-pythons:
	@$(PYTHON) scripts/pythons.py $(PYTHONS)

demo: | $(VENV)/.runtime
	@$(MAKE) -s vendor || echo "The browser libraries are not vendored; the page takes its pinned copies from the network." >&2
	$(BIN)/span-export --tfjs out/demo --demo --perceptual --weights "$(WEIGHTS)" \
	  $(patsubst %,--also %,$(filter-out $(WEIGHTS),$(BUNDLED)))
	@$(BIN)/python -m span_export.serve out/demo --port $(PORT)

wheel: $(VENV)/.runtime vendor
	@$(BIN)/python -m pip --disable-pip-version-check wheel -q --no-deps -w dist .
	@ls dist/*.whl

npm: $(VENV)/.runtime vendor
ifneq ($(strip $(NPM_MODELS)),)
	$(BIN)/span-export --tfjs build/npm --overwrite --weights $(firstword $(NPM_MODELS)) \
	  $(patsubst %,--also %,$(filter-out $(firstword $(NPM_MODELS)),$(NPM_MODELS)))
endif
	@node web_demo/npm/pack.mjs dist $(if $(strip $(NPM_MODELS)),--models build/npm)

lint: $(VENV)/.test $(NODE_MODULES)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd web_demo && npm run --silent lint

format: $(VENV)/.test $(NODE_MODULES)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd web_demo && npm run --silent format

node-tests: $(NODE_MODULES)
	@cd web_demo && npm test --silent

# Stamps make a second run quick: an environment is installed again only when its description changes.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 14) else "span-keras needs Python 3.10 to 3.14, found %d.%d; run make PYTHON=python3.11" % v)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing span-keras into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing span-keras and what its tests need into $(VENV)"
	@$(PIP) -e '.[test]'
	@touch $(VENV)/.runtime $@

vendor: web_demo/vendor/.complete

web_demo/vendor/.complete: $(NODE_MODULES) web_demo/vendor.mjs
	@cd web_demo && npm run --silent vendor
	@touch $@

$(NODE_MODULES): web_demo/package-lock.json
	@$(call need,npm,npm)
	@cd web_demo && npm ci --silent --no-audit --no-fund
	@touch $@

# One apt-get runs at a time.
chromium: | $(NODE_MODULES)
	@$(call need,chromium,chromium)

# Their tests are skipped, with the reason, where these browsers cannot be installed.
other-browsers: | chromium
	@( $(call need,firefox-esr,firefox-esr) ) 2>/dev/null || echo "Firefox was not found; its tests are skipped." >&2
	@( $(call need,WebKitWebDriver,webkit2gtk-driver); $(call need,Xvfb,xvfb) ) 2>/dev/null \
	  || echo "WebKitGTK was not found; its tests are skipped." >&2

# need(command, Debian package): install a missing command where we may, otherwise say what to do.
need = command -v $(1) >/dev/null 2>&1 \
  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && echo "Installing $(2)" \
  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; } \
  || { echo "$(1) was not found and cannot be installed from here; install it (Debian: apt-get install $(2)) and run make again." >&2; exit 1; }

clean:
	rm -rf build dist out *.egg-info .pytest_cache .ruff_cache web_demo/vendor web_demo/node_modules
