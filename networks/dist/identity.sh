# Which version and revision is built, for what is published: read by `. networks/dist/identity.sh` in the repository's root.
#
# Sets version, cometbft, revision, created (seconds since 1970: the time of all files that are published), created_text and
# maintainer.

# shellcheck shell=sh disable=SC2034 # Used by whoever reads this.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
cometbft=$(cat networks/cometbft.version)
revision=unknown
created=0
if git rev-parse --verify --quiet HEAD >/dev/null; then
    revision=$(git rev-parse HEAD)
    created=$(git log -1 --format=%ct)
    # What is not committed is in no revision, and has the time of the commit below it.
    git diff --quiet HEAD || revision="$revision-dirty"
fi
created_text=$(date -u -d "@$created" +%Y-%m-%dT%H:%M:%SZ)

# Packages must name whom to write to. The project has no address yet, and `.invalid` is reserved for names that lead nowhere
# (RFC 2606). Whoever publishes packages puts their own here.
maintainer='The dseq authors <dseq@project.invalid>'

fail() {
    echo "error: $*" >&2
    exit 1
}

# Says all that is missing at once.
need() {
    missing=
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    [ -z "$missing" ] || fail "not on PATH:$missing. \`make\` installs some of them; docs/install.md and docs/docker.md say where the others come from"
}

# How `uname -m` names a processor that Debian and images name so.
machine_of() {
    case $1 in
        amd64) echo x86_64 ;;
        arm64) echo aarch64 ;;
    esac
}

# The processor of this machine, as Debian and images name it.
this_arch() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) fail "this builds for amd64 and arm64 only, on one of them; this machine is $(uname -m)" ;;
    esac
}
