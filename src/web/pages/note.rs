//! The pages that only tell something: done, used, expired, foreign, refused.

use maud::{Markup, html};

use super::{Frame, Session, document, facts, marked, warnings};

/// What happened and what to do next.
#[derive(Clone, Debug, Default)]
pub struct Note {
    pub title: String,
    pub message: String,
    pub next: String,
    /// Where to go on: a path of the session, and its words.
    pub link: Option<(String, String)>,
    pub is_error: bool,
    pub session: Option<Session>,
}

/// One message, and its next step.
#[must_use]
pub fn note(v: &Note) -> Markup {
    let frame = Frame {
        title: &v.title,
        session: v.session.as_ref(),
        is_error: v.is_error,
        // A failure may be of any address: also of one that a provider sent the browser back to.
        hides_path: v.is_error,
        ..Frame::default()
    };
    let content = html! {
        div .card {
            div role=(if v.is_error { "alert" } else { "status" }) {
                h1 { (v.title) }
                p .lead { (v.message) }
                @if !v.next.is_empty() { p { (marked(&v.next)) } }
            }
            @if let (Some((path, text)), Some(session)) = (&v.link, &v.session) {
                p { a .button href={ (session.base) (path) } { (text) } }
            }
        }
    };
    document(&frame, &content)
}

/// What was stored, in words: names and what was recognised, never a value.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub heading: String,
    pub facts: Vec<(String, String)>,
    pub recognised: Option<String>,
    pub warnings: Vec<String>,
    pub session: Option<Session>,
}

/// The end of an entry.
#[must_use]
pub fn done(v: &Done) -> Markup {
    let frame = Frame { title: "Done", session: v.session.as_ref(), ..Frame::default() };
    let content = html! {
        div .card {
            h1 { bdi { (v.heading) } }
            div .callout .good role="status" {
                p {
                    "You can close this page. The assistant can see that it is done, and nothing else."
                }
            }
            @if let Some(recognised) = &v.recognised { p { "Recognised as: " strong { (recognised) } } }
            (facts(&v.facts))
            (warnings(&v.warnings))
        }
    };
    document(&frame, &content)
}
