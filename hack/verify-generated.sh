#!/bin/sh
# Fails if what is generated is not what make generate makes.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
make --no-print-directory generate OUT="$out" >/dev/null
for file in pkg/api/openapi/zz_generated.openapi.go docs/flags.md docs/metrics.md docs/findings.md; do
	diff -u "$file" "$out/${file##*/}" || { echo "run make generate" >&2; exit 1; }
done
