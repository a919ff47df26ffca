#!/bin/bash
# Runs the tests of a make target with the race detector, and says from its first second what
# happens: test.sh TARGET FORMAT [MODULE PACKAGES FLAGS]... [-- ARGUMENT...]
# FORMAT is one of gotestsum's, MODULE a folder, PACKAGES patterns in it, and FLAGS go test's.
# Each go test gets the arguments, too.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 format=$2
shift 2
modules=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	modules+=("$1")
	shift
done
arguments=("${@:2}")

echo "make $target: looking for the programs that tests run" >&2
not_run=$(hack/packages.sh "$target") || { echo "$not_run"; exit 1; }
[ -z "$not_run" ] || echo "$not_run"

# make lint runs go vet.
export CGO_ENABLED=1 GOFLAGS="$(go env GOFLAGS) -vet=off"

work=$(mktemp -d)
ticker=
finish() {
	[ -z "$ticker" ] || kill "$ticker" 2>/dev/null || :
	rm -rf "$work"
	[ -z "$not_run" ] || echo "$not_run"
}
trap finish EXIT
trap 'exit 130' INT TERM

# reporting runs a command, and meanwhile a function every 15 s that prints how far it is.
reporting() {
	local report=$1 passed=0
	shift
	while sleep 1; do
		((++passed % 15)) || "$report" >&2
	done &
	ticker=$!
	"$@"
	kill "$ticker"
	ticker=
}

# for_each_module calls a function in each MODULE with its PACKAGES and FLAGS. It fails if one
# of these calls does, after the last one.
for_each_module() {
	local call=$1 code=0
	set -- "${modules[@]}"
	while [ $# -gt 0 ]; do
		(cd "$1" && "$call" "$2" "$3") || code=$?
		shift 3
	done
	return $code
}

# shellcheck disable=SC2086 # Patterns and flags are words.
list_suites() { go list -find -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $1; }

# compile compiles what tests import. go test would do so too, but without a word.
# shellcheck disable=SC2086
compile() {
	local imported
	imported=$(go list -deps -test -f '{{if not .ForTest}}{{.ImportPath}}{{end}}' $1 | grep -v '\.test$') &&
		GOGC=${GOGC:-400} go build -race -v $imported 2>>"$work/compiled" || { tail -n 20 "$work/compiled" >&2; return 1; }
}
report_compile() { echo "  compiling with the race detector: $(wc -l <"$work/compiled") packages … ${SECONDS}s"; }

# shellcheck disable=SC2086
test_json() { go test -race -json $2 $1 "${arguments[@]}"; }

# run_tests prints a numbered line for each suite that has ended, and a summary.
run_tests() {
	local line n=0
	for_each_module test_json |
		"$gotestsum" --format "$format" --format-hide-empty-pkg --jsonfile "$work/events" --raw-command -- cat |
		while IFS= read -r line; do
			case $line in
			✓* | ✖* | ∅*) printf '[%d/%d] %s\n' $((++n)) "$suites" "$line" ;;
			*) printf '%s\n' "$line" ;;
			esac
		done
}
report_tests() {
	grep -v '"Test":' "$work/events" | sed -n 's/.*"Action":"\([a-z]*\)","Package":"\([^"]*\)".*/\1 \2/p' | awk -v suites="$suites" -v prefix="$prefix" -v seconds="$SECONDS" '
		$1 == "start" { running[$2] }
		$1 ~ /^(pass|fail|skip)$/ { delete running[$2]; ended++ }
		END {
			for (package in running) names = names " " substr(package, length(prefix) + 2)
			printf "  %d of %d suites have ended, running:%s … %ds\n", ended, suites, names, seconds
		}'
}

gotestsum=$(hack/heartbeat.sh "building gotestsum" env CGO_ENABLED=0 GOFLAGS= go tool -n -modfile=hack/tools/go.mod gotestsum)
suites=$(for_each_module list_suites | wc -l)
prefix=$(go list -m)
echo "compiling $suites suites of tests with the race detector (the first time, this takes minutes)" >&2
reporting report_compile for_each_module compile
echo "running them" >&2
reporting report_tests run_tests
