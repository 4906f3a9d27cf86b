# shellcheck shell=bash
# Programs out of Debian packages that are not installed: apt fetches and verifies them with lists
# of its own, and they are unpacked into a folder. Nobody has to be root, no service starts, nothing
# on the machine changes. They run with the C libraries of their own release, so that the
# machine's release does not matter.

debian_needs() { printf 'apt-get=apt\ndpkg-deb=dpkg\n'; }

# debian_unpack NAME RELEASE TREE PACKAGE …: for broker NAME, quick when TREE has them already. As
# in java_fetch, a broken download is never taken for a whole one.
debian_unpack() {
  local name=$1 release=$2 tree=$3 package
  shift 3
  local wanted="$release in $tree: $*"
  [[ $(cat "$tree/.packages" 2>/dev/null) != "$wanted" ]] || return 0
  { command -v apt-get && command -v dpkg-deb; } >/dev/null || fail \
    "$name: there is no apt to fetch Debian packages with" \
    "where Docker runs, BROADWAY_BROKERS=compose needs none"
  say "$name: downloading packages of Debian $release to $tree (once)"
  rm -rf "$tree" "$tree.partial" "$tree.apt"
  mkdir -p "$tree.partial" "$tree.apt"/{lists,cache/archives}/partial "$tree.apt/debs"
  debian_fetch "$release" "$tree.apt" "$@" >"$tree.log" 2>&1 \
    || fail_with_log "$tree.log" "$name: apt could not fetch packages of Debian $release" \
      "to try again: scripts/brokers up $name"
  for package in "$tree.apt/debs"/*.deb; do dpkg-deb --extract "$package" "$tree.partial"; done
  printf '%s\n' "$wanted" >"$tree.partial/.packages"
  rm -rf "$tree.apt"
  mv "$tree.partial" "$tree"
}

# debian_fetch RELEASE FOLDER PACKAGE …: apt as if on a machine that has nothing yet and knows
# one source. Its own settings (a proxy, say) stay those of this machine.
debian_fetch() {
  local release=$1 folder=$2 mirror keys options
  shift 2
  mirror=$(debian_mirror) && keys=$(debian_keys) || return 1
  printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$release" >"$folder/sources.list"
  : >"$folder/status"
  options=(-o "Dir::State=$folder" -o "Dir::State::Lists=$folder/lists"
    -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache"
    -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  apt-get "${options[@]}" -o APT::Update::Error-Mode=any update || return 1
  (cd "$folder/debs" && apt-get "${options[@]}" download "$@")
}

# The mirror this machine uses itself.
# shellcheck disable=SC2016 # apt fills it in
debian_mirror() {
  local mirror=${BROADWAY_DEBIAN_MIRROR:-}
  [[ -n $mirror ]] \
    || mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$') \
    || { printf 'apt knows no Debian mirror here; name one in BROADWAY_DEBIAN_MIRROR\n' >&2; return 1; }
  printf '%s' "$mirror"
}

debian_keys() {
  local keys
  for keys in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    [[ ! -r $keys ]] || { printf '%s' "$keys"; return; }
  done
  printf "Debian's keys are missing: apt-get install debian-archive-keyring\n" >&2
  return 1
}

# debian_own_libraries TREE PROGRAM …: each PROGRAM, a path inside TREE, becomes a script that runs
# it with TREE's loader and libraries. May be called again, also after it was interrupted.
debian_own_libraries() {
  local tree=$1 loader program
  shift
  loader=$(debian_loader "$tree")
  for program in "${@/#/$tree/}"; do
    if [[ ! -e $program.elf ]]; then
      cp "$program" "$program.copy"
      mv "$program.copy" "$program.elf"
    fi
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s.elf" "$@"\n' \
      "$loader" "$(debian_library_path "$tree")" "$program" >"$program.script"
    chmod +x "$program.script"
    mv "$program.script" "$program"
  done
}

# Where it lies depends on the release and the processor.
debian_loader() {
  find "$1" -name 'ld-linux*.so.*' -print -quit
}

debian_library_path() {
  local folders=("$1"/lib/*-linux-gnu "$1"/usr/lib/*-linux-gnu) IFS=:
  printf '%s' "${folders[*]}"
}
