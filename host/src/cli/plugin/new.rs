//! `dseq plugin new`: a project that builds, tests and is admitted as it is, on a machine with nothing but cargo.
//!
//! The kit is not published, so its sources come along: they are part of this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use toml_edit::{DocumentMut, Item};

use super::{say, usage};
use crate::node::shell;
use crate::plugin::PluginName;

/// Files of the kit, with what is in them.
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

/// What the kit's manifest takes from its workspace's.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The compiler of the kit and of the plugins that come with dseq.
const TOOLCHAIN: &str = include_str!("../../../../rust-toolchain.toml");

/// How the kit is formatted, so that formatting a project leaves it, and the plugin's hash, alone.
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

/// Plugins' names that cannot be those of Rust packages: words of the language, and crates that every plugin has.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dseq-sdk dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv proc-macro \
    pub ref return self static std struct super test trait true try type typeof unsafe unsized use \
    virtual where while yield";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where the project goes; an empty folder, or none yet
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The plugin's name [default: the folder's]
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = std::path::absolute(&args.dir).context("cannot tell the current folder")?;
    let name = name(args, &dir)?;
    let occupied = fs::read_dir(&dir).map(|mut entries| entries.next().is_some()).unwrap_or(dir.exists());
    if occupied {
        bail!(
            "{} is there already and not an empty folder; nothing was changed. Choose another one",
            dir.display()
        );
    }
    for (path, text) in files(&name)? {
        write(&dir.join(path), &text)?;
    }
    let (shown, quoted) = (args.dir.display(), shell::word(&args.dir));
    say(format!(
        "made {shown}\n\n  cd {quoted}\n  \
         cargo test             # its rules, natively\n  \
         dseq plugin build      # the .wasm, and its hash\n  \
         dseq plugin test       # the .wasm against goldens/\n\n\
         README.md has the rest."
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn name(args: &Args, dir: &Path) -> anyhow::Result<PluginName> {
    let of_dir = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (name, hint) = match &args.name {
        Some(name) => (name.clone(), ""),
        None => (of_dir(), "; the name is the folder's, unless --name gives another"),
    };
    match PluginName::try_from(name) {
        Ok(name) if TAKEN.split(' ').any(|taken| taken == name.as_str()) => {
            usage(format!("plugin name {:?} means something to Rust; choose another{hint}", name.as_str()))
        }
        Ok(name) => Ok(name),
        Err(error) => usage(format!("{error}{hint}")),
    }
}

/// Every file of the project: where it goes, and what is in it.
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

/// The kit's manifest with what it inherits written out: it leaves its workspace.
fn kit_manifest(text: &str) -> anyhow::Result<String> {
    let workspace: DocumentMut = WORKSPACE.parse()?;
    let mut manifest: DocumentMut = text.parse()?;
    let shared = workspace.get("workspace").and_then(|workspace| workspace.get("package"));
    let package =
        manifest.get_mut("package").and_then(Item::as_table_mut).context("the kit has no package")?;
    for (key, value) in package.iter_mut() {
        if value.get("workspace").is_some() {
            let inherited = shared.and_then(|shared| shared.get(key.get()));
            *value = inherited.context("the kit inherits what its workspace does not have")?.clone();
        }
    }
    Ok(manifest.to_string())
}

/// What cargo would write: it need not be asked, nor any registry.
fn lock(name: &PluginName) -> String {
    let plugin =
        format!("[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"dseq-sdk\",\n]\n");
    let kit = format!("[[package]]\nname = \"dseq-sdk\"\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    let packages = if name.as_str() < "dseq-sdk" { [plugin, kit] } else { [kit, plugin] };
    format!("{}{}", include_str!("template/Cargo.lock"), packages.join("\n"))
}

/// The toolchain without what only this repository needs.
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

    /// A file of the kit that were not in the list would be missing in every new project.
    #[test]
    fn the_whole_kit_comes_along() {
        let mut there = Vec::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk"), "", &mut there);
        there.sort();
        let listed: Vec<&str> = KIT.iter().map(|(path, _)| *path).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn the_kit_leaves_its_workspace() {
        let manifest = kit_manifest(KIT[0].1).unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        let parsed: DocumentMut = manifest.parse().unwrap();
        assert_eq!(parsed["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")), "{manifest}");
        assert_eq!(parsed["package"]["edition"].as_str(), Some("2024"), "{manifest}");
    }
}
