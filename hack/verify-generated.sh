#!/bin/sh
# Fails if the generated code is not what make generate makes.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
make --no-print-directory generate OUT="$out" >/dev/null
diff -u pkg/api/openapi/zz_generated.openapi.go "$out/zz_generated.openapi.go" ||
	{ echo "run make generate" >&2; exit 1; }
