# shellcheck shell=bash
# Java and Maven, for the brokers that come from Maven Central.

java_needs() {
  [[ -n ${JAVA_HOME:-} ]] || printf 'java=openjdk-17-jre-headless\n'
  printf 'mvn=maven\n'
}

java_program() {
  if [[ -n ${JAVA_HOME:-} ]]; then printf '%s' "$JAVA_HOME/bin/java"; else printf java; fi
}

# java_check NAME
java_check() {
  local name=$1 java version
  java=$(java_program)
  command -v "$java" >/dev/null || fail "$name: $java is missing" \
    "Debian: apt-get install openjdk-17-jre-headless, or let scripts/test install it"
  version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  ((${version:-0} >= 17)) || fail "$name: $java is version ${version:-unknown}, 17 or later is needed" \
    "set JAVA_HOME to a newer one"
}

# java_version PROPERTY POM: prints a property of a pom.xml.
java_version() {
  sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" "$2"
}

# java_fetch NAME MB: downloads the jars of scripts/NAME/pom.xml into $CACHE/NAME/libs; Maven compares their
# checksums. Downloads to another folder and renames it, so that a partial download is never used.
java_fetch() {
  local name=$1 pom=$ROOT/scripts/$1/pom.xml libs=$CACHE/$1/libs
  ! cmp -s "$pom" "$libs/pom.xml" || return 0
  command -v mvn >/dev/null || fail "$name: Maven is missing, which downloads it" \
    "Debian: apt-get install maven, or let scripts/test install it"
  say "$name: downloading $2 MB to $libs (once)"
  rm -rf "$libs" "$libs.partial"
  mvn -q -B --strict-checksums -f "$pom" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$libs.partial" >"$CACHE/$name/maven.log" 2>&1 \
    || fail_with_log "$CACHE/$name/maven.log" "$name: Maven could not download it" \
      "to try again: scripts/brokers up $name"
  cp "$pom" "$libs.partial/pom.xml"
  mv "$libs.partial" "$libs"
}
