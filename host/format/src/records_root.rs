//! The records root: an RFC 6962 Merkle tree hash over the records, kept as a compact range.
//!
//! RFC 6962 (section 2.1) hashes a leaf as SHA-256(0x00, leaf), an inner node as SHA-256(0x01, left, right), and
//! splits n leaves at the largest power of two below n. The root therefore follows from one hash for each set bit
//! of n: the roots of the complete subtrees, largest first.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::types::RecordsRoot;

/// The complete subtrees over all leaves so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsFrontier {
    /// Number of leaves.
    count: u64,
    /// Roots of the complete subtrees, largest first: one for each set bit of `count`.
    subtrees: Vec<[u8; 32]>,
}

impl RecordsFrontier {
    /// Number of leaves.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is one subtree for each set bit of the count, as in every frontier this code has written.
    pub fn is_well_formed(&self) -> bool {
        self.subtrees.len() as u64 == u64::from(self.count.count_ones())
    }

    /// Adds one leaf.
    ///
    /// # Panics
    ///
    /// When the frontier is not [well formed](Self::is_well_formed), or has 2^64 - 1 leaves already.
    pub fn append(&mut self, leaf: &[u8]) {
        let mut node = leaf_hash(leaf);
        for _ in 0..self.count.trailing_ones() {
            let left = self.subtrees.pop().expect("there is one subtree for each set bit of the count");
            node = inner_hash(&left, &node);
        }
        self.subtrees.push(node);
        self.count =
            self.count.checked_add(1).expect("each leaf is at least a byte of a sequence of 2^63 - 1");
    }

    /// The Merkle tree hash over all leaves; of none, SHA-256 of nothing.
    pub fn root(&self) -> RecordsRoot {
        let mut smallest_first = self.subtrees.iter().rev();
        let Some(smallest) = smallest_first.next() else {
            return RecordsRoot(Sha256::digest([]).into());
        };
        RecordsRoot(smallest_first.fold(*smallest, |right, left| inner_hash(left, &right)))
    }
}

fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The definition in RFC 6962, word for word: slow and obviously right.
    fn naive(leaves: &[Vec<u8>]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                inner_hash(&naive(&leaves[..split]), &naive(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_for_every_small_tree() {
        let leaves: Vec<Vec<u8>> = (0..130u8).map(|i| vec![i; usize::from(i % 7)]).collect();
        let mut frontier = RecordsFrontier::default();
        for count in 0..leaves.len() {
            assert_eq!(frontier.root().0, naive(&leaves[..count]), "{count} leaves");
            assert_eq!(frontier.count(), count as u64);
            assert!(frontier.is_well_formed());
            frontier.append(&leaves[count]);
        }
    }

    /// Published vectors: the eight leaves used by the Certificate Transparency reference implementation.
    #[test]
    fn the_root_is_that_of_the_published_vectors() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = RecordsFrontier::default();
        assert_eq!(HEXLOWER.encode(&frontier.root().0), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            frontier.append(&HEXLOWER.decode(leaf.as_bytes()).unwrap());
            assert_eq!(HEXLOWER.encode(&frontier.root().0), *root);
        }
    }
}
