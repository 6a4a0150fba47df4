//! What one person's report remembers of the ones before: for the comparison, and so that a report is no way to try out values.
//!
//! Kept sealed, for it says which values are equal. One row a person.
use crate::clock::Millis;
use crate::error::{Error, Result, internal};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::hygiene::kept::KeptReport;
use crate::model::hygiene::{Finding, FindingKind, Inventory};
use crate::store::{Reader, Writer};
use crate::vault::{Context, Vault};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// How many differing sets of values are compared with each other for one person within [`WINDOW_MS`] (C-33).
pub const MOST_DIFFERING: usize = 4;
/// One hour.
pub const WINDOW_MS: i64 = 60 * 60 * 1000;
/// How many findings are remembered, the most severe first.
const MOST_KEPT: usize = 25_000;
/// An id, the place of its kind in the list of kinds, and the id of what it is about.
const ENTRY: usize = 10 + 1 + 26;

/// One finding as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub kind: FindingKind,
    /// Id of the first credential or consumer that it is about.
    pub about: String,
}

/// The findings of one report by id.
pub type Findings = HashMap<[u8; 10], Remembered>;

/// The last differing report, and the one before it.
#[derive(Debug, Default)]
pub struct Memory {
    pub row: Option<KeptReport>,
    pub last: Findings,
    pub earlier: Findings,
}

/// A digest of which values would be compared: it changes with every value that is added or replaced.
pub fn digest(inventory: &Inventory, versions: &[Option<i64>]) -> String {
    let mut hash = Sha256::new();
    for (s, version) in inventory.credentials.iter().zip(versions).filter(|(s, _)| !s.prints.is_empty()) {
        hash.update(s.id.as_str());
        hash.update(version.unwrap_or_default().to_be_bytes());
    }
    data_encoding::BASE32_NOPAD.encode(&hash.finalize()[..10])
}

fn context<'a>(instance: &'a str, row: &'a KeptReport) -> Context<'a> {
    Context {
        instance,
        org: row.org_id.as_str(),
        table: "hygiene_report",
        record: row.user_id.as_str(),
        version: row.number as u64,
        field: "report",
        scope: "",
        owner: row.user_id.as_str(),
        policy: [0; 32],
    }
}

fn packed(all: &Findings) -> Vec<u8> {
    let mut entries: Vec<_> = all.iter().collect();
    entries.sort_by_key(|(id, _)| **id);
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    for (id, one) in entries {
        bytes.extend_from_slice(id);
        let kind = FindingKind::WORDS.iter().position(|(_, kind)| *kind == one.kind).unwrap_or_default();
        bytes.push(kind as u8);
        let mut about = [0u8; 26];
        std::iter::zip(&mut about, one.about.bytes()).for_each(|(to, from)| *to = from);
        bytes.extend_from_slice(&about);
    }
    bytes
}

fn unpacked(bytes: &[u8]) -> Findings {
    let entry = |bytes: &[u8]| {
        let id: [u8; 10] = bytes.get(..10)?.try_into().ok()?;
        let (_, kind) = FindingKind::WORDS.get(usize::from(*bytes.get(10)?))?;
        let about = String::from_utf8(bytes.get(11..)?.iter().copied().filter(|b| *b != 0).collect()).ok()?;
        Some((id, Remembered { kind: *kind, about }))
    };
    bytes.chunks_exact(ENTRY).filter_map(entry).collect()
}

impl Memory {
    pub fn read(tx: &Reader<'_>, vault: &Vault, caller: &Caller) -> Result<Self> {
        let Some(row) =
            tx.find::<KeptReport>(&[caller.user.as_str()])?.filter(|row| row.org_id == caller.org)
        else {
            return Ok(Self::default());
        };
        let place = context(vault.instance(), &row);
        let key = vault.open_data_key(&place, &row.wrapped_key)?;
        let open = |field, sealed: &[u8]| -> Result<Findings> {
            Ok(key.open(&place.field(field), sealed)?.expose(unpacked))
        };
        let (last, earlier) = (open("last", &row.sealed)?, open("earlier", &row.sealed_earlier)?);
        Ok(Self { last, earlier, row: Some(row) })
    }

    /// The sets of values that were compared within the hour before `now`.
    fn looked(&self, now: Millis) -> Vec<(String, String)> {
        let is_recent = |at: &str| at.parse::<i64>().is_ok_and(|at| at > now.0 - WINDOW_MS && at <= now.0);
        let all = self.row.iter().flat_map(|row| row.looked.iter());
        all.filter(|(_, at)| is_recent(at)).cloned().collect()
    }

    /// Whether this set of values may be compared now; else from when on another may.
    pub fn may_compare(&self, digest: &str, now: Millis) -> Result<(), Millis> {
        let looked = self.looked(now);
        if looked.len() < MOST_DIFFERING || looked.iter().any(|(one, _)| one == digest) {
            return Ok(());
        }
        let first = looked.iter().filter_map(|(_, at)| at.parse::<i64>().ok()).min().unwrap_or(now.0);
        Err(Millis(first + WINDOW_MS + 1))
    }

    /// Whether a report of these findings over this set of values is one that was made already.
    pub fn has(&self, findings: &Findings, digest: Option<&str>, now: Millis) -> bool {
        let has_looked = digest.is_none_or(|digest| self.looked(now).iter().any(|(one, _)| one == digest));
        self.row.is_some() && self.last == *findings && has_looked
    }

    /// With which report this one is compared: the last that differed. `None`: there was none.
    pub fn compared(&self, findings: &Findings) -> Option<(Millis, &Findings)> {
        let row = self.row.as_ref()?;
        match self.last == *findings {
            true => row.earlier_at.map(|at| (at, &self.earlier)),
            false => Some((row.made_at, &self.last)),
        }
    }

    /// Keeps a report. Call it in the transaction that records it.
    pub fn keep(
        self,
        tx: &mut Writer<'_>,
        vault: &Vault,
        findings: &Findings,
        digest: Option<&str>,
    ) -> Result<()> {
        let (now, caller) = (tx.now(), tx.caller().clone());
        let mut looked = self.looked(now);
        if let Some(digest) = digest.filter(|digest| !looked.iter().any(|(one, _)| one == digest)) {
            looked.push((digest.to_owned(), now.0.to_string()));
        }
        let is_same = self.row.is_some() && self.last == *findings;
        let (made_at, earlier_at, earlier) = match (&self.row, is_same) {
            (Some(row), true) => (row.made_at, row.earlier_at, &self.earlier),
            (Some(row), false) => (now, Some(row.made_at), &self.last),
            (None, _) => (now, None, &self.earlier),
        };
        let mut row = KeptReport {
            user_id: caller.user.clone(),
            org_id: caller.org.clone(),
            number: self.row.as_ref().map_or(0, |row| row.number) + 1,
            made_at,
            earlier_at,
            wrapped_key: Vec::new(),
            key_version: vault.active_version(&caller.org)?,
            sealed: Vec::new(),
            sealed_earlier: Vec::new(),
            looked,
            revision: self.row.as_ref().map_or(0, |row| row.revision),
        };
        let (wrapped, last, earlier) = {
            let place = context(vault.instance(), &row);
            let (key, wrapped) = vault.new_data_key(&place)?;
            let last = key.seal_file(&place.field("last"), &packed(findings))?;
            (wrapped, last, key.seal_file(&place.field("earlier"), &packed(earlier))?)
        };
        (row.wrapped_key, row.sealed, row.sealed_earlier) = (wrapped, last, earlier);
        match self.row {
            Some(_) => tx.save(&mut row),
            None => tx.insert(&mut row),
        }
    }
}

/// What of a report is remembered.
pub fn remembered(inventory: &Inventory, found: &[([u8; 10], Finding)]) -> Result<Findings> {
    let about = |f: &Finding| -> Result<String> {
        let missing = || -> Error { internal("a finding is about nothing") };
        match (f.credentials.first(), f.consumers.first()) {
            (Some(n), _) => Ok(inventory.credentials[*n as usize].id.0.clone()),
            (None, Some(n)) => Ok(inventory.consumers[*n as usize].id.0.clone()),
            (None, None) => Err(missing()),
        }
    };
    found
        .iter()
        .take(MOST_KEPT)
        .map(|(id, f)| Ok((*id, Remembered { kind: f.kind, about: about(f)? })))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_comes_out() {
        let one = |kind, about: &str| Remembered { kind, about: about.into() };
        let all = Findings::from([
            ([1; 10], one(FindingKind::Expired, "01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            ([2; 10], one(FindingKind::Unused30, "short")),
        ]);

        assert_eq!(unpacked(&packed(&all)), all);
        assert!(unpacked(&[]).is_empty() && unpacked(&[0; 36]).is_empty());
    }
}
