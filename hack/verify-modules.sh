#!/bin/sh
# Fails if a module that is linked into the binary is not what go.sum says, has been
# retracted, or has a vulnerability that the binary can reach; so for the standard
# library of the Go that builds the image. It needs the module proxy, and a database
# of vulnerabilities: GOVULNDB is its address, or file:///FOLDER of OSV files.
set -eu
cd "$(dirname "$0")/.."
GOTOOLCHAIN=go$(sed -n 's/^ARG GO_VERSION=//p' Dockerfile)
export GOTOOLCHAIN

go mod verify
modules=$(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/metrics-server)
modules=$(echo "$modules" | sort -u)
# shellcheck disable=SC2086 # one argument a module
retracted=$(go list -m -u -retracted -f '{{with .Retracted}}{{$.Path}}@{{$.Version}} is retracted: {{.}}{{end}}' $modules)
[ -z "$retracted" ] || { echo "$retracted; require another version in go.mod" >&2; exit 1; }

database=${GOVULNDB:-https://vuln.go.dev}
govulncheck=$(go tool -n -modfile="$PWD/hack/tools/go.mod" govulncheck)
code=0
"$govulncheck" -db "$database" ./cmd/metrics-server || code=$?
# 3 is for vulnerabilities, which have been printed.
[ $code = 0 ] || [ $code = 3 ] ||
	echo "nothing is known of vulnerabilities: is $database reachable? GOVULNDB can name another, such as file:///FOLDER of a copy" >&2
exit $code
