//! Envelope version 1: one message, its own AES-256-GCM key, and a commitment to the key it was sealed under.
//!
//! ```text
//! "CV" | fmt 01 | suite 01 | flags 00 | key_id[16] | key_ver u32 | salt[32] | commit[32] | ct_len u32 | ct | tag[16]
//! okm   = HKDF-SHA-256(key, salt, "cv1/enc/" ‖ suite ‖ SHA-256(context), 76)
//! key   = okm[0..32]   nonce = okm[32..44]   commit = okm[44..76]   associated data = header ‖ context
//! plain = kind u8 | len u32 | bytes | zeros up to the next bucket
//! ```
//! Big-endian throughout. No key ever seals two messages, so GCM's limit on messages (SP 800-38D) does not bind.
//! An unknown format, suite or flag is an error: there is no older path, no negotiation and no trial decryption.
use super::context::Context;
use super::kdf;
use super::locked::LockedKey;
use super::random::Random;
use crate::error::{Code, Error, Result};
use crate::secret::SecretBytes;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest value, bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// The longest file, bytes.
pub const MAX_FILE: usize = 1024 * 1024;

pub(crate) const HEADER: usize = 93;
pub(crate) const TAG: usize = 16;
/// The kind and length in front of the content.
const FRAME: usize = 5;
/// Contents are padded to one of these sizes, so that a length does not tell a token from a password.
const BUCKETS: [usize; 9] = [64, 128, 256, 512, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20];
const MAGIC: &[u8; 2] = b"CV";
const FORMAT: u8 = 1;
const SUITE: u8 = 1;
const FLAGS: u8 = 0;

/// What an envelope holds; it is inside the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Value,
    Key,
    File,
}

impl Content {
    const fn byte(self) -> u8 {
        match self {
            Content::Value => 1,
            Content::Key => 2,
            Content::File => 3,
        }
    }

    const fn limit(self) -> usize {
        match self {
            Content::Value => MAX_VALUE,
            Content::Key => super::locked::KEY,
            Content::File => MAX_FILE,
        }
    }
}

/// The public name and version of the key an envelope was sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName {
    pub id: [u8; 16],
    pub version: u32,
}

/// Seals `bytes` for one place. Fails with `too_large` beyond the limit of its kind.
pub(crate) fn seal(
    key: &LockedKey,
    name: KeyName,
    place: &Context<'_>,
    content: Content,
    bytes: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>> {
    if bytes.len() > content.limit() {
        return Err(Error::new(Code::TooLarge, "the value is too large to be sealed"));
    }
    let bucket =
        *BUCKETS.iter().find(|size| **size >= bytes.len()).expect("the last bucket is the largest limit");
    let ct_len = FRAME + bucket;
    let place = place.encode()?;
    let mut salt = [0u8; 32];
    random.fill(&mut salt)?;
    let okm = message_keys(key, &salt, &place)?;

    let mut out = Vec::with_capacity(HEADER + ct_len + TAG);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[FORMAT, SUITE, FLAGS]);
    out.extend_from_slice(&name.id);
    out.extend_from_slice(&name.version.to_be_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&okm[44..76]);
    out.extend_from_slice(&(ct_len as u32).to_be_bytes());
    let associated = [&out[..HEADER], &place].concat();
    out.push(content.byte());
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
    out.resize(HEADER + ct_len, 0);

    let tag = crate::secret::stack::clean(|| {
        let (cipher, nonce) = cipher(&okm);
        cipher.encrypt_inout_detached(&nonce.into(), &associated, InOutBuf::from(&mut out[HEADER..]))
    })
    .expect("the message is far below the limit of GCM");
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Reads the header and nothing else; fails with `bad_envelope` if it is not exactly version 1.
pub(crate) fn parse(sealed: &[u8]) -> Result<Parsed<'_>> {
    const MALFORMED: &str = "a sealed value is not a version 1 envelope";
    let bad = || Error::new(Code::BadEnvelope, MALFORMED);
    let (header, rest) = sealed.split_at_checked(HEADER).ok_or_else(bad)?;
    if &header[..2] != MAGIC || header[2..5] != [FORMAT, SUITE, FLAGS] {
        return Err(bad());
    }
    let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|n| header[at + n]));
    let ct_len = number(89) as usize;
    if !BUCKETS.iter().any(|bucket| bucket + FRAME == ct_len) || rest.len() != ct_len + TAG {
        return Err(bad());
    }
    let name = KeyName { id: std::array::from_fn(|n| header[5 + n]), version: number(21) };
    let (ciphertext, tag) = rest.split_at(ct_len);
    Ok(Parsed { name, header, ciphertext, tag })
}

/// An envelope that is well formed; whether it is authentic is not known yet.
pub(crate) struct Parsed<'a> {
    pub name: KeyName,
    header: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a [u8],
}

impl Parsed<'_> {
    /// Opens it with the one key it may have been sealed under, in the one place it may stand.
    ///
    /// Fails with `integrity_failure` if key, place or a single bit is another; the commitment is compared
    /// first, so a ciphertext made to open under two keys never reaches GCM.
    pub fn open(&self, key: &LockedKey, place: &Context<'_>, allowed: &[Content]) -> Result<SecretBytes> {
        let broken =
            || Error::new(Code::Integrity, "a sealed value was changed, or does not belong where it stands");
        let place = place.encode()?;
        let okm = message_keys(key, &self.header[25..57], &place)?;
        if !bool::from(okm[44..76].ct_eq(&self.header[57..89])) {
            return Err(broken());
        }
        #[cfg(test)]
        GCM_OPENS.with(|opens| opens.set(opens.get() + 1));

        let mut plain = Zeroizing::new(self.ciphertext.to_vec());
        let tag: [u8; TAG] = self.tag.try_into().expect("parse split off exactly a tag");
        let associated = [self.header, &place].concat();
        crate::secret::stack::clean(|| {
            let (cipher, nonce) = cipher(&okm);
            let text = InOutBuf::from(plain.as_mut_slice());
            cipher.decrypt_inout_detached(&nonce.into(), &associated, text, &tag.into())
        })
        .map_err(|_| broken())?;
        unframe(&plain, allowed)
    }
}

#[cfg(test)]
thread_local! {
    /// How often GCM was asked to open something, for the tests that show it was not.
    pub(crate) static GCM_OPENS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn message_keys(key: &LockedKey, salt: &[u8], place: &[u8]) -> Result<Box<Zeroizing<[u8; 76]>>> {
    let mut okm = Box::new(Zeroizing::new([0u8; 76]));
    let place: [u8; 32] = Sha256::digest(place).into();
    key.expose(|k| kdf::expand(k, salt, &[b"cv1/enc/", &[SUITE], &place], okm.as_mut_slice()))?;
    Ok(okm)
}

fn cipher(okm: &[u8; 76]) -> (Aes256Gcm, [u8; 12]) {
    let cipher = Aes256Gcm::new_from_slice(&okm[..32]).expect("32 bytes are an AES-256 key");
    (cipher, std::array::from_fn(|n| okm[32 + n]))
}

/// The content of an authentic frame; only our own sealing could have made a frame that fails here.
fn unframe(plain: &[u8], allowed: &[Content]) -> Result<SecretBytes> {
    let bad = || Error::new(Code::BadEnvelope, "a sealed value has an unknown inner form");
    let (frame, rest) = plain.split_at_checked(FRAME).ok_or_else(bad)?;
    let content = allowed.iter().find(|content| content.byte() == frame[0]).ok_or_else(bad)?;
    let len = u32::from_be_bytes(std::array::from_fn(|n| frame[1 + n])) as usize;
    let (bytes, padding) = rest.split_at_checked(len).ok_or_else(bad)?;
    let bucket = BUCKETS.iter().find(|size| **size >= len);
    if len > content.limit() || bucket != Some(&rest.len()) || padding.iter().any(|b| *b != 0) {
        return Err(bad());
    }
    Ok(SecretBytes::copied(bytes))
}
