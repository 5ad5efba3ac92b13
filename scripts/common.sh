# common.sh - what test.sh and the examples share: packages, building, the cache of Spark, Sail and
# SurrealDB. Sourced by bash; `root` (the top of the tree) is set here.
#
# Everything is found by package name: Debian packages by apt-get, Python packages by pip, one of
# JavaScript by npm. Nothing is fetched that is there already.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RUCAT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/rucat}

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# now: milliseconds on a clock that only goes forward.
now() {
    local up
    read -r up _ </proc/uptime
    printf '%d\n' "$((10#${up/./} * 10))"
}

# seconds SINCE: how long ago that was, as "12.3 s".
seconds() {
    local ms=$(($(now) - $1))
    printf '%d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100))
}

# --- packages ---

# Is that Debian package installed?
has_package() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The first of the packages that is installed, else that apt knows, else the last.
first_package() {
    local name
    for name in "$@"; do
        if has_package "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 && may_install; then
        apt_get update >/dev/null 2>&1 </dev/null # a fresh machine: apt knows no names yet
    fi
    for name in "$@"; do
        if [ -n "$(apt-cache search --names-only "^$name\$" 2>/dev/null)" ]; then
            break
        fi
    done
    printf '%s\n' "$name"
}

# What is needed to build and to run.
build_packages() {
    printf '%s\n' cmake ninja-build gcc libc6-dev pkgconf lua5.4 liblua5.4-dev lua-cjson \
        libuv1-dev libcurl4-openssl-dev libsqlite3-dev zlib1g-dev libjansson-dev libcbor-dev libedit-dev uthash-dev \
        libcmocka-dev
    first_package libllhttp-dev node-llhttp
}

# What the tests want beyond that.
test_packages() {
    printf '%s\n' lua-busted lua-check clang-format procps curl tmux chromium \
        chromium-driver
}

# What Sail and PySpark want; the argument "jvm" adds Java.
python_packages() {
    printf '%s\n' python3 python3-venv procps
    if [ "${1:-}" = jvm ] && [ -z "${JAVA_HOME:-}" ] && ! command -v java >/dev/null; then
        first_package openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless
    fi
}

# May this shell install: is it root, or can it ask sudo (without a password, or at a terminal)?
may_install() {
    [ "$(id -u)" = 0 ] ||
        { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

# apt_get ARGS...: as root, or by sudo.
apt_get() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
    else
        sudo DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
    fi
}

# install_packages NAME...: installs those that are missing; says what to ask for when it may not.
install_packages() {
    local name missing=() log
    command -v dpkg-query >/dev/null || die "this needs Debian 12 or newer (dpkg-query is missing);
elsewhere install the packages named in scripts/common.sh by hand and use cmake"
    for name in "$@"; do
        has_package "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! may_install; then
        die "these packages are missing, and only root can install them. Ask for:
  apt-get install ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    if ! { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "the packages could not be installed: ${missing[*]}"
    fi
    rm -f "$log"
}

# --- building ---

# build PRESET DIR [TARGET...]: configures and builds; shows its output only when it fails.
build() {
    local preset=$1 dir=$root/$2 log
    shift 2
    log=$(mktemp)
    if ! (cd "$root" && cmake --preset "$preset" && cmake --build "$dir" -j"$(nproc)" \
        ${1:+--target "$@"}) >"$log" 2>&1; then
        # From the first error on; all of it when there is none to be seen.
        awk '/^FAILED|CMake Error|error:/ { on = 1 } on' "$log" | grep . >&2 || cat "$log" >&2
        rm -f "$log"
        say "the $preset build failed" >&2
        return 1
    fi
    if grep -q 'warning:' "$log"; then
        grep -A6 'warning:' "$log" >&2
    fi
    rm -f "$log"
}

# --- the cache ---

# The Python that the packages belong to, unless PYTHON says another.
python() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
    elif [ -x /usr/bin/python3 ]; then
        printf '%s\n' /usr/bin/python3
    else
        printf '%s\n' python3
    fi
}

# fetch_venv NAME WHAT REQUIREMENT...: the virtual environment $cache/NAME with these packages.
# `.done` in it says that it is whole, and what is in it; one that is not is made anew. A lock keeps
# two runs from making it at once, and is let go when this shell ends, however it ends.
fetch_venv() {
    local name=$1 what=$2 dir=$cache/$1 stamp log began lock
    shift 2
    stamp="$*"
    mkdir -p "$cache"
    exec {lock}>"$cache/$name.lock"
    flock "$lock"
    if [ "$(cat "$dir/.done" 2>/dev/null)" != "$stamp" ]; then
        say "fetching $what from PyPI into $dir (once)"
        began=$(now)
        log=$cache/$name.log
        rm -rf "$dir"
        if ! { "$(python)" -m venv "$dir" &&
            "$dir/bin/pip" install --no-input --disable-pip-version-check "$@"; } \
            >"$log" 2>&1 {lock}>&-; then
            tail -n 30 "$log" >&2
            die "$what could not be fetched; the whole output is in $log"
        fi
        printf '%s\n' "$stamp" >"$dir/.done.new"
        mv "$dir/.done.new" "$dir/.done"
        say "fetched $what in $(seconds "$began")"
    fi
    exec {lock}>&-
}

# fetch_spark: a whole Spark and PySpark; sets spark_python, and SPARK_HOME where it is not set.
fetch_spark() {
    fetch_venv spark-4.1 "Spark 4.1 (430 MB; a minute or two)" 'pyspark[connect]==4.1.*' 'pandas<3'
    spark_python=$cache/spark-4.1/bin/python
    if [ -z "${SPARK_HOME:-}" ]; then
        SPARK_HOME=$("$spark_python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
        export SPARK_HOME
    fi
}

# fetch_sail: Sail and a PySpark client without a JVM; sets sail_python and sail_command.
fetch_sail() {
    fetch_venv sail "Sail and a PySpark client" pysail 'pyspark-client==4.1.*' 'pandas<3'
    # shellcheck disable=SC2034
    sail_python=$cache/sail/bin/python
    # shellcheck disable=SC2034
    sail_command=$cache/sail/bin/sail
}

# fetch_schemathesis: asks a server what its OpenAPI allows and forbids; sets schemathesis.
fetch_schemathesis() {
    fetch_venv schemathesis "schemathesis" 'schemathesis==4.32.*'
    # shellcheck disable=SC2034
    schemathesis=$cache/schemathesis/bin/schemathesis
}

# Is that a SurrealDB server that runs here?
is_surreal() {
    [ -n "$1" ] && "$1" version >/dev/null 2>&1
}

# fetch_surreal: SurrealDB for the tests and examples; sets surreal to a command. $SURREAL, else
# `surreal` on PATH, else a packed one beside the tree, else the engine of the npm package
# @surrealdb/node behind an HTTP of ours (spec/support/surreal_node).
fetch_surreal() {
    local packed=$root/../shared/bin/surreal.xz lock
    surreal=${SURREAL:-$(command -v surreal || true)}
    if is_surreal "$surreal"; then
        return 0
    fi
    [ -z "${SURREAL:-}" ] || die "$SURREAL (SURREAL) is not a SurrealDB server that runs here"
    mkdir -p "$cache/surreal"
    exec {lock}>"$cache/surreal.lock"
    flock "$lock"
    surreal=$cache/surreal/surreal
    if ! is_surreal "$surreal" && [ -e "$packed" ]; then
        install_packages xz-utils
        xz -dc "$packed" >"$surreal.new" && chmod +x "$surreal.new" && mv "$surreal.new" "$surreal"
    fi
    is_surreal "$surreal" || fetch_surreal_node
    exec {lock}>&-
}

# The engine from npm; sets surreal.
fetch_surreal_node() {
    local dir=$cache/surreal-node stamp='@surrealdb/node@3.0.3' log=$cache/surreal-node.log began
    if ! command -v npm >/dev/null; then
        install_packages nodejs npm
    fi
    if [ "$(cat "$dir/.done" 2>/dev/null)" != "$stamp" ]; then
        say "fetching SurrealDB's engine from npm into $dir (once)"
        began=$(now)
        rm -rf "$dir"
        mkdir -p "$dir"
        # Its peer, the client library, is not needed: only the native part is loaded.
        if ! npm install --prefix "$dir" --no-audit --no-fund --ignore-scripts --legacy-peer-deps \
            "$stamp" >"$log" 2>&1 </dev/null; then
            tail -n 30 "$log" >&2
            die "SurrealDB's engine could not be fetched; the whole output is in $log"
        fi
        # The engines of other systems are eight times as much as ours.
        find "$dir/node_modules/@surrealdb/node/dist" -name '*.node' ! -name '*linux*' -delete
        printf '%s\n' "$stamp" >"$dir/.done"
        say "fetched SurrealDB's engine in $(seconds "$began")"
    fi
    surreal=$root/spec/support/surreal_node/surreal
    export SPEC_SURREAL_NODE=$dir
    is_surreal "$surreal" || die "SurrealDB's engine does not run here: $("$surreal" version)"
}
