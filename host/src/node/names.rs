//! What messages call validators and nodes: by their names where the network's file has them, and by their keys in any case.

use std::collections::BTreeMap;

use super::home::NodeHome;
use super::network::NetworkFile;

/// The members' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    validators: BTreeMap<String, String>,
    nodes: BTreeMap<String, String>,
}

impl Names {
    /// Those of the network that a home joined; none: it has no network file that can be read.
    #[must_use]
    pub fn of(home: &NodeHome) -> Self {
        let mut names = Self::default();
        let network = NetworkFile::joined(home).ok().flatten();
        for member in network.iter().flat_map(NetworkFile::members) {
            let validator = (!member.observer).then(|| member.validator_address());
            names.add(&member.name, &member.node_id, validator.as_deref());
        }
        names
    }

    fn add(&mut self, name: &str, node: &str, validator: Option<&str>) {
        self.nodes.insert(node.to_owned(), name.to_owned());
        if let Some(validator) = validator {
            self.validators.insert(validator.to_owned(), name.to_owned());
        }
    }

    /// Names of the members whose name, node id and validator address these are.
    #[cfg(test)]
    pub(super) fn from(members: &[(&str, &str, &str)]) -> Self {
        let mut names = Self::default();
        members.iter().for_each(|(name, node, validator)| names.add(name, node, Some(validator)));
        names
    }

    /// The validator with this address, e.g. `carol (94A3...)`; or its address alone.
    #[must_use]
    pub fn validator(&self, address: &str) -> String {
        match self.validators.get(address) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_owned(),
        }
    }

    /// The node with this id, e.g. `carol (node 4be1...)`. One that is no member is called by its id, and by what it calls
    /// itself, which may be anything.
    #[must_use]
    pub fn node(&self, id: &str, moniker: Option<&str>) -> String {
        match (self.nodes.get(id), moniker) {
            (Some(name), _) => format!("{name} (node {id})"),
            (None, Some(moniker)) => format!("node {id} (calls itself {moniker:?})"),
            (None, None) => format!("node {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_called_by_name_and_others_by_their_keys_whatever_they_call_themselves() {
        let names = Names::from(&[("carol", "4be1", "94A3")]);
        assert_eq!(names.validator("94A3"), "carol (94A3)");
        assert_eq!(names.validator("0000"), "0000");
        assert_eq!(names.node("4be1", Some("mallory")), "carol (node 4be1)");
        assert_eq!(names.node("0000", Some("carol")), "node 0000 (calls itself \"carol\")");
        assert_eq!(names.node("0000", None), "node 0000");
    }
}
