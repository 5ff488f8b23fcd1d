# `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

comma := ,
# With these tags Go's own resolver serves with cgo as without, so that what the binaries share is compiled once.
TAGS := netgo,osusergo
# The cpu device needs oneDNN and several processes need Gloo; without them everything builds, the reference device serves
# and one process trains.
LIBRARIES := $(addprefix $(comma),$(shell hack/tags.sh))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -ldflags "-s -w -X main.version=$(VERSION)"

# With trimmed paths the image builds, which see other folders, find what was compiled outside, and the other way round.
build images demo: export GOFLAGS := $(shell go env GOFLAGS) -trimpath -tags=$(TAGS)

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

.PHONY: deps
deps: ## Install the Debian packages that are missing (root on Debian).
	go run ./hack/cluster deps

.PHONY: build
build: ## Build hrm, kubectl-hrm and hrm-operator into bin/.
	CGO_ENABLED=0 go build $(LDFLAGS) -o bin/hrm-operator ./cmd/hrm-operator
	go build -tags $(TAGS)$(LIBRARIES) $(LDFLAGS) -o bin/hrm ./cmd/hrm
	ln -sf hrm bin/kubectl-hrm

.PHONY: test
test: deps ## Run all tests.
	hack/test.sh

.PHONY: e2e
e2e: deps ## Make faults on a real cluster: all cases, RUN=Suspend those of that name, ALL=1 the long ones too.
	HRM_E2E=$(if $(ALL),all,1) go test -v -count=1 -timeout 85m -parallel 3 -run '$(or $(RUN),.)' ./hack/e2e | grep --line-buffered -v '^=== '

.PHONY: fuzz
fuzz: deps ## Throw random bytes at every reader, INPUTS times at each.
	hack/fuzz.sh $(INPUTS)

.PHONY: sanitize
sanitize: deps ## Run the cpu device's kernels under AddressSanitizer and UBSan.
	hack/sanitize.sh

.PHONY: arm64
arm64: deps ## Build for arm64, and test the cpu device in an emulator.
	hack/arm64.sh

.PHONY: build-gpu
build-gpu: ## Build what hack/gpu/check takes to a machine with a GPU, without cgo, into bin/gpu.
	CGO_ENABLED=0 go build $(LDFLAGS) -o bin/gpu/hrm ./cmd/hrm
	CGO_ENABLED=0 go test -c $(LDFLAGS) -o bin/gpu/cuda.test ./trainer/device/cuda
	CGO_ENABLED=0 go test -c $(LDFLAGS) -o bin/gpu/loop.test ./trainer/loop
	tar -C bin/gpu -cJf bin/gpu.tar.xz hrm cuda.test loop.test

.PHONY: test-gpu
test-gpu: build-gpu ## Check the cuda device on this machine's GPU.
	hack/gpu/check

.PHONY: nightly
nightly: deps ## Run what takes too long for every change: all cases, arm64, Kueue's own manager, the cost per job.
	$(MAKE) e2e ALL=1
	$(MAKE) fuzz INPUTS=100000
	$(MAKE) arm64
	HRM_TEST_KUEUE=1 hack/test.sh -count=1 ./hack/kueue
	go run ./hack/scale --jobs 100 --block 50 --running 25 --window 10s --runs-for 2s --runs-for-at-most 5s --check

.PHONY: lint
lint: ## Check formatting and vet the code, with and without the cpu device and Gloo.
	hack/lint.sh

.PHONY: vulncheck
vulncheck: ## Fail if the code calls something with a known vulnerability.
	hack/vulncheck.sh

.PHONY: sbom
sbom: build ## List what the binaries are made of, as CycloneDX, in bin/*.cdx.json.
	CGO_ENABLED=0 hack/sbom.sh hrm-operator $(TAGS)
	hack/sbom.sh hrm $(TAGS)$(LIBRARIES)

.PHONY: bench
bench: deps build ## Time training and evaluation beside PyTorch, PEER=hrm_torch.py, and write docs/benchmarks.md.
	go run ./hack/bench/compare --table docs/benchmarks.md

.PHONY: generate manifests
generate manifests: ## Generate deep copies, the CRD and RBAC.
	hack/generate.sh

.PHONY: images
images: deps ## Build the container images of operator and trainer from the Dockerfile, TARGETS=cuda the trainer for GPUs.
	go run ./hack/cluster images $(TARGETS)

.PHONY: demo
demo: ## Start a real cluster, train a model on it and solve a Sudoku.
	go run ./hack/demo up

.PHONY: demo-down
demo-down: ## Remove all that the demo started.
	go run ./hack/demo down
