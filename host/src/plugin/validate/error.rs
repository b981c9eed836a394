//! Why a module is not admitted: the rule, what was found, the limit, and the item it is about, by its name if it has one.

use std::fmt;

use wasmparser::{BinaryReaderError, KnownCustom, Name, Parser, Payload};

use crate::excerpt::{Excerpt, words};

/// Exports that rewriting adds begin with this, and so no other may.
pub(in crate::plugin) const RESERVED_PREFIX: &str = "dseq_";

/// Why a module is not valid as a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// Not wasm, or wasm that uses what is not on the list of features.
    ///
    /// Build it from Rust with `dseq plugin build`; other compilers must keep to the features that `guest-sdk/abi-v1.md`
    /// lists.
    #[error("not a module this engine accepts: {reason}")]
    Invalid {
        /// The validator's words, with the offset.
        reason: String,
    },
    /// Plugins have nothing to import from.
    ///
    /// Take that function or dependency out.
    #[error(
        "imports {module:?} {item:?}, but a plugin has no imports; rustc turns a symbol it cannot find into an import \
         from \"env\": an undefined extern function, or a dependency that expects WASI or JavaScript"
    )]
    Import {
        /// The module it imports from.
        module: Excerpt,
        /// What it imports.
        item: Excerpt,
    },
    /// Code that runs before the host has asked for anything.
    ///
    /// Take the start function out.
    #[error("has a start function ({function}); a plugin does nothing before it is called")]
    Start {
        /// Which.
        function: Named,
    },
    /// An export whose name is the ABI's to give.
    ///
    /// Give the export another name.
    #[error(
        "exports {name:?}, which ABI v1 does not know; names that start with {RESERVED_PREFIX:?} are its own"
    )]
    ReservedExport {
        /// The name.
        name: Excerpt,
    },
    /// Too many of something.
    ///
    /// Make the plugin smaller.
    #[error("has {found} {what}; at most {max} are allowed{remedy}", remedy = remedy(*unoptimised))]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        max: u64,
        /// Whether it looks like a build that was not optimised.
        unoptimised: bool,
    },
    /// A type, a function or an export beyond its bounds.
    ///
    /// Split it, or make it smaller.
    #[error("{item} has {found} {what}; at most {max} are allowed{remedy}", remedy = remedy(*unoptimised))]
    Item {
        /// Which.
        item: Named,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        max: u64,
        /// Whether it looks like a build that was not optimised.
        unoptimised: bool,
    },
    /// All functions together would cost the compiler too much.
    ///
    /// Split the longest functions, or make the plugin smaller.
    #[error(
        "has {found} units of compile work; at most {max} are allowed; {item} has the most, {most}{remedy}",
        remedy = remedy(*unoptimised)
    )]
    CompileWork {
        /// The estimate for all functions.
        found: u64,
        /// The limit.
        max: u64,
        /// The estimate for the function that has the most.
        most: u64,
        /// That function.
        item: Named,
        /// Whether it looks like a build that was not optimised.
        unoptimised: bool,
    },
}

/// What to do about a module that is far from what the recipe would have made of its sources.
fn remedy(unoptimised: bool) -> &'static str {
    if unoptimised {
        "; the module has debug information, so it may not be optimised: build it with `dseq plugin build`, or with cargo's \
         --release"
    } else {
        ""
    }
}

impl From<BinaryReaderError> for ValidateError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid { reason: words(&error) }
    }
}

/// What a limit that holds for each of several is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A type, by its index.
    Type(u32),
    /// A function, by its index.
    Function(u32),
    /// An export, by its place among them.
    Export(u32),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(index) => write!(f, "type {index}"),
            Self::Function(index) => write!(f, "function {index}"),
            Self::Export(index) => write!(f, "export {index}"),
        }
    }
}

/// An item, and what the module's name section calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub item: Item,
    /// Of a function that has one: its name.
    pub name: Option<Excerpt>,
}

impl From<Item> for Named {
    fn from(item: Item) -> Self {
        Self { item, name: None }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({name:?})", self.item),
            None => self.item.fmt(f),
        }
    }
}

impl ValidateError {
    /// Adds what the module's custom sections say about it: the function's name, and whether this is a debug build.
    pub(in crate::plugin) fn explained(mut self, wasm: &[u8]) -> Self {
        match &mut self {
            Self::Start { function: Named { item: Item::Function(index), name } } => {
                *name = function_name(wasm, *index);
            }
            Self::Item { item: Named { item, name }, unoptimised, .. }
            | Self::CompileWork { item: Named { item, name }, unoptimised, .. } => {
                if let Item::Function(index) = item {
                    *name = function_name(wasm, *index);
                }
                *unoptimised = has_debug_information(wasm);
            }
            Self::TooMany { unoptimised, .. } => *unoptimised = has_debug_information(wasm),
            _ => {}
        }
        self
    }
}

/// The custom sections, as far as the module can be read.
fn custom_sections(wasm: &[u8]) -> impl Iterator<Item = wasmparser::CustomSectionReader<'_>> {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::CustomSection(section) => Some(section),
        _ => None,
    })
}

fn function_name(wasm: &[u8], index: u32) -> Option<Excerpt> {
    let names = custom_sections(wasm).filter_map(|section| match section.as_known() {
        KnownCustom::Name(names) => Some(names),
        _ => None,
    });
    let functions = names.flatten().filter_map(|name| match name {
        Ok(Name::Function(functions)) => Some(functions),
        _ => None,
    });
    let mut functions = functions.flatten().filter_map(Result::ok);
    functions.find(|naming| naming.index == index).map(|naming| Excerpt::of(naming.name))
}

/// What rustc puts into a debug build, and `strip` takes out of a release.
fn has_debug_information(wasm: &[u8]) -> bool {
    custom_sections(wasm).any(|section| section.name() == ".debug_info")
}

#[cfg(test)]
mod tests {
    use super::super::validate;

    fn refusal(wasm: &[u8]) -> String {
        validate(wasm).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_function_is_named_if_the_module_has_names() {
        let calls = "(call 0)".repeat(5_001);
        let wasm = wat::parse_str(format!(r#"(module (func) (func $"core::fmt\n" {calls}))"#)).unwrap();
        assert_eq!(
            refusal(&wasm),
            r#"function 1 ("core::fmt\n") has 5001 blocks, branches and calls; at most 5000 are allowed"#
        );
        let wasm = wat::parse_str("(module (func $begin) (start 0))").unwrap();
        assert!(
            refusal(&wasm).starts_with(r#"has a start function (function 0 ("begin")); "#),
            "{}",
            refusal(&wasm)
        );
        let wasm = wat::parse_str(format!("(module (func ${}) (start 0))", "x".repeat(100_000))).unwrap();
        assert!(refusal(&wasm).len() < 300, "{}", refusal(&wasm));
    }

    /// A section of no content but its name.
    fn with_custom_section(mut wasm: Vec<u8>, name: &str) -> Vec<u8> {
        let name_bytes = u8::try_from(name.len()).unwrap();
        wasm.extend([0, name_bytes + 1, name_bytes]);
        wasm.extend(name.as_bytes());
        wasm
    }

    #[test]
    fn a_debug_build_gets_a_hint() {
        let remedy = "; the module has debug information, so it may not be optimised: build it with `dseq plugin \
                      build`, or with cargo's --release";
        let calls = "(call 0)".repeat(5_001);
        let long = wat::parse_str(format!("(module (func) (func {calls}))")).unwrap();
        assert!(refusal(&long).ends_with("are allowed"));
        let debug = with_custom_section(long, ".debug_info");
        assert!(refusal(&debug).ends_with(remedy), "{}", refusal(&debug));
        let many = wat::parse_str(format!("(module {})", "(func)".repeat(10_001))).unwrap();
        let debug = with_custom_section(many, ".debug_info");
        assert_eq!(refusal(&debug), format!("has 10001 functions; at most 10000 are allowed{remedy}"));
        let calls = format!("(func {})", "(call 0)".repeat(5_000)).repeat(100);
        let costly = wat::parse_str(format!("(module (func) {calls})")).unwrap();
        let debug = with_custom_section(costly, ".debug_info");
        let error = refusal(&debug);
        assert!(error.contains(" units of compile work; ") && error.ends_with(remedy), "{error}");
    }
}
