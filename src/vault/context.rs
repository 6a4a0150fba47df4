//! Where a sealed value belongs: everything that can differ between two rows, in one unambiguous encoding.
//!
//! A value moved to another row, field, version, owner or destination does not open there.
use crate::error::{Result, internal};
use sha2::{Digest, Sha256};

/// The longest encoding, bytes.
pub const MAX_CONTEXT: usize = 4 * 1024;

/// The place of one sealed value. An unused part is empty, or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    pub instance: &'a str,
    pub org: &'a str,
    pub table: &'a str,
    pub record: &'a str,
    pub version: u64,
    pub field: &'a str,
    pub scope: &'a str,
    pub owner: &'a str,
    /// SHA-256 of the provider's endpoints for client secrets and tokens, so that a re-pointed provider cannot
    /// have them; zeros where no destination is bound.
    pub policy: [u8; 32],
}

impl<'a> Context<'a> {
    /// The same place, another field.
    pub fn field(self, field: &'a str) -> Self {
        Self { field, ..self }
    }

    /// `"cv1"`, then each part as a 4-byte big-endian length and its bytes. Injective: the number of parts is fixed.
    ///
    /// Fails with `internal` beyond [`MAX_CONTEXT`]: names are bounded long before they come here.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let version = self.version.to_be_bytes();
        let parts: [&[u8]; 10] = [
            b"cv1",
            self.instance.as_bytes(),
            self.org.as_bytes(),
            self.table.as_bytes(),
            self.record.as_bytes(),
            &version,
            self.field.as_bytes(),
            self.scope.as_bytes(),
            self.owner.as_bytes(),
            &self.policy,
        ];
        let size: usize = parts.iter().map(|part| part.len() + 4).sum();
        if size > MAX_CONTEXT {
            return Err(internal("the place of a sealed value is longer than 4 KiB"));
        }
        Ok(tuple(&parts))
    }
}

/// Each part as a 4-byte big-endian length and its bytes.
pub(crate) fn tuple(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// SHA-256 of [`tuple`].
pub(crate) fn tuple_hash(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(tuple(parts)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::random::{Random, Seeded};
    use std::collections::HashMap;

    fn words(random: &Seeded) -> [String; 7] {
        let mut bytes = [0u8; 21];
        random.fill(&mut bytes).unwrap();
        std::array::from_fn(|n| {
            let length = bytes[n * 3] % 3;
            bytes[n * 3 + 1..].iter().take(length.into()).map(|b| char::from(b'a' + b % 2)).collect()
        })
    }

    #[test]
    fn x_02_two_different_places_never_have_one_encoding() {
        let random = Seeded::new(2);
        let mut seen: HashMap<Vec<u8>, ([String; 7], u64)> = HashMap::new();

        for n in 0..50_000u64 {
            let (w, version) = (words(&random), n % 3);
            let [instance, org, table, record, field, scope, owner] = w.each_ref().map(String::as_str);
            let place =
                Context { instance, org, table, record, version, field, scope, owner, policy: [0; 32] };
            let encoded = place.encode().unwrap();
            let before = seen.insert(encoded, (w.clone(), version));
            assert!(before.is_none_or(|before| before == (w, version)));
        }
    }

    #[test]
    fn x_02_a_letter_cannot_move_from_one_part_to_the_next() {
        let place = |instance, org| Context {
            instance,
            org,
            table: "",
            record: "",
            version: 0,
            field: "",
            scope: "",
            owner: "",
            policy: [0; 32],
        };

        assert_ne!(place("ab", "c").encode().unwrap(), place("a", "bc").encode().unwrap());
        assert!(place(&"x".repeat(5000), "").encode().is_err());
    }
}
