//! The file as JSON with comments: decoded, limited, and with a line for everything that is wrong.
use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ParseResult, parse_to_ast};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

/// The largest file that is read; the state file of Claude Code grows to megabytes.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// The text without its byte order mark, and whether it had one.
pub(super) fn decode(bytes: &[u8]) -> Result<(Zeroizing<String>, bool)> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Error::new(Code::TooLarge, "the file is larger than 8 MiB")
            .next("Check that this is the configuration file of an MCP client."));
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(
            Error::new(Code::InvalidFile, "the file is UTF-16").next("Save it as UTF-8, then try again.")
        );
    }
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF");
    let text = std::str::from_utf8(body.unwrap_or(bytes)).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        broken(line, "this is not UTF-8").next("Save the file as UTF-8, then try again.")
    })?;
    Ok((Zeroizing::new(text.to_owned()), body.is_some()))
}

/// What the clients of these files take: comments and trailing commas, and nothing else that JSON has not.
pub(super) fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The tree of the file, with its comments beside it.
pub(super) fn parse(text: &str) -> Result<ParseResult<'_>> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::Separate, tokens: false };
    // The parser's own message may quote the file, so only its place is used.
    parse_to_ast(text, &collect, &options()).map_err(|error| {
        broken(line_of(text, error.range().start), "this is not JSON, with or without comments")
    })
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

pub(super) fn broken(line: usize, what: &str) -> Error {
    Error::new(Code::InvalidFile, format!("line {line}: {what}"))
        .next("Correct the file, or choose the one that the client reads; nothing was changed.")
}

/// The property `key` of `object`.
///
/// Fails when it stands there twice: parsers differ about which one counts.
pub(super) fn only<'n, 'a>(
    text: &str,
    object: &'n Object<'a>,
    key: &str,
) -> Result<Option<&'n ObjectProp<'a>>> {
    let mut found = object.properties.iter().filter(|property| property.name.as_str() == key);
    let first = found.next();
    match found.next() {
        Some(second) => Err(broken(line_of(text, second.range.start), "a key stands here a second time")),
        None => Ok(first),
    }
}

/// The properties of an object in which no key stands twice.
pub(super) fn distinct<'n, 'a>(text: &str, object: &'n Object<'a>) -> Result<&'n [ObjectProp<'a>]> {
    let mut seen = std::collections::HashSet::new();
    match object.properties.iter().find(|property| !seen.insert(property.name.as_str())) {
        Some(again) => Err(broken(line_of(text, again.range.start), "a key stands here a second time")),
        None => Ok(&object.properties),
    }
}

/// Where a value stands, its quotes or brackets included.
pub(super) fn range(value: &Value<'_>) -> std::ops::Range<usize> {
    value.start()..value.end()
}
