//! What can be found in a module.

use serde::{Deserialize, Serialize};

/// What a plugin says of itself. Postcard in the custom section `dseq_plugin`, in this order; it decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its package's name.
    pub name: String,
    /// Its package's version.
    pub version: String,
    /// The kit it is written with, and that one's version.
    pub sdk: String,
    /// Its package's description.
    pub description: String,
}

/// What was found in a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What it says of itself; `None` if it says nothing that can be read.
    pub metadata: Option<Metadata>,
    /// In their order.
    pub sections: Vec<Section>,
    /// In their order.
    pub imports: Vec<Import>,
    /// In their order.
    pub exports: Vec<Export>,
    /// Memories it defines.
    pub memories: Vec<SizeRange>,
    /// Tables it defines.
    pub tables: Vec<SizeRange>,
    /// Globals it defines.
    pub globals: Vec<Global>,
    /// How many functions it defines.
    pub functions: u64,
    /// The function that would run before any other.
    pub start: Option<u32>,
    /// Number of data segments.
    pub data_segments: u64,
    /// What they hold together, in bytes.
    pub data_bytes: u64,
    /// What of wasm it makes use of beyond the first version; `None` if it is not valid or too large to try.
    pub features: Option<Vec<Feature>>,
    /// Why it could not be read to its end, or is not valid.
    pub problem: Option<String>,
}

/// A section of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What kind; of a custom one its name.
    pub name: String,
    /// Whether the name is of the module's own choosing.
    pub custom: bool,
    /// Length of its content.
    pub bytes: u64,
}

/// Something a module wants from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// From where.
    pub module: String,
    /// What.
    pub name: String,
    /// Of which type.
    #[serde(rename = "type")]
    pub ty: String,
}

/// Something a module offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
}

/// How large a memory (in pages of 64 KiB) or a table (in elements) is at first, and may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeRange {
    /// At first.
    pub initial: u64,
    /// At most; `None`: as much as the host allows.
    pub max: Option<u64>,
}

/// A global.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Global {
    /// The type of its value.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether it can change.
    pub mutable: bool,
}

/// A feature of wasm that a module makes use of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether plugins may.
    pub allowed: bool,
}
