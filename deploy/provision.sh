# shellcheck shell=bash
# What tests/run.sh and deploy/quickstart.sh need of a machine, each thing fetched once. Sourced, not run.
#
# Nothing here starts a service, and nothing but Debian packages is put outside the given directories. Whatever is
# there already is used as it is.

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# The network fails now and then: try a second time before giving up.
twice() {
    "$@" && return
    printf 'did not work, trying once more in 5 s: %s\n' "$*" >&2
    sleep 5
    "$@"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and sudo is not there: $*"
    fi
}

apt_update() {
    [ -z "${apt_updated:-}" ] || return 0
    command -v apt-get >/dev/null || die "apt-get is not there, so this machine is not Debian: install by hand $*"
    twice as_root apt-get -qq update
    apt_updated=1
}

apt_install() {
    local said
    said=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
        install --no-install-recommends -y "$@" 2>&1) || {
        printf '%s\n' "$said" >&2
        return 1
    }
}

# install_packages PACKAGE...
install_packages() {
    apt_update "$@"
    printf 'installing %s\n' "$*"
    twice apt_install "$@"
}

# Set `python` to the interpreter that PYTHON names, python3 by default, and see that it can make virtual environments.
find_python() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || [ -n "${PYTHON:-}" ] || install_packages python3 python3-venv
    python=$("$python" -c 'import sys; print(sys.executable)') || die "${PYTHON:-python3} does not start; set PYTHON"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" --version); pushd needs 3.11 or newer: set PYTHON to one"
    # Debian keeps ensurepip, without which a virtual environment has no pip, in a package of its own.
    "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    "$python" -c 'import ensurepip' || die "$python cannot make a virtual environment with pip: set PYTHON to one that can"
}

# make_environment DIRECTORY LOCK: a virtual environment with exactly what the lock file lists, once.
#
# Without dependencies: the list is whole, which `pip check` sees to. Asked for `coverage[toml]`, pip looks for its newest
# release and not for the one that is pinned, so each release of it would break the installation.
make_environment() {
    [ ! -e "$1/complete" ] || return 0
    printf 'making a virtual environment with %s\n' "$("$python" --version)"
    rm -rf -- "$1"
    "$python" -m venv "$1"
    twice "$1/bin/python" -m pip install --quiet --no-input --no-deps --require-hashes -r "$2"
    "$1/bin/python" -m pip --quiet check || die "$2 does not list all that is needed"
    touch "$1/complete"
}

# unpack_package DIRECTORY PACKAGE: put the files of a Debian package there, and nowhere else.
#
# Unpacked, not installed: installing the package of a service starts it, and has it started at each boot.
unpack_package() {
    printf "unpacking Debian's %s\n" "$2"
    mkdir -p "$1"
    # Without package lists, as in a fresh container, there is nothing to download from until they are fetched.
    (cd "$1" && apt-get -qq download "$2") 2>/dev/null || {
        apt_update "$2"
        (cd "$1" && twice apt-get -qq download "$2")
    }
    dpkg-deb --extract "$1/$2"_*.deb "$1"
    rm -f -- "$1/$2"_*.deb
}

# find_docker_registry DIRECTORY: set `docker_registry` to Debian's registry, the one installed or one unpacked there.
find_docker_registry() {
    docker_registry=$(command -v docker-registry) && return
    docker_registry=$1/usr/bin/docker-registry
    [ -x "$docker_registry" ] || unpack_package "$1" docker-registry
}

# find_nginx DIRECTORY: set `nginx` to the nginx that is installed, or to one unpacked there.
find_nginx() {
    nginx=$(command -v nginx) && return
    nginx=$1/usr/sbin/nginx
    [ -x "$nginx" ] || unpack_package "$1" nginx
    # It stands on libraries that nearly everything stands on, but an image of Debian without anything may lack them.
    "$nginx" -v 2>/dev/null || install_packages libcrypt1 libpcre2-8-0 libssl3 zlib1g
}

# find_promtool DIRECTORY: set `promtool` to the one that is installed, or to one unpacked there.
find_promtool() {
    promtool=$(command -v promtool) && return
    promtool=$1/usr/bin/promtool
    [ -x "$promtool" ] || unpack_package "$1" prometheus
}
