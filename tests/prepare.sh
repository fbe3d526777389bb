# shellcheck shell=bash
# What tests/run.sh and tests/benchmarks/run.sh need: fetched or built once, kept in
# ${XDG_CACHE_HOME:-~/.cache}/pushd-tests, with the environment that leads to it. Sourced in the root of the checkout.

. deploy/provision.sh

# Real peers that are built from source. Optional: the tests of what is missing are skipped.
distribution=v3.1.2
crane=v0.22.1
oras=v1.3.6
compose=v2.16.2

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pushd-tests

heading() {
    printf '\n== %s\n' "$*"
}

# go_install NAME VERSION PACKAGE: build once for each version; $cache/bin/NAME leads to it.
go_install() {
    local name=$1 version=$2 package=$3
    local built=$cache/$name-$version
    if [ ! -x "$built/$name" ]; then
        printf 'building %s %s\n' "$name" "$version"
        GOBIN=$built twice go install "$package@$version" >"$cache/$name.log" 2>&1 || {
            printf 'could not be built, its tests are skipped; the end of %s:\n' "$cache/$name.log"
            tail -n 5 "$cache/$name.log"
            return 0
        }
        # A program is named after the last part of its package.
        [ -x "$built/$name" ] || mv "$built/${package##*/}" "$built/$name"
    fi
    ln -sfn "../$name-$version/$name" "$cache/bin/$name"
}

prepare() {
    local needed=()
    command -v curl >/dev/null || needed+=(curl)
    command -v skopeo >/dev/null || needed+=(skopeo)
    command -v buildah >/dev/null || needed+=(buildah)
    command -v umoci >/dev/null || needed+=(umoci)
    command -v tmux >/dev/null || needed+=(tmux)
    command -v zsh >/dev/null || needed+=(zsh)
    command -v fish >/dev/null || needed+=(fish)
    command -v shellcheck >/dev/null || needed+=(shellcheck)
    command -v lnav >/dev/null || needed+=(lnav)
    command -v jq >/dev/null || needed+=(jq)
    command -v systemd-analyze >/dev/null || needed+=(systemd)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || needed+=(ca-certificates)
    [ ${#needed[@]} = 0 ] || install_packages "${needed[@]}"

    find_python
    local key
    key=$({ cat tests/requirements.lock && "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; } | sha256sum)
    environment=$cache/python-${key:0:16}
    make_environment "$environment" tests/requirements.lock

    find_docker_registry "$cache/docker-registry"
    find_nginx "$cache/nginx"
    find_promtool "$cache/prometheus"
    if command -v go >/dev/null; then
        go_install registry "$distribution" github.com/distribution/distribution/v3/cmd/registry
        go_install crane "$crane" github.com/google/go-containerregistry/cmd/crane
        go_install oras "$oras" oras.land/oras/cmd/oras
        go_install compose-spec "$compose" github.com/compose-spec/compose-go/v2/cmd
    else
        printf 'go is not there: distribution 3, crane, oras and the loader of compose files are not built, and their tests are skipped\n'
    fi
}

heading "What is needed"
mkdir -p "$cache/bin"
exec 9>"$cache/lock"
flock 9 # two runs at once would build the same things over each other
prepare
exec 9>&-
printf 'kept in %s\n' "$cache"

registry_directory=$(dirname "$docker_registry")
export PATH=$environment/bin:$registry_directory:$PATH
# Not installed: the environment is shared by all checkouts, the code is this one's. Processes under test inherit it.
export PYTHONPATH=$PWD
export PUSHD_TEST_NGINX=$nginx
export PUSHD_TEST_PROMTOOL=$promtool
[ ! -x "$cache/bin/registry" ] || export PUSHD_TEST_REGISTRY3=$cache/bin/registry
[ ! -x "$cache/bin/crane" ] || export PUSHD_TEST_CRANE=$cache/bin/crane
[ ! -x "$cache/bin/oras" ] || export PUSHD_TEST_ORAS=$cache/bin/oras
[ ! -x "$cache/bin/compose-spec" ] || export PUSHD_TEST_COMPOSE=$cache/bin/compose-spec
