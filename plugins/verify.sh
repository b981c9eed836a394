#!/bin/sh
# Builds every plugin twice, in two folders, each time with another home, another cargo home and another target folder,
# and compares both with plugins.lock, and the default plugin with the one in the program. Prints a table; fails if a single
# byte differs.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
lock=$root/plugins/plugins.lock
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo_home=${CARGO_HOME:-"$HOME/.cargo"}
RUSTUP_HOME=${RUSTUP_HOME:-"$HOME/.rustup"}
export RUSTUP_HOME

# The crates that plugins depend on are unpacked anew in each place; only what was downloaded is shared.
build_in() {
    place=$scratch/$1
    mkdir -p "$place/source" "$place/home" "$place/cargo home/registry"
    (cd "$root" && tar -cf - --exclude=./target --exclude=./build --exclude=./.git .) | (cd "$place/source" && tar -xf -)
    for shared in config.toml registry/cache registry/index; do
        [ ! -e "$cargo_home/$shared" ] || ln -s "$cargo_home/$shared" "$place/cargo home/$shared"
    done
    HOME="$place/home" CARGO_HOME="$place/cargo home" CARGO_TARGET_DIR="$place/target" \
        "$place/source/plugins/build.sh" "$place/out" >/dev/null
}

build_in one
build_in "some where/else"

hash() {
    if [ -f "$1" ]; then sha256sum <"$1" | cut -c 1-64; else echo missing; fi
}

failed=0
printf '%-16s %-64s  %s\n' plugin "sha256 in plugins.lock" "built twice"
for name in $({ sed -n 's/^[0-9a-f]*  \(.*\)\.wasm$/\1/p' "$lock"; for wasm in "$scratch"/one/out/*.wasm; do basename "$wasm" .wasm; done; } | sort -u); do
    locked=$(sed -n "s/^\([0-9a-f]*\)  $name\.wasm\$/\1/p" "$lock")
    one=$(hash "$scratch/one/out/$name.wasm")
    other=$(hash "$scratch/some where/else/out/$name.wasm")
    case $locked in
        "$one") said=same ;;
        *) said="DIFFERENT: $one" ;;
    esac
    [ "$one" = "$other" ] || said="DIFFERENT from place to place: $one, $other"
    [ "$said" = same ] || failed=1
    printf '%-16s %-64s  %s\n' "$name" "${locked:-not there}" "$said"
done
# The default plugin is part of the program.
if ! cmp -s "$scratch/one/out/passthrough.wasm" "$root/host/assets/passthrough.wasm"; then
    echo "host/assets/passthrough.wasm is not what was built" >&2
    failed=1
fi
if [ $failed = 1 ]; then
    echo "error: what was built is not what plugins.lock pins; if a plugin, the SDK or the recipe has changed, run \`make plugins-lock\`" >&2
    exit 1
fi
