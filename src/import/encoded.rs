//! Base64 as other programs write it into their files.
use crate::secret::{Secret, SecretBytes};
use data_encoding::BASE64;
use zeroize::Zeroizing;

/// The bytes behind `text`, which may be broken into lines. `None` where it is no base64.
pub(super) fn bytes(text: &Secret) -> Option<SecretBytes> {
    text.expose(|text| {
        let mut kept = Zeroizing::new(Vec::with_capacity(text.len()));
        kept.extend(text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
        BASE64.decode(&kept).ok().map(SecretBytes::new)
    })
}

/// The bytes as text. `None` where they are no UTF-8, or have a NUL, which no variable can hold.
pub(super) fn text(bytes: &SecretBytes) -> Option<Secret> {
    bytes.expose(|bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        (!text.contains('\0')).then(|| super::secret(text))
    })
}

/// User and password behind the base64 of `user:password` (RFC 7617 §2).
pub(super) fn login(encoded: &Secret) -> Option<(Secret, Secret)> {
    text(&bytes(encoded)?)?.expose(|text| {
        let (user, password) = text.split_once(':')?;
        Some((super::secret(user), super::secret(password)))
    })
}
