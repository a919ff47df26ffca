# The image of the server: a static binary, its bill of materials and the
# licences of what is linked into it. "docker build ." compiles them in a
# container; make image compiles them on the host for all platforms, and needs
# no daemon and no base image.

# The one version of Go that images are compiled with, in both ways.
ARG GO_VERSION=1.26.11

FROM scratch AS base
ARG VERSION=v0.1.0-dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="metrics-server" \
      org.opencontainers.image.description="CPU and memory usage of nodes and pods as metrics.k8s.io" \
      org.opencontainers.image.source="https://github.com/kubemeter/metrics-server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# By number, so that a kubelet can tell that it is not root.
USER 1000:1000
EXPOSE 10250
ENTRYPOINT ["/metrics-server"]

FROM base AS prebuilt
ARG TARGETARCH
COPY bin/image/linux-$TARGETARCH /

FROM --platform=$BUILDPLATFORM golang:$GO_VERSION AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY hack/image/go.mod hack/image/go.sum hack/image/
RUN go mod download && go mod download -C hack/image
COPY . .
ARG VERSION=v0.1.0-dev
ARG SOURCE_DATE_EPOCH=0
ARG TARGETARCH
RUN make image-contents ARCH="$TARGETARCH" VERSION="$VERSION" SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH"

FROM base
ARG TARGETARCH
COPY --from=build /src/bin/image/linux-$TARGETARCH /
