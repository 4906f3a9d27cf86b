# shellcheck shell=bash
# What is published, and whether it would work: the packages as the registry would get them, and their lower bounds.

# In the order in which they are published: each after those that it depends on.
readonly PACKAGES=(broadway-core broadway-kafka broadway-rabbitmq broadway-sqs broadway-pubsub broadway-rs)

# Packs each and builds it from what was packed; needs no commit.
packages_pack() {
  local name options=()
  for name in "${PACKAGES[@]}"; do options+=(-p "$name"); done
  # Quiet about the tests that are left out of the connectors' packages.
  cargo package --locked --allow-dirty "${options[@]}" 2> >(grep -v 'ignoring test' >&2)
}

# The tests that are in the packages, in a workspace of what was packed, whose crates know each other by what was packed. Its place is
# always the same: another one would be compiled anew.
packages_test() {
  local name version folder target
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  target=$(packages_target) folder=$(packages_folder packed)
  # Packed files are all of one time; as they are unpacked now, cargo compiles them anew.
  for name in "${PACKAGES[@]}"; do tar -xzmf "$target/package/$name-$version.crate" -C "$folder"; done
  {
    printf '[workspace]\nmembers = ["*-%s"]\nresolver = "3"\n[patch.crates-io]\n' "$version"
    for name in "${PACKAGES[@]}"; do printf '%s = { path = "%s-%s" }\n' "$name" "$name" "$version"; done
  } >"$folder/Cargo.toml"
  cp Cargo.lock "$folder/"
  # The tests of the library in each; those of broadway-core and the documentation too.
  (
    cd "$folder"
    export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0
    cargo test -p broadway-core -p broadway-rs --all-features --no-fail-fast
    cargo test --workspace --all-features --lib --no-fail-fast
  )
}

# Everything that is published compiles with the oldest dependencies that the manifests allow. In a copy, as Cargo.lock becomes
# another; RUSTC_BOOTSTRAP lets a stable cargo resolve so.
packages_minimal() {
  local name folder options=()
  folder=$(packages_folder minimal)
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference -t "$folder"
  rm "$folder/Cargo.lock"
  for name in "${PACKAGES[@]}"; do options+=(-p "$name"); done
  (
    export CARGO_TARGET_DIR CARGO_INCREMENTAL=0
    CARGO_TARGET_DIR=$(packages_target)
    cd "$folder"
    RUSTC_BOOTSTRAP=1 cargo generate-lockfile -Z direct-minimal-versions
    cargo check --locked --all-features "${options[@]}"
  )
}

# packages_folder NAME: prints an empty folder below the target.
packages_folder() {
  local folder
  folder=$(packages_target)/package/$1
  rm -rf "$folder"
  mkdir -p "$folder"
  printf '%s' "$folder"
}

packages_target() {
  local target=${CARGO_TARGET_DIR:-target}
  [[ $target == /* ]] || target=$ROOT/$target
  printf '%s' "$target"
}
