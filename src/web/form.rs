//! Forms as they arrive. What may be a value is taken over as bytes that wipe themselves, and is in no error.
use crate::error::{Code, Error, Result, invalid};
use crate::secret::SecretBytes;
use axum::extract::Multipart;
use std::borrow::Cow;
use std::collections::HashMap;

/// The fields of a form without values (`application/x-www-form-urlencoded`); the last of a name counts.
pub(super) fn read(body: &[u8]) -> HashMap<Cow<'_, str>, Cow<'_, str>> {
    url::form_urlencoded::parse(body).take(100).collect()
}

/// Whether `text` can be a link.
pub(super) fn is_link(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Refuses what is no id of ours before it is looked up anywhere.
pub(super) fn expect_id(text: &str) -> Result<()> {
    match text.len() == 26 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(Error::new(Code::ApprovalNotFound, "there is nothing of this number")
            .next("Go back to the list.")),
    }
}

/// What the entry form sent.
#[derive(Default)]
pub(super) struct Entered {
    pub csrf: String,
    pub is_declined: bool,
    /// Fields that were filled in.
    pub fields: Vec<(String, SecretBytes)>,
    pub file: Option<(String, SecretBytes)>,
    /// Sealed in the browser: everything above but `csrf` is inside.
    pub sealed: Option<SecretBytes>,
}

/// Reads the entry form. Fails with `invalid_input` where it is none of ours.
pub(super) async fn entered(mut parts: Multipart) -> Result<Entered> {
    let broken = |_| invalid("the form could not be read").next("Open the page again and repeat it there.");
    let mut entered = Entered::default();
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        count += 1;
        if count > 60 {
            return Err(invalid("the form has too many fields"));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let file_name = part.file_name().map(str::to_owned);
        let bytes = part.bytes().await.map_err(broken)?;
        match name.as_str() {
            "csrf" => entered.csrf = String::from_utf8_lossy(&bytes).into_owned(),
            "decline" => entered.is_declined = !bytes.is_empty(),
            "sealed" if !bytes.is_empty() => entered.sealed = Some(SecretBytes::copied(&bytes)),
            // A file that was not chosen comes as an empty part.
            "file" if !bytes.is_empty() => {
                entered.file = Some((file_name.unwrap_or_default(), SecretBytes::copied(&bytes)));
            }
            name => {
                if let Some(field) = name.strip_prefix("f.")
                    && !bytes.is_empty()
                {
                    entered.fields.push((field.to_owned(), unix_lines(&bytes)));
                }
            }
        }
    }
    Ok(entered)
}

/// Browsers send CR LF for each line break that was typed or pasted.
fn unix_lines(bytes: &[u8]) -> SecretBytes {
    let mut plain = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            plain.push(*byte);
        }
    }
    SecretBytes::new(plain)
}

/// Without the line break at its end, and whether there was one; `invalid_input` for what no program could be given.
pub(super) fn trimmed(value: SecretBytes) -> Result<(SecretBytes, bool)> {
    let (end, size, has_nul) = value.expose(|bytes| {
        let end = bytes.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
        (end, bytes.len(), bytes.contains(&0))
    });
    if has_nul {
        return Err(Error::new(
            Code::InvalidInput,
            "the value holds a NUL byte, which no program can be given",
        )
        .next("Store it as a file."));
    }
    match end == size {
        true => Ok((value, false)),
        false => Ok((value.expose(|bytes| SecretBytes::copied(&bytes[..end])), true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_06_only_line_ends_are_touched_and_that_is_told() {
        let value = |text: &[u8]| SecretBytes::copied(text);
        let (kept, cut) = trimmed(unix_lines(b"a\r\nb\r\n")).unwrap();
        assert!(kept == value(b"a\nb") && cut);
        let (kept, cut) = trimmed(value(b"\xef\xbb\xbf  x\t ")).unwrap();
        assert!(kept == value(b"\xef\xbb\xbf  x\t ") && !cut);
        assert!(unix_lines(b"a\rb\n") == value(b"a\rb\n"));
        assert_eq!(trimmed(value(b"a\0b")).unwrap_err().code, Code::InvalidInput);
    }
}
