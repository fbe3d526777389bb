# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here and there is used there and here
# Releases, as deploy/install.sh makes and keeps them. Sourced, not run, after deploy/provision.sh.
#
# A release is a directory below /opt/pushd/releases with a virtual environment of its own, which is never changed once
# it is whole: it holds what requirements.lock lists and pushd, no pip, and in share/pushd what belongs to the system
# beside it (units, and these scripts, so that there is a way back without the tree it came from).
#
# All of it expects `root` ('' for this machine), `prefix` (of all releases, root included), `dry` and `wheels`.

# What a release is made of, besides the interpreter.
parts=(pushd systemd requirements.lock deploy/build.lock pyproject.toml README.md LICENSE
    deploy/install.sh deploy/release.sh deploy/databases.sh deploy/provision.sh deploy/database.py)

# Run a command that changes something; in a dry run, only show it.
change() {
    if [ -n "$dry" ]; then
        printf 'would run:'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}

# The name a link below $prefix leads to, or nothing.
linked() {
    local target
    target=$(readlink "$prefix/$1") || return 0
    printf '%s' "${target##*/}"
}

# link NAME RELEASE: have a link lead to a release, from one moment to the next.
link() {
    change ln -sfn "releases/$2" "$prefix/.$1.new"
    change mv -T "$prefix/.$1.new" "$prefix/$1"
}

is_whole() {
    [ -e "$prefix/releases/$1/complete" ] && [ "$("$prefix/releases/$1/bin/python" -I -c 'print(1)' 2>/dev/null)" = 1 ]
}

# Set `python` for what is to be installed. Nothing is fetched for a dry run, nor where the network is not to be used.
choose_python() {
    # Debian's own goes before what else is in somebody's PATH.
    [ -n "${PYTHON:-}" ] || [ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
    if [ -z "$dry$wheels" ]; then
        find_python
    else
        python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)') || die "${PYTHON:-python3} does not start; set PYTHON"
        "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            die "$python must be Python 3.11 or newer with venv and ensurepip: apt-get install python3-venv, or set PYTHON"
    fi
}

# Set `release` to the name of what this tree and `python` make, and `digest` to what tells it from others. The name is
# the version, with a part of the digest behind it where that is the name of something else already.
name_release() {
    local version same
    [ -f pyproject.toml ] || die "$PWD is not pushd's source tree: unpack the new release and run its deploy/install.sh"
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' pushd/__init__.py)
    [ -n "$version" ] || die "pushd/__init__.py does not tell the version"
    digest=$({
        find "${parts[@]}" -type f ! -name '*.py[co]' -print0 | sort -z | xargs -0 sha256sum
        "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
    } | sha256sum)
    digest=${digest%% *}
    release=$version
    if same=$(grep -lsx "$digest" "$prefix"/releases/*/complete); then
        same=${same%%$'\n'*}
        release=$(basename "${same%/complete}")
    elif [ "$version" = "$(linked current)" ] || [ "$version" = "$(linked previous)" ]; then
        release=$version+${digest:0:8}
    fi
}

# Set `pip` to one in an environment of its own, and `index` to where it takes packages from.
make_pip() {
    builder=$(mktemp -d "${TMPDIR:-/tmp}/pushd-install.XXXXXX")
    "$python" -m venv "$builder/venv"
    pip=("$builder/venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check)
    # Only wheels: what an sdist wants for its building has no hashes here, and would run as root.
    index=(--no-deps --require-hashes --only-binary :all:)
    [ -z "$wheels" ] || index+=(--no-index --find-links "$wheels")
}

# Make the release, beside those that are there; what was begun and not finished is begun anew.
build_release() {
    local target=$prefix/releases/$release
    if is_whole "$release" && [ "$(cat "$target/complete")" = "$digest" ]; then
        return
    elif [ -n "$dry" ]; then
        printf 'would make %s with %s%s\n' "$target" "$("$python" --version)" "${wheels:+ from the wheels in $wheels}"
        return
    fi
    printf 'making %s with %s\n' "$target" "$("$python" --version)"
    make_pip
    twice "${pip[@]}" install "${index[@]}" -r deploy/build.lock
    # Without isolation: the building uses what deploy/build.lock lists, and fetches nothing.
    "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$builder/wheel" .

    rm -rf -- "$target"
    mkdir -p "$target"
    "$python" -m venv --without-pip "$target"
    twice "${pip[@]}" --python "$target/bin/python" install "${index[@]}" -r requirements.lock
    "${pip[@]}" --python "$target/bin/python" install --no-deps --no-index "$builder"/wheel/pushd-*.whl
    "${pip[@]}" --python "$target/bin/python" check >/dev/null || die "requirements.lock does not list all that is needed"
    mkdir -p "$target/share/pushd/deploy"
    cp -R systemd "$target/share/pushd/"
    cp deploy/{install,release,databases,provision}.sh deploy/database.py "$target/share/pushd/deploy/"
    # Below --root, scripts name the interpreter as it is called where that directory is the root.
    [ -z "$root" ] || find "$target/bin" "$target/pyvenv.cfg" -type f -exec sed -i "s|$root/opt/pushd|/opt/pushd|g" {} +
    "$target/bin/python" -I -m pushd --version >/dev/null || die "$target does not start"
    printf '%s\n' "$digest" >"$target/complete"
}

# Put everything a release is made of into $1, for machines without network.
fetch_wheels() {
    choose_python
    make_pip
    mkdir -p "$1"
    twice "${pip[@]}" download "${index[@]}" --dest "$1" -r requirements.lock -r deploy/build.lock
    printf '%s holds all that deploy/install.sh --wheels needs, for %s on %s\n' "$1" "$("$python" --version)" "$(uname -m)"
}

# The number of the newest schema a release knows.
known_schema() {
    "$prefix/releases/$1/bin/python" -I -c 'from pushd.store import schema; print(len(schema.migrations()))'
}

# Remove what is neither current nor the way back. A daemon that still runs from one is restarted before.
remove_old_releases() {
    local directory name
    for directory in "$prefix"/releases/*/; do
        name=$(basename "$directory")
        [ "$name" = '*' ] || [ "$name" = "$(linked current)" ] || [ "$name" = "$(linked previous)" ] ||
            change rm -rf -- "${directory%/}"
    done
}
