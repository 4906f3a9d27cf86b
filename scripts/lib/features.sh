# shellcheck shell=bash
# Which features a build enables. RocksDB takes ten minutes to build, and cargo builds it again for each kind of build.

# features MANIFEST …: prints all features of these packages, as PACKAGE/FEATURE, separated by commas. Leaves out those that build
# RocksDB.
features() {
  local manifest name feature features=()
  for manifest in "$@"; do
    name=$(sed -n '/^\[package\]/,$ s/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
    for feature in $(sed -n '/^\[features\]/,/^\[/ s/^\([a-z0-9-]*\) = .*/\1/p' "$manifest"); do
      [[ $feature == *rocksdb ]] || features+=("$name/$feature")
    done
  done
  local IFS=,
  printf '%s' "${features[*]}"
}

# The features of the whole workspace, without RocksDB.
workspace_features() {
  features Cargo.toml broadway-core/Cargo.toml broadway-flow/Cargo.toml connectors/*/Cargo.toml benches/Cargo.toml examples/Cargo.toml \
    tests/Cargo.toml tools/*/Cargo.toml
}

# unlinked COMMAND …: runs cargo with all features, and without building RocksDB. For commands that link nothing: the folder of the
# library is not read.
unlinked() {
  ROCKSDB_LIB_DIR=$ROOT "$@"
}
