//! The style sheet and the scripts, from the program itself.
use super::answer::Answer;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

const ASSETS: [(&str, &str, &str); 3] = [
    ("unsaid.css", "text/css; charset=utf-8", include_str!("assets/unsaid.css")),
    ("entry.js", "text/javascript; charset=utf-8", include_str!("assets/entry.js")),
    ("session.js", "text/javascript; charset=utf-8", include_str!("assets/session.js")),
];

pub(super) async fn get(Path(wanted): Path<String>) -> Response {
    match ASSETS.iter().find(|(name, ..)| *name == wanted) {
        // Small, and asked for again rather than kept: a new program may have new ones.
        Some((_, kind, text)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *text).into_response()
        }
        None => Answer::nothing_here().into_response(),
    }
}

/// Browsers ask for it by themselves.
pub(super) async fn no_icon() -> axum::http::StatusCode {
    axum::http::StatusCode::NO_CONTENT
}
