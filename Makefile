# make env: everything into .venv; make demo: the quickstart; make test, make check: as CI does; make ablations, make compare: docs/results.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
export HF_HUB_OFFLINE ?= 1

.PHONY: env demo test test-quantized test-deepspeed check format pair ablations ablations-real compare compare-real bench fault docs package screenshots clean

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tools/make_env.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/make_env.sh
	touch $@

demo: env
	$(BIN)/semalign quickstart --out $(OUT)

test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q

# With bitsandbytes, which is apart because whatever is started beside it starts two seconds later.
QUANTIZED := $(VENV)/quantized
test-quantized: env
	test -d $(QUANTIZED) || $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --target $(QUANTIZED) 'bitsandbytes>=0.49'
	PYTHONPATH=$(QUANTIZED) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/models/test_quantized.py tests/test_quantized_teacher.py

# With DeepSpeed, which is apart because it is built where it is installed, and one engine needs it.
DEEPSPEED := $(VENV)/deepspeed
test-deepspeed: env
	test -d $(DEEPSPEED) || DS_BUILD_OPS=0 $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --target $(DEEPSPEED) \
		'deepspeed>=0.19' einops hjson msgpack ninja py-cpuinfo
	PYTHONPATH=$(DEEPSPEED) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/scale/test_deepspeed.py

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pair: env
	$(BIN)/python pairs/build.py --force

# Three seeds of every ablation, about 18 minutes on two idle cores; a stopped one goes on with the same command.
ABLATIONS ?= runs/ablations
ablations: env
	OMP_NUM_THREADS=1 $(BIN)/semalign sweep configs/ablations/embedded/base.yaml --axes configs/ablations/embedded/axes.yaml \
		--seeds 3 --jobs 2 --out $(ABLATIONS)
	$(BIN)/semalign compare $(ABLATIONS) --out $(ABLATIONS)-compare --title "Ablations on the embedded pair"
	cp $(ABLATIONS)-compare/compare.md docs/results/ablations.md
	cp $(ABLATIONS)-compare/compare.json docs/results/ablations.json

# The ablations on real weights, one seed, about 50 minutes: docs/real-models.md says where models and rows lie.
ABLATIONS_REAL ?= runs/ablations-smollm2
ablations-real: env
	test -d models/smollm2-135m-26 || $(BIN)/semalign shrink configs/real/smollm2_shrunk.yaml --layers 26 --by even \
		--out models/smollm2-135m-26
	OMP_NUM_THREADS=1 $(BIN)/semalign sweep configs/ablations/smollm2/base.yaml --axes configs/ablations/smollm2/axes.yaml \
		--out $(ABLATIONS_REAL)
	$(BIN)/semalign compare $(ABLATIONS_REAL) --out $(ABLATIONS_REAL)-compare --title "Ablations on real weights"
	cp $(ABLATIONS_REAL)-compare/compare.md docs/results/ablations-smollm2.md
	cp $(ABLATIONS_REAL)-compare/compare.json docs/results/ablations-smollm2.json

# Five seeds of every method; COMPARE_SET="--set seeds=1" and the like make it smaller.
COMPARE ?= runs/compare-embedded
compare: env
	OMP_NUM_THREADS=1 $(BIN)/semalign compare configs/compare/embedded.yaml --jobs 2 --out $(COMPARE) \
		--title "Every method on the embedded pair" $(COMPARE_SET)
	cp $(COMPARE)/compare.md docs/results/embedded.md
	cp $(COMPARE)/compare.json docs/results/embedded.json

# The same on real weights at reduced size, one seed.
COMPARE_REAL ?= runs/compare-smollm2
compare-real: env
	OMP_NUM_THREADS=1 $(BIN)/semalign compare configs/compare/smollm2.yaml --jobs 2 --out $(COMPARE_REAL) \
		--title "Methods on real weights, SmolLM2-135M and itself without four layers"
	cp $(COMPARE_REAL)/compare.md docs/results/smollm2.md
	cp $(COMPARE_REAL)/compare.json docs/results/smollm2.json

# What the library costs, as ratios: docs/performance.md. BENCH="step basis" runs some of them.
BENCH ?=
bench: env
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py $(BENCH)
	$(BIN)/python benchmarks/plots.py

# A hundred kills at random moments, each survived to the same bits: docs/reliability.md. KILLS and SEED choose others.
KILLS ?= 100
SEED ?= 0
fault: env
	OMP_NUM_THREADS=1 SEMALIGN_KILLS=$(KILLS) SEMALIGN_KILL_SEED=$(SEED) $(BIN)/python -m pytest -q -s tests/faults

# The site of docs/ in site/, warnings as errors; it loads nothing from elsewhere.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Wheel and sdist in dist/.
package: env
	$(BIN)/python -m build --no-isolation

# The pictures of docs/report.md, of the run in OUT; needs Chromium.
screenshots: env
	test -f $(OUT)/record.json || $(BIN)/semalign quickstart --out $(OUT)
	SEMALIGN_SCREENSHOTS=docs/images SEMALIGN_RUN=$(OUT) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q \
		tests/report/test_screenshots.py

clean:
	rm -rf $(VENV) runs dist build site
