//! The head of an answer: what goes on to the caller of what the service said.
use super::links;
use super::way::{Way, only};
use crate::services::Placement;
use http::header::{self, Entry, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

/// What a hop keeps to itself, what is about the service's own host and means nothing under ours, and what speaks to
/// browsers, which are not served.
const DROPPED: &[&str] = &[
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "keep-alive",
    "nel",
    "public-key-pins",
    "report-to",
    "service-worker-allowed",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const DROPPED_STARTS: &[&str] = &["access-control-", "proxy-"];

/// Whether the body is packed, so that nobody could look through it.
pub(in crate::inject) fn is_packed(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| {
        let mut all = coding.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
        all.any(|one| !one.is_empty() && !one.eq_ignore_ascii_case(b"identity"))
    })
}

/// Leaves out what goes no further, and lets redirects and links lead back here where they may. `base` is what clients
/// type before our paths.
pub(super) fn clean(headers: &mut HeaderMap, way: &Way, placement: &Placement, base: &str) {
    let is_dropped = |name: &str| {
        DROPPED.binary_search(&name).is_ok()
            || DROPPED_STARTS.iter().any(|start| name.starts_with(start))
            || (name == "set-cookie" && !way.limits.cookies)
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    dropped.iter().for_each(|name| while headers.remove(name).is_some() {});
    let parameter = match placement {
        Placement::Query { name } => Some(name.as_str()),
        _ => None,
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let said = only(headers, name.as_str()).and_then(|value| value.to_str().ok());
        let told = said.map(|said| HeaderValue::from_str(&way.redirect(said, parameter)));
        match told {
            Some(Ok(told)) => drop(headers.insert(name, told)),
            // Several of them, or none that can be read: nobody knows which one a client would follow.
            _ => while headers.remove(&name).is_some() {},
        }
    }
    let Entry::Occupied(mut all) = headers.entry(header::LINK) else { return };
    for value in all.iter_mut() {
        let told = value
            .to_str()
            .ok()
            .and_then(|said| links::retold(said, |target| way.link(target, base, parameter)))
            .and_then(|told| HeaderValue::from_str(&told).ok());
        if let Some(told) = told {
            *value = told;
        }
    }
}

/// Answers that have no body, whatever their headers say (RFC 9112 §6.3).
pub(super) fn has_no_body(status: StatusCode, is_head: bool) -> bool {
    is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_what_is_dropped_is_sorted() {
        assert!(DROPPED.is_sorted());
    }

    #[test]
    fn a_packed_body_is_known_by_any_coding_that_is_not_identity() {
        for (coding, packed) in [("gzip", true), ("identity", false), ("identity, br", true), ("", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            assert_eq!(is_packed(&headers), packed, "{coding}");
        }
    }
}
