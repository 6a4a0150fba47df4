//! Secret values: wiped on drop, unprintable, unserialisable, compared in constant time.
//!
//! This module refuses to hand a value out: it only lends it, for the length of one closure.
pub(crate) mod stack;

use crate::error::{Result, internal};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// SHA-256 of what is looked up by its hash. Nothing of the text stays in the working state or on the stack.
pub fn looked_up_by(text: &[u8]) -> [u8; 32] {
    stack::clean(|| {
        let mut hash = Box::new(Sha256::new());
        Digest::update(&mut *hash, text);
        hash.finalize_reset().into()
    })
}

/// 256 random bits as text of 43 characters, for an address or a cookie that nobody guesses.
pub fn unguessable() -> Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|_| internal("the operating system gave no random bytes"))?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(&random))
}

/// Text that must never reach a log, an error, an audit row or a tool result.
///
/// There is no `Serialize`, no `Display`, no `Clone` and no `Deref`: the only way to the characters is
/// [`Secret::expose`], so `rg '\.expose\('` lists every place they leave.
///
/// ```compile_fail,E0277
/// let s = unsaid::secret::Secret::new(String::from("x"));
/// serde_json::to_string(&s).unwrap();
/// ```
/// ```compile_fail,E0277
/// let s = unsaid::secret::Secret::new(String::from("x"));
/// println!("{s}");
/// ```
/// ```compile_fail,E0599
/// let s = unsaid::secret::Secret::new(String::from("x"));
/// let copy = s.clone();
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; whoever made the `String` must not have grown it from a smaller one.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Lends the characters to `use_it` and to nothing that outlives the call.
    pub fn expose<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        use_it(&self.0)
    }

    /// The same value as bytes, taking the buffer over without a copy.
    pub fn into_bytes(mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut *self.0).into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// Bytes that must never reach a log, an error, an audit row or a tool result; see [`Secret`].
///
/// ```compile_fail,E0277
/// let s = unsaid::secret::SecretBytes::new(vec![1]);
/// serde_json::to_string(&s).unwrap();
/// ```
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A copy of bytes that somebody else owns and wipes.
    pub fn copied(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// Lends the bytes to `use_it` and to nothing that outlives the call.
    pub fn expose<R>(&self, use_it: impl FnOnce(&[u8]) -> R) -> R {
        use_it(&self.0)
    }

    /// How many bytes there are. For limits and framing only: a length is never shown to anybody.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_names_the_type_and_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Secret::new("abc".into())), "Secret(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(vec![1, 2])), "SecretBytes(..)");
    }

    #[test]
    fn comparison_sees_content_and_length() {
        assert_eq!(Secret::new("a".into()), Secret::new("a".into()));
        assert_ne!(Secret::new("a".into()), Secret::new("ab".into()));
        assert_ne!(SecretBytes::new(vec![1]), SecretBytes::new(vec![2]));
    }
}
