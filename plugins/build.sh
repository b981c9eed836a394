#!/bin/sh
# Builds the plugins for wasm32 so that the same sources give the same bytes in any folder of any machine, and
# puts <name>.wasm into build/plugins/ (or into $1).
#
# The recipe: the toolchain of rust-toolchain.toml, Cargo.lock as it is, the `plugin` profile of Cargo.toml,
# and the flags below. Flags and wrappers of the caller's environment are ignored: they would change the hash.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-"$root/build/plugins"}
plugins="hex json length-prefix lines passthrough signed"

unset RUSTUP_TOOLCHAIN RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_INCREMENTAL
for name in $(env | sed -n 's/^\(CARGO_PROFILE_PLUGIN_[A-Z_]*\|CARGO_TARGET_WASM32_[A-Z0-9_]*\)=.*/\1/p'); do
    unset "$name"
done

# Paths of this machine stay out of panic messages. The stack lies at the bottom of the memory, so that its
# overflow is a trap and never touches data; 64 KiB is plenty for a filter and keeps a fresh instance small.
unit=$(printf '\037')
cargo_home=${CARGO_HOME:-"$HOME/.cargo"}
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$root=/dseq${unit}--remap-path-prefix=$cargo_home=/cargo${unit}-Clink-arg=--stack-first${unit}-Clink-arg=-zstack-size=65536"
export CARGO_ENCODED_RUSTFLAGS

target=${CARGO_TARGET_DIR:-"$root/target"}
mkdir -p "$out"
for plugin in $plugins; do
    (cd "$root" && cargo build --quiet --profile plugin --locked --target wasm32-unknown-unknown \
        --target-dir "$target" -p "$plugin")
    cp "$target/wasm32-unknown-unknown/plugin/$(echo "$plugin" | tr - _).wasm" "$out/$plugin.wasm.partial"
    mv "$out/$plugin.wasm.partial" "$out/$plugin.wasm"
done
