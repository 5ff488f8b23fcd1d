# Three images from one file: --target operator, --target trainer, and --target cuda, which is the trainer with what it needs of
# CUDA to train on NVIDIA GPUs.

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

# CUDA's run-time libraries: NVIDIA publishes them on PyPI for amd64 and arm64, and the licences let them be passed on. Others are
# taken by their pip requirements, such as --build-arg NVRTC=nvidia-cuda-nvrtc==13.0.48 for CUDA 13. Where PyPI cannot be
# reached, name a mirror, or let --build-context cuda-libraries=DIR take the place of this stage.
FROM debian:bookworm-slim AS cuda-libraries
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip ca-certificates
ARG NVRTC=nvidia-cuda-nvrtc-cu12==12.9.86
ARG CUBLAS=nvidia-cublas-cu12==12.9.1.4
ARG NCCL=nvidia-nccl-cu12==2.27.5
ARG PIP_INDEX_URL=https://pypi.org/simple
RUN pip install --no-cache-dir --no-deps --no-compile --only-binary=:all: --target /wheels "$NVRTC" "$CUBLAS" "$NCCL"
# Neither headers nor what only linkers want, nor the rest of cuBLAS.
RUN mkdir -p /opt/cuda/lib64 /opt/cuda/licenses && \
    find /wheels/nvidia \( -name 'libnvrtc.so.*' -o -name 'libnvrtc-builtins.so.*' -o -name 'libcublasLt.so.*' -o -name 'libnccl.so.*' \) \
      -exec cp -t /opt/cuda/lib64 {} + && \
    for info in /wheels/*.dist-info; do \
      find "$info" -iname 'license*' -type f -exec cp {} "/opt/cuda/licenses/$(basename "$info" .dist-info)" \; ; done && \
    cd /opt/cuda/lib64 && ls libnvrtc.so.* libnvrtc-builtins.so.* libcublasLt.so.* libnccl.so.*

FROM trainer AS cuda
# hrm looks for libraries here. The driver is not among them: the node's own is mounted by the NVIDIA container runtime, which
# reads the two variables; a device plugin replaces the first by the GPUs that a pod was given.
COPY --from=cuda-libraries /opt/cuda /opt/cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Where compiled kernels are kept: within the one folder that a pod may write to.
ENV HRM_CUDA_CACHE=/scratch/.cache/hrm-operator/cuda
