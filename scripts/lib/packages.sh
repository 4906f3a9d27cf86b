# shellcheck shell=bash
# What the machine must have before anything is built. Missing Debian packages are installed by
# root, or by whoever may use sudo without a password; anyone else gets the line to type. Rust is
# never installed from here.

require_rust() {
  command -v cargo >/dev/null || fail "there is no cargo" \
    "Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later: https://rustup.rs"
  cargo fmt --version >/dev/null 2>&1 || fail "cargo has no rustfmt" \
    "rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || fail "cargo has no clippy" \
    "rustup component add clippy"
}

# What the C libraries behind the connectors are built with.
require_build_packages() {
  local missing=()
  { command -v cc && command -v c++ && command -v make; } >/dev/null || missing+=(build-essential)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  has_library openssl || missing+=(libssl-dev)
  has_library zlib || missing+=(zlib1g-dev)
  command -v curl >/dev/null || missing+=(curl)
  install_packages "${missing[@]}"
}

# What brokers NAME … need when they run as processes of ours.
require_broker_packages() {
  local name need missing=()
  for name in "$@"; do
    for need in $("${name}_needs"); do
      command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
    done
  done
  install_packages "${missing[@]}"
}

has_library() {
  command -v pkg-config >/dev/null && pkg-config --exists "$1"
}

install_packages() {
  (($# > 0)) || return 0
  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || packages_by_hand "$@"
  fi
  command -v apt-get >/dev/null || packages_by_hand "$@"
  say "installing $*"
  apt_update "${as_root[@]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" </dev/null \
    || fail "apt-get could not install $*" "what it said stands above; the same programs from elsewhere will do as well"
}

# Once per run: the lists do not age between two calls.
APT_UPDATED=
apt_update() {
  [[ -z $APT_UPDATED ]] || return 0
  "$@" apt-get update -qq </dev/null || fail "apt-get update failed" "what it said stands above"
  APT_UPDATED=yes
}

packages_by_hand() {
  fail "these packages are missing: $*" \
    "Debian and Ubuntu: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" \
    "elsewhere: the packages of the same programs and libraries"
}
