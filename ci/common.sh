# shellcheck shell=bash disable=SC2034
# Sourced by the scripts of this folder.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/candle-mish

apt_install() {
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

# venv DIR PACKAGE...: a virtual environment with exactly these packages, made anew when the list changes.
venv() {
  local dir=$1
  shift
  [ "$(cat "$dir/packages" 2>/dev/null)" != "$(python3 -V) $*" ] || return 0
  rm -rf "$dir"
  python3 -m venv "$dir" 2>/dev/null || { apt_install python3-venv && python3 -m venv "$dir"; }
  "$dir/bin/pip" install -q --no-cache-dir --disable-pip-version-check "$@"
  echo "$(python3 -V) $*" > "$dir/packages"
}

# cuda_toolkit: what cuda-setup installs, on PATH.
cuda_toolkit() {
  "$(dirname "${BASH_SOURCE[0]}")/cuda-setup" >/dev/null
  # shellcheck source=/dev/null
  . "$cache/cuda/env"
}

# to_ptx CAPABILITY OUT SOURCE [OPTION...]: with the flags of build.rs.
to_ptx() {
  nvcc -ptx -arch="compute_$1" -std=c++17 -O3 -fmad=false "${@:4}" -o "$2" "$3"
}

# debian_rust PACKAGE...: Debian's Rust with the source of its standard library, for -Zbuild-std, and more packages.
debian_rust() {
  set -- rustc-web cargo-web rust-web-src "$@"
  dpkg -s "$@" >/dev/null 2>&1 || apt_install "$@"
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
}

# For a type check, what runs while it builds need not be optimised.
unoptimised='profile.dev.package."*".opt-level=0'
