#!/bin/sh
# Builds bin/image.oci, an archive with the image of each platform and an index of
# them, and prints their digests and sizes. build.sh PLATFORM..., with VERSION,
# REVISION, LDFLAGS and SOURCE_DATE_EPOCH in the environment.
set -eu
cd "$(dirname "$0")/../.."
hack/packages.sh image
: "${SOURCE_DATE_EPOCH:?this is not a git repository: set it to the date of the source, in seconds since 1970}"
for platform; do
	arch=${platform#linux/}
	hack/heartbeat.sh "building for $platform" hack/image/contents.sh "${arch%%/*}"
done

# All that buildah keeps, and no configuration, so that neither what it has from
# before nor what this machine is set to has an effect.
export CONTAINERS_CONF=/dev/null
work=$(mktemp -d "$PWD/bin/image/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
buildah() {
	command buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"
}
name=ghcr.io/kubemeter/metrics-server:$(echo "$VERSION" | tr + -)
# One by one: when buildah is given all platforms at once, their order in the index
# is by chance, and so is its digest.
for platform; do
	buildah build --quiet --isolation chroot --target prebuilt --platform "$platform" --manifest "$name" \
		--squash --timestamp "$SOURCE_DATE_EPOCH" --identity-label=false \
		--build-arg VERSION="$VERSION" --build-arg REVISION="$REVISION" . >/dev/null
done
buildah manifest push --quiet --all "$name" "oci:$work/layout:$name"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	-C "$work/layout" -cf bin/image.oci .
bin/image/tool inspect "$work/layout" "$@"
