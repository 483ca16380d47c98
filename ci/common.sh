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
  [ "$(cat "$dir/packages" 2>/dev/null)" != "$*" ] || return 0
  rm -rf "$dir"
  python3 -m venv "$dir" 2>/dev/null || { apt_install python3-venv && python3 -m venv "$dir"; }
  "$dir/bin/pip" install -q --no-cache-dir --disable-pip-version-check "$@"
  echo "$*" > "$dir/packages"
}

# debian_rust PACKAGE...: Debian's Rust with the source of its standard library, for -Zbuild-std, and more packages.
debian_rust() {
  set -- rustc-web cargo-web rust-web-src "$@"
  dpkg -s "$@" >/dev/null 2>&1 || apt_install "$@"
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
}

# std_source: the source of the installed toolchain's standard library, for -Zbuild-std: rustup's component rust-src, or
# where that has not been installed Debian's package of the very same version, unpacked into the cache.
std_source() {
  export RUSTC_BOOTSTRAP=1
  local version dir package mirror
  [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] || return 0
  version=$(rustc --version | cut -d ' ' -f 2)
  dir=$cache/rust-src-$version
  if [ ! -e "$dir/done" ]; then
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | head -n 1)
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
      "$mirror" stable "$mirror" stable-backports "$mirror" testing > "$dir/sources.list"
    set -- -qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
      -o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir" -o APT::Sandbox::User=root
    apt-get "$@" update
    package=$(apt-cache "${@:2}" madison rust-src | cut -d '|' -f 2 | tr -d ' ' | grep -m 1 "^$version+") ||
      { echo "Debian has no rust-src for Rust $version: rustup component add rust-src" >&2; return 1; }
    (cd "$dir" && apt-get "$@" download "rust-src=$package")
    dpkg-deb --fsys-tarfile "$dir"/rust-src_*.deb | tar -x -C "$dir" "./usr/src/rustc-$version/library"
    rm -r "$dir"/rust-src_*.deb "$dir/lists"
    touch "$dir/done"
  fi
  export __CARGO_TESTS_ONLY_SRC_ROOT=$dir/usr/src/rustc-$version/library
}

# For a type check, what runs while it builds need not be optimised.
unoptimised='profile.dev.package."*".opt-level=0'
