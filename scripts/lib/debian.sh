# shellcheck shell=bash
# Programs from Debian packages without installing them: apt downloads and verifies the packages with
# separate lists, and they are unpacked into a folder. This needs no root, starts no service and does
# not change the machine. The programs run with the C libraries of their own release, so the release of
# the machine does not matter.

debian_needs() { printf 'apt-get=apt\ndpkg-deb=dpkg\n'; }

# debian_unpack NAME RELEASE TREE PACKAGE …: for broker NAME, unless TREE has them already. As in
# java_fetch, a partial download is never used.
debian_unpack() {
  local name=$1 release=$2 tree=$3 package
  shift 3
  local wanted="$release in $tree: $*"
  [[ $(cat "$tree/.packages" 2>/dev/null) != "$wanted" ]] || return 0
  { command -v apt-get && command -v dpkg-deb; } >/dev/null || fail \
    "$name: apt is missing, which downloads Debian packages" \
    "with Docker, BROADWAY_BROKERS=compose does not need it"
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

# debian_fetch RELEASE FOLDER PACKAGE …: runs apt with no installed packages and a single source. Other
# settings, such as a proxy, are those of this machine.
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

# The mirror that apt uses on this machine.
# shellcheck disable=SC2016 # apt fills it in
debian_mirror() {
  local mirror=${BROADWAY_DEBIAN_MIRROR:-}
  [[ -n $mirror ]] \
    || mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$') \
    || { printf 'apt has no Debian mirror here; set BROADWAY_DEBIAN_MIRROR\n' >&2; return 1; }
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
# it with TREE's loader and libraries. May be repeated, even after an interruption.
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

# Its path depends on the release and the processor.
debian_loader() {
  find "$1" -name 'ld-linux*.so.*' -print -quit
}

debian_library_path() {
  local folders=("$1"/lib/*-linux-gnu "$1"/usr/lib/*-linux-gnu) IFS=:
  printf '%s' "${folders[*]}"
}
