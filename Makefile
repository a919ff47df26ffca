# make help lists the targets.

# As many digits in every clone: git alone takes as few as are unambiguous there.
VERSION ?= v0.1.0-dev+$(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=$(VERSION)
# The server is pure Go. One setting for all that is not a test lets them share
# what is compiled.
export CGO_ENABLED := 0
# If CDPATH is set, cd in a recipe or script may go to another folder and print its name.
unexport CDPATH
# Binaries are linked without DWARF, so the compiler need not generate it: builds take 20 % less
# time. test/gomodule sets the same flag, so that Go's build cache serves both.
export GOFLAGS := $(strip -gcflags=all=-dwarf=false $(shell go env GOFLAGS))
TOOL := go tool -modfile=$(CURDIR)/hack/tools/go.mod
MODULES := . test hack/image
FUZZTIME ?= 10m
# The version of the control plane, and of the node, that tests run: a folder of
# test/controlplane.
export KUBERNETES ?= v1.37

.PHONY: help
help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

.PHONY: build
build: ## Build bin/metrics-server.
	@hack/heartbeat.sh "building bin/metrics-server" go build -ldflags "$(LDFLAGS)" -o bin/metrics-server ./cmd/metrics-server

.PHONY: run
run: build ## Start a local cluster with the server in it, and show kubectl top (ARGS=--help, KUBERNETES=v1.34).
	@cd test && ../hack/heartbeat.sh "building bin/localcluster" go build -o ../bin/localcluster ./cmd/localcluster
	@bin/localcluster --server bin/metrics-server $(ARGS)

# Arguments of hack/test.sh. E2E tests start the server: go test must not cache their results,
# because it does not see which files they build it from. They mostly wait for scrapes, so two
# cores are enough for three packages at a time. Those that take longest come first.
UNIT := . ./... '' hack/image ./... ''
E2E := test './install ./switchover ./nodeevent ./vpa ./kwok ./e2e ./check ./... !realnode !readers' '-count=1 -p 3 -timeout 25m'

.PHONY: test
test: ## Run all tests: unit, integration and end-to-end (KUBERNETES=v1.34, NO_INSTALL=1).
	@hack/test.sh test pkgname-and-test-fails $(UNIT) $(E2E)

.PHONY: test-node
test-node: ## Test with a real kubelet and real containers, as root (ARGS=-for=10m, KUBERNETES=v1.34).
	@hack/packages.sh test-node
	@$(MAKE) --no-print-directory image PLATFORMS=linux/$$(go env GOHOSTARCH)
	@hack/test.sh test-node standard-verbose test ./realnode '-count=1 -timeout 60m' -- -args $(ARGS)

.PHONY: test-readers
test-readers: ## Test what kubectl of four versions, client libraries and k9s show (ARGS="-run 'ClientGo|Python'").
	@hack/test.sh test-readers standard-verbose test ./readers '-count=1 -timeout 60m' -- $(ARGS)

.PHONY: test-unit
test-unit: ## Run the quick tests.
	@hack/test.sh test-unit pkgname-and-test-fails $(UNIT)

.PHONY: lint
lint: ## Run gofmt, go vet and golangci-lint, and see that go.mod and generated code are right.
	@out=$$(gofmt -l cmd pkg test hack); [ -z "$$out" ] || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }
	for m in $(MODULES); do (cd $$m && go mod tidy -diff && go vet ./... && $(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	hack/verify-generated.sh

.PHONY: lint-chart
lint-chart: ## Run helm lint and helm template, of both versions of Helm, on the chart.
# The first time, building them takes minutes.
	@for version in v3 v4; do helm=$$(hack/heartbeat.sh "building Helm $$version" go tool -n -modfile=hack/helm/go.mod helm.sh/helm/$$version/cmd/helm) || exit 1; \
	for values in "" charts/metrics-server/ci/*-values.yaml; do set -- charts/metrics-server $${values:+--values $$values}; \
		$$helm lint --strict --quiet "$$@" && $$helm template --kube-version=1.37.0 metrics-server "$$@" > /dev/null || exit 1; \
	done; done

.PHONY: generate
generate: ## Generate the OpenAPI definitions, and the references in docs/.
	$(TOOL) openapi-gen --go-header-file hack/boilerplate.go.txt --report-filename /dev/null \
		--output-pkg github.com/kubemeter/metrics-server/pkg/api/openapi \
		--output-dir $(or $(OUT),pkg/api/openapi) --output-file zz_generated.openapi.go \
		k8s.io/metrics/pkg/apis/metrics/v1 k8s.io/metrics/pkg/apis/metrics/v1beta1 \
		k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/api/resource \
		k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version
	go run ./hack/docs $(or $(OUT),docs)

.PHONY: bench
bench: ## Run the benchmarks, and print them with benchstat.
	@mkdir -p bin
	go test -run '^$$' -bench . -count 6 ./pkg/... > bin/bench.txt || { cat bin/bench.txt; exit 1; }
	cd test && go test -run '^$$' -bench . -count 6 ./textparse >> ../bin/bench.txt || { cat ../bin/bench.txt; exit 1; }
	$(TOOL) benchstat bin/bench.txt

.PHONY: load
load: build ## Measure what the server costs, with up to 5,000 nodes (ARGS="--peer BINARY --nodes 500").
	@cd test && ../hack/heartbeat.sh "building bin/load" go build -o ../bin/load ./cmd/load
	@bin/load --server bin/metrics-server --out bin/load-results $(ARGS)

.PHONY: faults
faults: build ## Measure what is served while kubelets fail (ARGS="--peer BINARY").
	@cd test && ../hack/heartbeat.sh "building bin/faults" go build -o ../bin/faults ./cmd/faults
	@bin/faults --server bin/metrics-server --out bin/faults-results $(ARGS)

.PHONY: soak
soak: build ## Run for an hour while nodes, pods and clients come and go (ARGS="--for 10m").
	@cd test && ../hack/heartbeat.sh "building bin/soak" go build -o ../bin/soak ./cmd/soak
	@bin/soak --server bin/metrics-server --out bin/soak-results $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz decoders, encoders, selectors and pages, each for FUZZTIME.
	for f in exposition/FuzzText exposition/FuzzDelimited exposition/FuzzSummary exposition/FuzzNumber inventory/FuzzDecodePod inventory/FuzzReadList kubelet/FuzzResponse api/FuzzEncoding api/FuzzFieldSelector api/FuzzLabelSelector api/FuzzContinue api/FuzzPages servingcert/FuzzContent; do \
		go test -run '^$$' -fuzz "^$${f#*/}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./pkg/$${f%/*} || exit 1; done

PLATFORMS ?= linux/amd64 linux/arm64 linux/arm/v7 linux/ppc64le linux/s390x
# What of an image is not in the files of the commit.
image image-contents: export VERSION := $(VERSION)
image image-contents: export LDFLAGS := $(LDFLAGS)
image image-contents: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
image: export REVISION ?= $(shell git describe --always --abbrev=40 --dirty --exclude '*')

.PHONY: image
image: ## Build bin/image.oci for all platforms, with buildah (PLATFORMS=linux/amd64).
	@hack/image/build.sh $(PLATFORMS)

.PHONY: image-contents
image-contents: # What the Dockerfile copies for the platform of ARCH.
	@hack/image/contents.sh $(ARCH)

.PHONY: verify-image
verify-image: ## Build this machine's image in two folders, and compare the digests.
	@hack/image/verify.sh

.PHONY: verify-modules
verify-modules: ## Look for altered, retracted and vulnerable modules (GOVULNDB=URL).
	@hack/verify-modules.sh

.PHONY: clean
clean: ## Remove what was built here.
	rm -rf bin
