//! Whether several nodes hold the same sequence, read from their files while they run.
//!
//! A node may be a block behind the others, so the sequences are compared at the length that all of them have;
//! each node's own hash covers all that it has committed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::genesis::file::GenesisFile;
use super::home::NodeHome;
use super::home::access::{self, Denied};
use crate::sequence::{self, OpenError};

/// Bytes read from each file at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A node to be compared: its name, its sequence's folder, and the chain that it is of, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The node's name.
    pub node: String,
    /// The folder of its sequence.
    pub dir: PathBuf,
    /// The chain id.
    pub chain_id: Option<String>,
}

impl Compared {
    /// A node by its home; the chain is the one that its sequence is of, or else the one in its genesis file.
    #[must_use]
    pub fn at(node: String, home: &NodeHome) -> Self {
        let dir = home.sequence_dir();
        let begun = sequence::chain_of(&dir).ok().flatten().map(|chain| chain.chain_id);
        let in_genesis = || Some(GenesisFile::read(&home.genesis_file()).ok()?.chain_id().to_owned());
        let chain_id = begun.or_else(in_genesis).filter(|chain_id| !chain_id.is_empty());
        Self { node, dir, chain_id }
    }
}

/// One node's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeSum {
    /// The node's name.
    pub node: String,
    /// The chain that it is of, if that is known.
    pub chain_id: Option<String>,
    /// Committed length, in bytes.
    pub length: u64,
    /// SHA-256 of all that is committed.
    pub sha256: String,
}

/// Where two nodes hold different bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first offset at which any node differs from the first one.
    pub offset: u64,
    /// Each node's byte there.
    pub bytes: Vec<u8>,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Every node, in the order given.
    pub nodes: Vec<NodeSum>,
    /// The length up to which all were compared, in bytes.
    pub common_length: u64,
    /// SHA-256 of the first node's bytes up to there.
    pub common_sha256: String,
    /// The first difference below the common length, if there is one.
    pub difference: Option<Difference>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All hold the same bytes as far as all have committed, which is one byte at least.
    Identical,
    /// They do not.
    Different,
    /// They are of several chains, so that nothing can be said of their bytes.
    OtherChains,
    /// One of them, or all, have not committed a byte.
    NothingInCommon,
}

/// A sequence that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChecksumError {
    /// No committed length.
    ///
    /// Do what the cause that follows the message says.
    #[error("{node}: cannot tell the length of its sequence")]
    Length {
        /// The node.
        node: String,
        /// Why not.
        source: OpenError,
    },
    /// A file that this user may not read.
    #[error("{node}: {source}")]
    Denied {
        /// The node.
        node: String,
        /// The file.
        source: Denied,
    },
    /// A file that cannot be read, or ends early.
    ///
    /// Check that node's disk, and look at its home with `dseq doctor`.
    #[error("{node}: cannot read {path}", path = path.display())]
    Read {
        /// The node.
        node: String,
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

struct Source {
    node: String,
    chain_id: Option<String>,
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Source {
    fn open(Compared { node, dir, chain_id }: &Compared) -> Result<Self, ChecksumError> {
        let denied = |source| ChecksumError::Denied { node: node.clone(), source };
        access::check(&dir.join(sequence::SEQUENCE_FILE)).map_err(denied)?;
        let length = sequence::committed_length(dir)
            .map_err(|source| ChecksumError::Length { node: node.to_owned(), source })?;
        let path = dir.join(sequence::SEQUENCE_FILE);
        let file = File::open(&path);
        let file =
            file.map_err(|source| ChecksumError::Read { node: node.to_owned(), path: path.clone(), source })?;
        let chain_id = chain_id.clone();
        Ok(Self { node: node.to_owned(), chain_id, path, file, length, hash: Sha256::new() })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), ChecksumError> {
        self.file.read_exact(bytes).map_err(|source| ChecksumError::Read {
            node: self.node.clone(),
            path: self.path.clone(),
            source,
        })?;
        self.hash.update(bytes);
        Ok(())
    }
}

/// Compares the sequences of these nodes.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn compare(nodes: &[Compared]) -> Result<Comparison, ChecksumError> {
    let mut sources = nodes.iter().map(Source::open).collect::<Result<Vec<_>, _>>()?;
    let common_length = sources.iter().map(|source| source.length).min().unwrap_or(0);
    let difference = read_common(&mut sources, common_length)?;
    let common_sha256 = sources.first().map_or_else(String::new, |first| hex(first.hash.clone()));
    let mut sums = Vec::new();
    for mut source in sources {
        each_chunk(source.length.saturating_sub(common_length), |_, wanted| {
            source.read(&mut vec![0; wanted])
        })?;
        let Source { node, chain_id, length, hash, .. } = source;
        sums.push(NodeSum { node, chain_id, length, sha256: hex(hash) });
    }
    let verdict = verdict(&sums, common_length, difference.as_ref());
    Ok(Comparison { nodes: sums, common_length, common_sha256, difference, verdict })
}

fn verdict(nodes: &[NodeSum], common_length: u64, difference: Option<&Difference>) -> Verdict {
    let chains: BTreeSet<&str> = nodes.iter().filter_map(|node| node.chain_id.as_deref()).collect();
    match difference {
        _ if chains.len() > 1 => Verdict::OtherChains,
        Some(_) => Verdict::Different,
        None if common_length == 0 => Verdict::NothingInCommon,
        None => Verdict::Identical,
    }
}

/// Reads all sources in step up to the common length, and finds where one first differs from the first one.
fn read_common(sources: &mut [Source], length: u64) -> Result<Option<Difference>, ChecksumError> {
    let mut difference = None;
    each_chunk(length, |start, wanted| {
        let mut chunks = Vec::new();
        for source in sources.iter_mut() {
            let mut chunk = vec![0; wanted];
            source.read(&mut chunk)?;
            chunks.push(chunk);
        }
        if difference.is_none() {
            difference = first_difference(start, &chunks);
        }
        Ok(())
    })?;
    Ok(difference)
}

/// Calls `step` with the start and size of each chunk of `length` bytes.
fn each_chunk(
    length: u64,
    mut step: impl FnMut(u64, usize) -> Result<(), ChecksumError>,
) -> Result<(), ChecksumError> {
    let mut start = 0;
    while start < length {
        let wanted = usize::try_from(length - start).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        step(start, wanted)?;
        start += wanted as u64;
    }
    Ok(())
}

fn first_difference(start: u64, chunks: &[Vec<u8>]) -> Option<Difference> {
    let (first, others) = chunks.split_first()?;
    let at = others.iter().filter_map(|other| first.iter().zip(other).position(|(a, b)| a != b)).min()?;
    let bytes = chunks.iter().filter_map(|chunk| chunk.get(at).copied()).collect();
    Some(Difference { offset: start + at as u64, bytes })
}

fn hex(hash: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn source(dir: &Path, name: &str, bytes: &[u8]) -> Source {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let (node, length) = (name.to_owned(), bytes.len() as u64);
        Source { node, chain_id: None, path, file, length, hash: Sha256::new() }
    }

    #[test]
    fn the_first_differing_offset_is_found_in_whichever_chunk_and_node_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let base = vec![7u8; CHUNK_BYTES + 100];
        let mut late = base.clone();
        late[CHUNK_BYTES + 50] = 8;
        let mut early = base.clone();
        early[CHUNK_BYTES + 10] = 9;
        let length = base.len() as u64;
        let mut sources =
            [source(dir.path(), "a", &base), source(dir.path(), "b", &late), source(dir.path(), "c", &early)];
        let found = read_common(&mut sources, length).unwrap().unwrap();
        assert_eq!(found, Difference { offset: CHUNK_BYTES as u64 + 10, bytes: vec![7, 7, 9] });
    }

    #[test]
    fn a_node_that_is_behind_is_compared_as_far_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = [source(dir.path(), "a", b"abcdef"), source(dir.path(), "b", b"abc")];
        assert_eq!(read_common(&mut sources, 3).unwrap(), None);
        assert_eq!(hex(sources[0].hash.clone()), hex(sources[1].hash.clone()));
    }

    #[test]
    fn a_file_shorter_than_what_was_committed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut short = source(dir.path(), "a", b"abc");
        assert!(matches!(short.read(&mut [0; 4]), Err(ChecksumError::Read { .. })));
    }
}
