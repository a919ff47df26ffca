#!/bin/bash
# Runs the tests of a make target with the race detector, and prints progress from its first
# second: test.sh TARGET FORMAT [MODULE PACKAGES FLAGS]... [-- ARGUMENT...]
# FORMAT is one of gotestsum's, MODULE a folder, PACKAGES patterns in it and after a ! the packages
# to leave out, and FLAGS go test's. Each go test gets the arguments, too.
set -euo pipefail
unset CDPATH
cd -- "$(dirname "$0")/.."
target=$1 format=$2
shift 2
modules=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	modules+=("$1")
	shift
done
arguments=("${@:2}")

echo "make $target: checking for the programs that the tests need" >&2
skipped=$(hack/packages.sh "$target") || { echo "$skipped"; exit 1; }
[ -z "$skipped" ] || echo "$skipped"

work=$(realpath "$(mktemp -d)")
: >"$work/compiled"
: >"$work/events"
ticker=
finish() {
	[ -z "$ticker" ] || kill "$ticker" 2>/dev/null || :
	rm -rf -- "$work"
	[ -z "$skipped" ] || echo "$skipped"
}
trap finish EXIT
trap 'exit 130' INT TERM

# with_progress runs a command, and meanwhile a function every 15 s that prints the progress.
with_progress() {
	local print=$1 passed=0
	shift
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		((++passed % 15)) || "$print" >&2 || :
	done >/dev/null &
	ticker=$!
	"$@"
	kill "$ticker" 2>/dev/null || :
	ticker=
}

# for_each_module calls a function in each MODULE with its PACKAGES and FLAGS. It fails if one
# of these calls does, after the last one.
for_each_module() {
	local call=$1 code=0
	trap 'exit 130' INT TERM # in the subshell of a pipeline, too
	set -- "${modules[@]}"
	while [ $# -gt 0 ]; do
		(cd "$1" && "$call" "$2" "$3") || code=$?
		shift 3
	done
	return $code
}

# list_packages prints the packages of PACKAGES, by the second argument, a template.
list_packages() {
	local word patterns=() left_out='^$'
	for word in $1; do
		case $word in
		!*) left_out+="|/${word#!}\$" ;;
		*) patterns+=("$word") ;;
		esac
	done
	go list -find -f "$2" "${patterns[@]}" | grep -vE "$left_out"
}
list_all() { list_packages "$1" '{{.ImportPath}}'; }
list_tested() { list_packages "$1" '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}'; }

# compile compiles what the tests import: go test prints no progress meanwhile. Errors are ignored
# here, because go test reports them, too.
# shellcheck disable=SC2046,SC2086 # These are words.
compile() {
	local imported
	imported=$(go list -deps -test -f '{{if not (or .ForTest (eq .Name "main"))}}{{.ImportPath}}{{end}}' $(list_tested "$1")) || return 0
	GOGC=${GOGC:-400} go build -race -v $imported 2>>"$work/compiled" || :
}
print_compiled() { echo "  compiling with the race detector: $(grep -vc '^go: ' "$work/compiled") packages … ${SECONDS}s"; }

# shellcheck disable=SC2086
test_json() {
	local all tested code=0
	all=$(list_all "$1") && tested=$(list_tested "$1") || return
	go list -race -export $all >/dev/null || code=$? # what has no tests must compile, too
	go test -race -json $2 $tested "${arguments[@]}" || code=$?
	return $code
}

# run_tests prints a numbered line for each package whose tests have ended, and a summary.
run_tests() {
	local line n=0
	for_each_module test_json |
		"$gotestsum" --format "$format" --format-icons default --no-color --jsonfile "$work/events" --raw-command -- cat |
		while IFS= read -r line; do
			case $line in
			✓* | ✖* | ∅*) printf '[%d/%d] %s\n' $((++n)) "$count" "$line" ;;
			*) printf '%s\n' "$line" ;;
			esac
		done
}
print_running() {
	awk -F '"' -v count="$count" -v seconds="$SECONDS" '
		/"Test":/ { next }
		match($0, /"Action":"(start|pass|fail|skip)"/) {
			action = substr($0, RSTART + 10, RLENGTH - 11)
			match($0, /"Package":"[^"]*"/)
			package = substr($0, RSTART + 11, RLENGTH - 12)
			sub("^.*/metrics-server/", "", package)
			if (action == "start") running[package]
			else { delete running[package]; ended++ }
		}
		END {
			for (package in running) names = names " " package
			if (!names) names = " none yet"
			printf "  the tests of %d of %d packages have ended, running:%s … %ds\n", ended, count, names, seconds
		}' "$work/events"
}

gotestsum=$(GOWORK=off hack/heartbeat.sh "building gotestsum" go tool -n -modfile=hack/tools/go.mod gotestsum)
# make lint runs go vet.
export CGO_ENABLED=1 GOFLAGS="$(go env GOFLAGS) -vet=off"
count=$(for_each_module list_tested | wc -l)
echo "compiling $count test packages with the race detector (the first time, this takes minutes)" >&2
with_progress print_compiled for_each_module compile
if [ "$target" != test-unit ]; then
	# The tests start this server. Linked here, it is in Go's cache when several of them ask for it.
	hack/heartbeat.sh "linking the metrics server with the race detector" go run -race -exec=true ./cmd/metrics-server
fi
echo "running the tests of $count packages" >&2
with_progress print_running run_tests
