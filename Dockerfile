# Two images from one file: --target operator and --target trainer.

FROM golang:1.26-bookworm AS source
WORKDIR /src
# The Makefile builds with the same tags: see there.
ENV GOFLAGS="-buildvcs=false -trimpath -tags=netgo,osusergo"
COPY go.mod go.sum ./
COPY api api
COPY cmd cmd
COPY internal internal

FROM source AS operator-build
COPY controllers controllers
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -ldflags "-s -w -X main.version=$VERSION" -o /out/hrm-operator ./cmd/hrm-operator

FROM scratch AS operator
COPY --from=operator-build /out/hrm-operator /hrm-operator
USER 65532:65532
ENTRYPOINT ["/hrm-operator"]

FROM source AS trainer-build
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev libdnnl-dev libgloo-dev ca-certificates
COPY trainer trainer
ARG VERSION=dev
RUN CGO_ENABLED=1 go build -tags netgo,osusergo,onednn,gloo -ldflags "-s -w -X main.version=$VERSION" -o /out/hrm ./cmd/hrm

FROM debian:bookworm-slim AS trainer
RUN apt-get update && apt-get install -y --no-install-recommends libdnnl2 libgomp1 libgloo0 ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=trainer-build /out/hrm /usr/local/bin/hrm
USER 65532:65532
# Everything the trainer writes goes to a mounted folder: the root file system may be read-only.
ENV HOME=/scratch
ENTRYPOINT ["/usr/local/bin/hrm"]
