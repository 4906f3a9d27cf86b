# shellcheck shell=bash
# The published packages: checks them as packed, and with the lower bounds of their dependencies. Needs lib/features.sh.

# In the order of publication: each after its dependencies.
readonly PACKAGES=(broadway-core broadway-kafka broadway-rabbitmq broadway-sqs broadway-pubsub broadway-queue broadway-flow broadway-rs)

# Packs each package and builds it from the archive; needs no commit.
packages_pack() {
  local name options=()
  # cargo unpacks each archive once per version: an older archive of the same version must not be compiled in its place. The
  # folders of registries on disk begin with a dash.
  local unpacked=${CARGO_HOME:-$HOME/.cargo}/registry/src
  for name in "${PACKAGES[@]}"; do rm -rf "$unpacked"/-*/"$name"-[0-9]*; done
  for name in "${PACKAGES[@]}"; do options+=(-p "$name"); done
  # Hide the notices about tests that are not in the connectors' packages.
  cargo package --locked --allow-dirty "${options[@]}" 2> >(grep -v 'ignoring test' >&2)
}

# Runs the tests in the packages, in a workspace of the unpacked archives, whose crates depend on each other. Its path is
# always the same, so that cargo reuses the build.
packages_test() {
  local name version folder target
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  target=$(packages_target) folder=$(packages_folder packed)
  # Archived files have a constant time; the time of unpacking makes cargo compile them again.
  for name in "${PACKAGES[@]}"; do tar -xzmf "$target/package/$name-$version.crate" -C "$folder"; done
  {
    printf '[workspace]\nmembers = ["*-%s"]\nresolver = "3"\n[patch.crates-io]\n' "$version"
    for name in "${PACKAGES[@]}"; do printf '%s = { path = "%s-%s" }\n' "$name" "$name" "$version"; done
  } >"$folder/Cargo.toml"
  cp Cargo.lock "$folder/"
  # All targets are checked: a file that is not packed is missing then. The library's tests run; the others are the same as in `tests`.
  (
    cd "$folder"
    export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0
    cargo check --workspace --features "$(features ./*/Cargo.toml)" --all-targets
    cargo test --workspace --features "$(features ./*/Cargo.toml)" --lib --no-fail-fast
  )
}

# Compiles the published packages with the oldest dependencies that their manifests allow. Works in a copy, since Cargo.lock
# changes. RUSTC_BOOTSTRAP enables this resolution in a stable cargo.
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
    cargo check --locked --features "$(features Cargo.toml broadway-core/Cargo.toml broadway-flow/Cargo.toml connectors/*/Cargo.toml)" "${options[@]}"
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
