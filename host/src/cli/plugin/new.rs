//! `dseq plugin new`: creates a project that builds, passes its tests and is a valid plugin, with nothing but cargo.
//!
//! The SDK is not published, so the project gets a copy of its sources: they are part of this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use toml_edit::{DocumentMut, Item};

use super::{say, usage};
use crate::node::shell;
use crate::plugin::PluginName;

/// Files of the SDK, and their contents.
macro_rules! kit {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../guest-sdk/", $path)))),*]
    };
}

const KIT: &[(&str, &str)] = kit![
    "Cargo.toml",
    "abi-v1.md",
    "src/abi.rs",
    "src/arena.rs",
    "src/guest.rs",
    "src/json/cursor.rs",
    "src/json/mod.rs",
    "src/json/string.rs",
    "src/lib.rs",
    "src/metadata.rs",
    "src/panic.rs",
    "src/params/mod.rs",
    "src/params/types.rs",
    "src/plugin.rs",
    "src/testing.rs",
    "src/unshared.rs",
];

/// The workspace's manifest, from which the SDK's inherits.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The toolchain of the SDK and of the plugins that come with dseq.
const TOOLCHAIN: &str = include_str!("../../../../rust-toolchain.toml");

/// The SDK's formatting, so that `cargo fmt` in a project changes neither the SDK nor the plugin's hash.
const FORMAT: &str = include_str!("../../../../rustfmt.toml");

/// Files of the project. `{{name}}` and `{{description}}` stand for the plugin's.
const PROJECT: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    ("README.md", include_str!("template/README.md")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("goldens/text.toml", include_str!("template/goldens/text.toml")),
    ("goldens/refused.toml", include_str!("template/goldens/refused.toml")),
    (".gitignore", "/target\n/build\n/net\n"),
];

/// Plugin names that are no valid Rust package names: keywords, and crates that every plugin depends on.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dseq-sdk dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv proc-macro \
    pub ref return self static std struct super test trait true try type typeof unsafe unsized use \
    virtual where while yield";

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin new my-plugin
  dseq plugin new --name notes ./somewhere/else")]
pub(in crate::cli) struct Args {
    /// The project's folder; empty, or not there yet
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The plugin's name [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = std::path::absolute(&args.dir).context("cannot determine the current folder")?;
    let name = name(args, &dir)?;
    let occupied = fs::read_dir(&dir).map(|mut entries| entries.next().is_some()).unwrap_or(dir.exists());
    if occupied {
        bail!(
            "{} already exists and is not an empty folder; nothing was changed. Choose another one",
            dir.display()
        );
    }
    for (path, text) in files(&name)? {
        write(&dir.join(path), &text)?;
    }
    let (shown, quoted) = (args.dir.display(), shell::word(&args.dir));
    say(format!(
        "created {shown}\n\n  cd {quoted}\n  \
         cargo test             # test the rules natively\n  \
         dseq plugin build      # build the .wasm file\n  \
         dseq plugin test       # test the .wasm file against goldens/\n\n\
         See README.md for more."
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn name(args: &Args, dir: &Path) -> anyhow::Result<PluginName> {
    let of_dir = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (name, hint) = match &args.name {
        Some(name) => (name.clone(), ""),
        None => (of_dir(), "; the default is the folder's name, set another with --name"),
    };
    match PluginName::try_from(name) {
        Ok(name) if TAKEN.split(' ').any(|taken| taken == name.as_str()) => {
            usage(format!("plugin name {:?} is reserved in Rust; choose another{hint}", name.as_str()))
        }
        Ok(name) => Ok(name),
        Err(error) => usage(format!("{error}{hint}")),
    }
}

/// Every file of the project: its path and contents.
fn files(name: &PluginName) -> anyhow::Result<Vec<(String, String)>> {
    let description = "A dseq plugin: lets text in, up to a length, without white space at its end";
    let filled = |text: &str| text.replace("{{name}}", name.as_str()).replace("{{description}}", description);
    let mut files: Vec<(String, String)> =
        PROJECT.iter().map(|(path, text)| ((*path).to_owned(), filled(text))).collect();
    for (path, text) in KIT {
        let text = if *path == "Cargo.toml" { kit_manifest(text)? } else { (*text).to_owned() };
        files.push((format!("dseq-sdk/{path}"), text));
    }
    files.push(("dseq-sdk/rustfmt.toml".to_owned(), FORMAT.to_owned()));
    files.push(("Cargo.lock".to_owned(), lock(name)));
    files.push(("rust-toolchain.toml".to_owned(), toolchain()?));
    Ok(files)
}

/// The SDK's manifest, with everything it inherits from the workspace written out.
fn kit_manifest(text: &str) -> anyhow::Result<String> {
    let workspace: DocumentMut = WORKSPACE.parse()?;
    let mut manifest: DocumentMut = text.parse()?;
    let shared = workspace.get("workspace").and_then(|workspace| workspace.get("package"));
    let package = manifest
        .get_mut("package")
        .and_then(Item::as_table_mut)
        .context("the SDK's manifest has no package")?;
    for (key, value) in package.iter_mut() {
        if value.get("workspace").is_some() {
            let inherited = shared.and_then(|shared| shared.get(key.get()));
            *value = inherited.context("the SDK inherits a key that its workspace does not have")?.clone();
        }
    }
    Ok(manifest.to_string())
}

/// The lock file as cargo would write it, so that no registry is needed.
fn lock(name: &PluginName) -> String {
    let plugin =
        format!("[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"dseq-sdk\",\n]\n");
    let kit = format!("[[package]]\nname = \"dseq-sdk\"\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    let packages = if name.as_str() < "dseq-sdk" { [plugin, kit] } else { [kit, plugin] };
    format!("{}{}", include_str!("template/Cargo.lock"), packages.join("\n"))
}

/// The toolchain file, without what only this repository needs.
fn toolchain() -> anyhow::Result<String> {
    let toolchain: DocumentMut = TOOLCHAIN.parse()?;
    let channel = toolchain.get("toolchain").and_then(|toolchain| toolchain.get("channel"));
    let channel = channel.and_then(Item::as_str).context("the toolchain has no channel")?;
    Ok(format!(
        "# The hash of a plugin depends on its compiler.\n[toolchain]\nchannel = \"{channel}\"\n\
         targets = [\"wasm32-unknown-unknown\"]\n"
    ))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(dir: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), &format!("{path}/"), found);
            } else {
                found.push(path);
            }
        }
    }

    /// A file that is not in the list would be missing in every new project.
    #[test]
    fn the_project_has_all_files_of_the_sdk() {
        let mut there = Vec::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk"), "", &mut there);
        there.sort();
        let listed: Vec<&str> = KIT.iter().map(|(path, _)| *path).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn the_manifest_of_the_sdk_inherits_nothing() {
        let manifest = kit_manifest(KIT[0].1).unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        let parsed: DocumentMut = manifest.parse().unwrap();
        assert_eq!(parsed["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")), "{manifest}");
        assert_eq!(parsed["package"]["edition"].as_str(), Some("2024"), "{manifest}");
    }
}
