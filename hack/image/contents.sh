#!/bin/sh
# Builds what the image of a platform holds into bin/image/linux-ARCH: the binary, its
# bill of materials and licences. The same commit gives the same bytes in any
# folder and environment. contents.sh ARCH, with VERSION, LDFLAGS and
# SOURCE_DATE_EPOCH in the environment.
set -eu
cd "$(dirname "$0")/../.."
arch=${1:?name the architecture: amd64, arm64, arm, ppc64le or s390x}
out=bin/image/linux-$arch
rm -rf "$out"
mkdir -p "$out"

# All that has an effect on the binary is set here.
export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off GOEXPERIMENT='' GOFIPS140=off
GOTOOLCHAIN=go$(sed -n 's/^ARG GO_VERSION=//p' Dockerfile)
export GOTOOLCHAIN
go build -C hack/image -o ../../bin/image/tool .
export GOOS=linux GOARCH="$arch" GOAMD64=v1 GOARM=7 GOARM64=v8.0 GOPPC64=power8

go build -trimpath -buildvcs=false -ldflags "$LDFLAGS" -o "$out/metrics-server" ./cmd/metrics-server
bin/image/tool contents -binary "$out/metrics-server" -package ./cmd/metrics-server \
	-version "$VERSION" -created "$SOURCE_DATE_EPOCH" -out "$out"
# The umask is not part of an image.
chmod -R u=rwX,go=rX "$out"
