#!/usr/bin/env bash
# Checks arm64 on a processor that is another: everything builds without cgo, the kernels compute what they should in an
# emulator, and so does the device with Debian's oneDNN for arm64, which is unpacked into the cache and not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${HRM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hrm-operator}/arm64
sysroot=$cache/sysroot
libraries=$sysroot/usr/lib/aarch64-linux-gnu

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
  command -v "$program" >/dev/null && continue
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
done
mkdir -p "$cache"

# unpack_onednn fills the sysroot by an apt of its own, which knows no other architecture and no package that is installed.
unpack_onednn() {
  local apt package
  apt=$(mktemp -d "$cache/apt.XXXXXX")
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/sysroot"
  touch "$apt/status"
  cat > "$apt/conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
CONF
  APT_CONFIG=$apt/conf apt-get -qq update
  APT_CONFIG=$apt/conf apt-get -qq install -y --download-only --no-install-recommends libdnnl-dev
  for package in "$apt"/archives/*.deb; do
    dpkg -x "$package" "$apt/sysroot"
  done
  mv -T "$apt/sysroot" "$sysroot"
  rm -rf "$apt"
}

echo "everything without cgo"
GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build ./...

echo "the kernels"
CC=aarch64-linux-gnu-gcc trainer/device/cpu/testdata/kernels/build.sh "$cache/kernels" -O3
qemu-aarch64 -L /usr/aarch64-linux-gnu "$cache/kernels" 1 44 portable

echo "the device and hrm"
[ -e "$libraries/libdnnl.so" ] || unpack_onednn
export GOOS=linux GOARCH=arm64 CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc
export CGO_CFLAGS="-O2 -g -I$sysroot/usr/include" CGO_LDFLAGS="-L$libraries -Wl,-rpath-link,$libraries"
# Debian's oneDNN multiplies bfloat16 on no arm64 processor. What the other test compiles and runs has run above.
go test -tags onednn -exec "qemu-aarch64 -L $sysroot" -skip 'TestKernels|TestOpcodes_/portable_BF16/Linear' ./trainer/device/cpu
go build -tags netgo,osusergo,onednn -o "$cache/hrm" ./cmd/hrm
qemu-aarch64 -L "$sysroot" "$cache/hrm" --help >/dev/null
