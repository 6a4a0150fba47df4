//! What is wrong with credentials and consumers, by rules that a person can check: the same facts give the same findings.
//!
//! Nothing here reads or computes: it judges what it is handed. Of a value it knows what was recognised when it was stored,
//! and whether it equals another; never what it is.
pub mod consumers;
pub mod groups;
pub mod kept;
pub mod kinds;
pub mod names;
pub mod single;
pub mod strength;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod where_to;

pub use kinds::{FindingKind, RULES, Rule, Severity};
pub use subject::{Inventory, Keeper, Party, Recognised, Subject, TeamFacts, UsedFrom};

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One thing that is wrong, with what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: FindingKind,
    /// Places in the inventory, in the order of their ids.
    pub credentials: Vec<u32>,
    pub consumers: Vec<u32>,
    /// What tells two findings of one kind about the same things apart, as a variable's name.
    pub apart: String,
    /// What must change before an accepted finding comes back.
    pub facts: BTreeMap<&'static str, String>,
    /// What may change from one day to the next.
    pub figures: BTreeMap<&'static str, String>,
    /// In a sentence.
    pub message: String,
    /// The tool to call next, or the command.
    pub next: String,
}

impl Finding {
    pub fn on(kind: FindingKind, credentials: Vec<u32>) -> Self {
        Self {
            kind,
            credentials,
            consumers: Vec::new(),
            apart: String::new(),
            facts: BTreeMap::new(),
            figures: BTreeMap::new(),
            message: String::new(),
            next: String::new(),
        }
    }
    pub fn of_consumer(kind: FindingKind, consumer: u32) -> Self {
        Self { consumers: vec![consumer], ..Self::on(kind, Vec::new()) }
    }
    pub fn fact(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.facts.insert(name, text.into());
        self
    }
    pub fn figure(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.figures.insert(name, text.into());
        self
    }
    pub fn says(mut self, message: impl Into<String>, next: impl Into<String>) -> Self {
        (self.message, self.next) = (message.into(), next.into());
        self
    }

    fn hash<'a>(&'a self, inventory: &'a Inventory, more: impl Iterator<Item = &'a str>) -> [u8; 10] {
        let mut hash = Sha256::new();
        let mut put = |part: &str| {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part.as_bytes());
        };
        put("finding1");
        put(&inventory.org);
        put(crate::model::Word::as_str(self.kind));
        put(&self.credentials.len().to_string());
        self.credentials.iter().for_each(|c| put(inventory.credentials[*c as usize].id.as_str()));
        self.consumers.iter().for_each(|c| put(inventory.consumers[*c as usize].id.as_str()));
        put(&self.apart);
        more.for_each(put);
        let whole = hash.finalize();
        std::array::from_fn(|n| whole[n])
    }

    /// Its id: of its kind and of what it is about, so that it is the same in each report.
    pub fn id(&self, inventory: &Inventory) -> [u8; 10] {
        self.hash(inventory, std::iter::empty())
    }

    /// A hash of its facts: an acceptance holds for as long as they stay.
    pub fn facts_hash(&self, inventory: &Inventory) -> String {
        let facts = self.facts.iter().flat_map(|(name, text)| [*name, text.as_str()]);
        shown_id(self.hash(inventory, facts))
    }
}

/// An id as people and tools are given it: sixteen letters and digits, in the order of the ids.
pub fn shown_id(id: [u8; 10]) -> String {
    data_encoding::BASE32HEX_NOPAD.encode(&id).to_lowercase()
}

/// Everything that is wrong, the most severe first, in an order that depends on nothing but the facts.
pub fn audit(inventory: &Inventory) -> Vec<([u8; 10], Finding)> {
    let mut found = Vec::new();
    for n in 0..inventory.credentials.len() {
        single::judge(inventory, n as u32, &mut found);
    }
    groups::judge(inventory, &mut found);
    consumers::judge(inventory, &mut found);
    let mut found: Vec<_> = found.into_iter().map(|f| (f.id(inventory), f)).collect();
    found.sort_by(|(a, x), (b, y)| {
        (x.kind.severity(), crate::model::Word::as_str(x.kind), a).cmp(&(
            y.kind.severity(),
            crate::model::Word::as_str(y.kind),
            b,
        ))
    });
    found
}
