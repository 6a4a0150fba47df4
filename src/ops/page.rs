//! Where the next page of a list begins: the place of the last row in the order name, id.
//!
//! It grants nothing: every page checks permission again.
use crate::error::{Result, invalid};

pub(super) fn mark(name_key: &str, id: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("{name_key}\n{id}").as_bytes())
}

/// Name and id of a mark. Fails with `invalid_input` for what is none of ours.
pub(super) fn read_mark(text: &str) -> Result<(String, String)> {
    let wrong = || {
        invalid("this cursor is not one of ours").next("Call again without a cursor, from the first page.")
    };
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (name, id) = text.split_once('\n').ok_or_else(wrong)?;
    let fits = |s: &str| s.len() <= 64 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match fits(name) && fits(id) {
        true => Ok((name.to_owned(), id.to_owned())),
        false => Err(wrong()),
    }
}
