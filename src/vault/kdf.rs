//! Keys out of keys: HKDF-SHA-256 (RFC 5869) with a label for each purpose, HMAC, and public names for keys.
//!
//! One key has one purpose: a label used here is used nowhere else.
use super::context::tuple_hash;
use super::locked::LockedKey;
use crate::error::{Result, internal};
use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

/// HKDF-SHA-256 of `ikm` and `salt`, expanded with the concatenation of `info`, written into `out`.
pub(crate) fn expand(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    crate::secret::stack::clean(|| {
        let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
        extract.input_ikm(ikm);
        let (mut prk, hkdf) = extract.finalize();
        prk.as_mut_slice().zeroize();
        hkdf.expand_multi_info(info, out).map_err(|_| internal("a key was asked for that is too long"))
    })
}

/// The subkey of `key` for one purpose.
pub(crate) fn subkey(key: &LockedKey, label: &str) -> Result<LockedKey> {
    LockedKey::filled(|out| key.expose(|k| expand(k, &[], &[b"cv1/sub/", label.as_bytes()], out)))
}

/// HMAC-SHA-256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &LockedKey, parts: &[&[u8]]) -> [u8; 32] {
    crate::secret::stack::clean(|| {
        key.expose(|k| {
            let mut mac = Hmac::<Sha256>::new_from_slice(k).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        })
    })
}

/// The public name of the key that plays `role` in a place: what an envelope's key id must say.
pub(crate) fn key_id(role: &str, place: &[&str]) -> [u8; 16] {
    let mut parts: Vec<&[u8]> = vec![b"cv1/key-id", role.as_bytes()];
    parts.extend(place.iter().map(|part| part.as_bytes()));
    let hash = tuple_hash(&parts);
    std::array::from_fn(|n| hash[n])
}
