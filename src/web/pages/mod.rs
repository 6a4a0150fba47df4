//! The look of every web page: view in, one full HTML document out.
//!
//! Nothing here decides, stores or reads a value: a view holds names and sentences, all of them written
//! through maud's escaping, and no page can be filled with what was entered before.
//! Each page works with script off.

mod approvals;
mod connect;
mod entry;
mod note;
mod providers;
mod sign_in;

use std::fmt;

use maud::{DOCTYPE, Markup, Render, html};

pub use approvals::{ApprovalPage, ApprovalRow, Home, approval, approvals, home};
pub use connect::{
    AskedToLeave, ConnectForm, Connected, DeviceCode, Leaving, OtherAccount, asked_to_leave, connect,
    connected, device_code, leaving, other_account,
};
pub use entry::{Asked, EntryForm, Field, SealTo, entry};
pub use note::{Done, Note, done, note};
pub use providers::{ProviderForm, ProviderRow, provider_form, providers};
pub use sign_in::{CodeForm, ConfirmSignIn, SignIn, code_form, confirm_sign_in, sign_in, signed_out};

/// What the browser tells others of where it was: nothing. (`no-referrer` would make it send `Origin: null` with our
/// own forms, which the guard in front refuses: Fetch, "append a request Origin header".)
const REFERRER: &str = "same-origin";
/// Of a page whose own address nobody is to learn, not even we: the origin alone, for our forms want one.
const HIDDEN_PATH: &str = "strict-origin";

/// Who is signed in, for the header. `base` is the session's path prefix, without a trailing slash.
#[derive(Clone, Default)]
pub struct Session {
    pub base: String,
    pub login: String,
    pub org: String,
    pub csrf: String,
    pub is_admin: bool,
}

/// Leaves out `base` and `csrf`: both open the session.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("login", &self.login)
            .field("org", &self.org)
            .field("is_admin", &self.is_admin)
            .finish_non_exhaustive()
    }
}

/// What differs from page to page around its content. The title names the kind of page, nothing else.
#[derive(Default)]
struct Frame<'a> {
    title: &'a str,
    session: Option<&'a Session>,
    here: &'a str,
    is_error: bool,
    link: Option<&'a str>,
    is_signed_out: bool,
    /// Its address holds what is nobody's business: the code of a consent.
    hides_path: bool,
}

fn document(frame: &Frame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content=(if frame.hides_path { HIDDEN_PATH } else { REFERRER });
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { @if frame.is_error { "Error: " } (frame.title) " · unsaid" }
                link rel="stylesheet" href="/assets/unsaid.css";
                script type="module" defer src="/assets/session.js" {}
                script type="module" defer src="/assets/entry.js" {}
            }
            body data-session=[frame.session.map(|s| &s.base)] data-link=[frame.link]
                data-signed-out[frame.is_signed_out] {
                a .skip href="#main" { "Skip to the content" }
                (header(frame))
                main #main tabindex="-1" { (content) }
                footer { p { "What you enter is kept encrypted. No page shows it again, not even to you." } }
            }
        }
    }
}

fn header(frame: &Frame<'_>) -> Markup {
    html! {
        header {
            div .bar {
                p .mark { "unsaid" }
                @if let Some(s) = frame.session {
                    nav aria-label="Main" {
                        ul {
                            (nav_link(s, frame.here, "/", "Home"))
                            (nav_link(s, frame.here, "/approvals", "Approvals"))
                            @if s.is_admin { (nav_link(s, frame.here, "/providers", "Providers")) }
                        }
                    }
                    form .who method="post" action={ (s.base) "/sign-out" } autocomplete="off" {
                        (csrf(&s.csrf))
                        p { "Signed in as " strong { bdi { (s.login) } } " · " bdi { (s.org) } }
                        button .quiet type="submit" { "Sign out" }
                    }
                }
            }
        }
    }
}

fn nav_link(session: &Session, here: &str, path: &str, text: &str) -> Markup {
    html! {
        li { a href={ (session.base) (path) } aria-current=[(here == path).then_some("page")] { (text) } }
    }
}

/// The hidden field that proves the form came from this session; nothing where there is no session yet.
fn csrf(token: &str) -> Markup {
    html! { @if !token.is_empty() { input type="hidden" name="csrf" value=(token); } }
}

/// The sentence above a form that was refused; its id is what the fields' `aria-describedby` names.
fn refusal(error: Option<&str>) -> Markup {
    html! { @if let Some(error) = error { div .callout .bad role="alert" #error { p { (error) } } } }
}

/// A sentence whose `marks` are commands and names, as our messages write them.
fn marked(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn warnings(list: &[String]) -> Markup {
    html! {
        @if !list.is_empty() {
            section .callout .care aria-label="Before you go on" { ul { @for w in list { li { (w) } } } }
        }
    }
}

fn facts(list: &[(String, String)]) -> Markup {
    html! {
        @if !list.is_empty() {
            dl .facts { @for (label, text) in list { (fact(label, &html! { (text) })) } }
        }
    }
}

fn fact(label: &str, text: &Markup) -> Markup {
    html! { div { dt { (label) } dd { bdi { (text) } } } }
}

/// The ids a control is described by: its hint and, after a refusal, the refusal.
fn described(hint_id: Option<&str>, is_refused: bool) -> Option<String> {
    match (hint_id, is_refused) {
        (Some(hint), true) => Some(format!("{hint} error")),
        (Some(hint), false) => Some(hint.to_owned()),
        (None, true) => Some("error".to_owned()),
        (None, false) => None,
    }
}

/// A point in time: RFC 3339 in UTC is written for people, anything else as it came.
/// `is_expiry` asks the script to count down to it.
struct Moment<'a> {
    text: &'a str,
    is_expiry: bool,
}

impl Moment<'_> {
    fn spoken(&self) -> Option<String> {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (date, time) = self.text.strip_suffix('Z')?.split_once('T')?;
        let mut parts = date.splitn(3, '-').map(str::parse::<usize>);
        let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        Some(format!("{day} {} {year}, {} UTC", MONTHS.get(month.checked_sub(1)?)?, time.get(..5)?))
    }
}

impl Render for Moment<'_> {
    fn render(&self) -> Markup {
        match self.spoken() {
            Some(spoken) => html! {
                time datetime=(self.text) data-expires=[self.is_expiry.then_some(self.text)] { (spoken) }
            },
            None => html! { (self.text) },
        }
    }
}

fn at(text: &str) -> Moment<'_> {
    Moment { text, is_expiry: false }
}

fn until(text: &str) -> Moment<'_> {
    Moment { text, is_expiry: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = r#""><script>alert(1)</script><img src=x onerror=alert(1)>"#;

    #[test]
    fn text_of_others_never_becomes_markup() {
        let s = || HOSTILE.to_owned();
        let asked = Asked { by: s(), client: s(), at: s(), expires: s() };
        let field = Field { name: s(), label: s(), hint: s(), ..Field::default() };
        let form = EntryForm {
            action: s(),
            csrf: s(),
            heading: s(),
            asked,
            facts: vec![(s(), s())],
            warnings: vec![s()],
            used_by: vec![s()],
            fields: vec![field],
            is_file: true,
            command: s(),
            error: Some(s()),
            session: Some(Session { base: s(), login: s(), org: s(), csrf: s(), is_admin: true }),
            ..EntryForm::default()
        };

        let page = entry(&form).into_string();

        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    }

    #[test]
    fn a_session_is_written_to_no_log() {
        let session = Session { base: "/u/abc".into(), csrf: "token".into(), ..Session::default() };

        let written = format!("{session:?}");

        assert!(!written.contains("abc") && !written.contains("token"), "{written}");
    }

    #[test]
    fn a_moment_that_is_no_date_is_shown_as_it_came() {
        assert_eq!(at("2026-07-05T09:08:07.123Z").spoken().as_deref(), Some("5 Jul 2026, 09:08 UTC"));
        assert_eq!(at("2026-00-05T09:08:07Z").spoken(), None);
        assert_eq!(at("soon").render().into_string(), "soon");
    }
}
