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
  local manifests
  mapfile -t manifests < <(sed -n '/^members = \[/,/^\]/ s|^ *"\(.*\)",$|\1/Cargo.toml|p' Cargo.toml)
  # With none, tests that need a feature would be left out silently.
  ((${#manifests[@]} > 0)) || fail "Cargo.toml has no list of members in the form that scripts/lib/features.sh reads"
  features Cargo.toml "${manifests[@]}"
}

# unlinked COMMAND …: runs cargo with all features, and without building RocksDB. For commands that link nothing: the folder of the
# library is not read.
unlinked() {
  ROCKSDB_LIB_DIR=$ROOT "$@"
}
