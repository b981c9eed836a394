#!/bin/sh
# Builds plugins for wasm32 so that the same sources give the same bytes in any folder of any machine.
#
#   plugins/build.sh [OUT [DIR...]]
#
# Builds the plugin crate in each DIR, puts <package>.wasm into OUT, and prints its path. Without DIR: every plugin of
# this repository. Without OUT, or with an empty one: build/plugins of the crate's workspace.
#
# This is the whole recipe: `dseq plugin build` carries this script and runs it on other people's plugins. What it
# fixes, and what it cannot, stands in plugins/README.md.
set -eu

fail() {
    echo "error: $*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "there is no cargo on PATH; see https://rustup.rs"

out=${1:-}
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then
    here=$(cd "$(dirname "$0")" && pwd)
    for manifest in "$here"/*/Cargo.toml; do
        set -- "$@" "$(dirname "$manifest")"
    done
fi

# Flags, wrappers and compilers of the caller's environment are ignored: they would change the hash.
unset RUSTUP_TOOLCHAIN RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_BOOTSTRAP RUSTC_FORCE_RUSTC_VERSION
for name in $(env | sed -n 's/^\(CARGO_PROFILE_[A-Z_]*\)=.*/\1/p; s/^\(CARGO_TARGET_WASM32_[A-Z0-9_]*\)=.*/\1/p'); do
    unset "$name"
done
# Said here, because what is not said here cargo looks up in its configuration files (and in CARGO_BUILD_*).
export RUSTC=rustc RUSTC_WRAPPER= RUSTC_WORKSPACE_WRAPPER= CARGO_INCREMENTAL=0

# The profile, whole: what a Cargo.toml or a configuration file says of it is not asked.
settings() {
    for setting in 'inherits="release"' opt-level=3 'lto="fat"' codegen-units=1 'panic="abort"' 'strip="symbols"' \
        debug=false 'split-debuginfo="off"' debug-assertions=false overflow-checks=true incremental=false rpath=false; do
        printf '%s\n' --config "profile.plugin.$setting"
    done
    # The target's own linker, whatever a configuration file prefers.
    printf '%s\n' --config 'target.wasm32-unknown-unknown.linker="rust-lld"'
}

# Flags are handed over with this between them, so that paths may hold spaces.
unit=$(printf '\037')

# Paths of this machine stay out of panic messages: of the crate's workspace, of its dependencies (whose folder is named
# after the registry's address, which a mirror changes), and of the standard library, where its sources are installed.
remapped() {
    flags="--remap-path-prefix=$root=/dseq${unit}--remap-path-prefix=$cargo_home=/cargo"
    for registry in "$cargo_home"/registry/src/*/; do
        [ ! -d "$registry" ] || flags="$flags${unit}--remap-path-prefix=${registry%/}=/cargo/registry"
    done
    printf '%s' "$flags${unit}--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
}

# The stack lies at the bottom of the memory, so that its overflow is a trap and never touches data; 64 KiB is plenty
# for a filter and keeps a fresh instance small.
compile() {
    CARGO_ENCODED_RUSTFLAGS="$(remapped)${unit}-Clink-arg=--stack-first${unit}-Clink-arg=-zstack-size=65536" \
        cargo build --quiet --locked --lib --profile plugin --target wasm32-unknown-unknown --target-dir "$target" \
        $(settings)
}

build() {
    cd "$1"
    manifest=$(cargo locate-project --workspace --message-format plain)
    root=$(dirname "$manifest")
    [ -f "$root/Cargo.lock" ] || fail "there is no $root/Cargo.lock; \`cargo generate-lockfile\` makes it, and it belongs to the sources: the hash depends on it"
    case $(rustup show active-toolchain 2>/dev/null || true) in
        *'(directory override'*) fail "another toolchain than rust-toolchain.toml's is set for $PWD; run \`rustup override unset\` there" ;;
        *'(default'*) echo "note: no rust-toolchain.toml chooses the compiler, so the hash is that of $(rustc -V); others get it with the same one only" >&2 ;;
    esac
    cargo_home=${CARGO_HOME:-"$HOME/.cargo"}
    sysroot=$(rustc --print sysroot)
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown" ] || fail "this toolchain cannot build for wasm32-unknown-unknown; run \`rustup target add wasm32-unknown-unknown\` in $PWD"
    target=${CARGO_TARGET_DIR:-"$root/target"}

    before=$(remapped)
    compile
    # Crates that had to be fetched first may come from a registry whose folder was not known yet.
    [ "$(remapped)" = "$before" ] || compile

    # `path+file:///where/name#1.0.0`, or `path+file:///where#name@1.0.0` where the folder has another name.
    id=$(cargo pkgid)
    case ${id##*#} in
        *@*) name=${id##*#} name=${name%@*} ;;
        *) name=${id%#*} name=${name##*/} ;;
    esac
    wasm="$target/wasm32-unknown-unknown/plugin/$(printf %s "$name" | tr - _).wasm"
    [ -f "$wasm" ] || fail "building $name made no $wasm; its Cargo.toml must say crate-type = [\"cdylib\", \"rlib\"] under [lib], and no name there"
    folder=${out:-"$root/build/plugins"}
    mkdir -p "$folder"
    cp "$wasm" "$folder/$name.wasm.partial"
    mv "$folder/$name.wasm.partial" "$folder/$name.wasm"
    echo "$folder/$name.wasm"
}

case $out in
    '' | /*) ;;
    *) out=$PWD/$out ;;
esac
for dir in "$@"; do
    (build "$dir")
done
