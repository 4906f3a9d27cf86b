# shellcheck shell=bash
# The packages that a build needs. Installs missing Debian packages as root, or with sudo if it needs
# no password; otherwise prints the command. Never installs Rust.

require_rust() {
  command -v cargo >/dev/null || fail "cargo is missing" \
    "Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later: https://rustup.rs"
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing" \
    "rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing" \
    "rustup component add clippy"
}

# The packages that build the C and C++ libraries of the connectors. `--all-features` builds RocksDB: it needs the C++ compiler of
# build-essential, and libclang, by which bindgen reads its headers.
require_build_packages() {
  local missing=()
  { command -v cc && command -v c++ && command -v make; } >/dev/null || missing+=(build-essential)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  has_library openssl || missing+=(libssl-dev)
  has_library zlib || missing+=(zlib1g-dev)
  has_libclang || missing+=(libclang-dev)
  command -v curl >/dev/null || missing+=(curl)
  install_packages "${missing[@]}"
}

# Counts machine instructions.
require_valgrind() {
  command -v valgrind >/dev/null || install_packages valgrind
}

# The packages that the native brokers NAME … need.
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

# The file of the package for development, which brings clang's own headers. The library alone does not.
has_libclang() {
  [[ -n ${LIBCLANG_PATH:-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null \
    || compgen -G '/usr/lib*/libclang.so' >/dev/null
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
    || fail "apt-get could not install $*" "see its output above; you may also install the programs in another way"
}

# Once per run.
APT_UPDATED=
apt_update() {
  [[ -z $APT_UPDATED ]] || return 0
  "$@" apt-get update -qq </dev/null || fail "apt-get update failed" "see its output above"
  APT_UPDATED=yes
}

packages_by_hand() {
  fail "these packages are missing: $*" \
    "Debian and Ubuntu: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" \
    "other systems: the packages of the same programs and libraries"
}
