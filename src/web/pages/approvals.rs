//! What waits for a person: the home page, the approvals, and the page where one is decided.

use maud::{Markup, html};

use super::entry::{claimed, own_words};
use super::{Frame, Session, at, csrf, described, document, fact, refusal, until, warnings};

/// One approval as a line. `client` is what the client calls itself.
#[derive(Clone, Debug, Default)]
pub struct ApprovalRow {
    pub id: String,
    pub summary: String,
    pub by: String,
    pub client: String,
    pub at: String,
    pub expires: String,
    pub state: String,
}

/// What waits for the person who is signed in. An entry is its text and its expiry.
#[derive(Clone)]
pub struct Home {
    pub session: Session,
    pub approvals: Vec<ApprovalRow>,
    pub entries: Vec<(String, String)>,
}

/// The page after signing in.
#[must_use]
pub fn home(v: &Home) -> Markup {
    let frame = Frame { title: "Home", session: Some(&v.session), here: "/", ..Frame::default() };
    let content = html! {
        h1 { "What waits for you" }
        section aria-labelledby="to-approve" {
            h2 #to-approve { "To approve" }
            (rows(&v.session, &v.approvals, true, "Nothing waits for your approval."))
        }
        section aria-labelledby="to-enter" {
            h2 #to-enter { "To enter" }
            @if v.entries.is_empty() { p .empty { "Nobody asks you to enter anything." } }
            @else {
                ul .rows {
                    @for (text, expires) in &v.entries {
                        li {
                            p { bdi { (text) } }
                            @if !expires.is_empty() { p .hint { "Expires " (until(expires)) } }
                        }
                    }
                }
            }
        }
    };
    document(&frame, &content)
}

/// The approvals that can be decided, and those that were.
#[must_use]
pub fn approvals(session: &Session, open: &[ApprovalRow], decided: &[ApprovalRow]) -> Markup {
    let frame = Frame { title: "Approvals", session: Some(session), here: "/approvals", ..Frame::default() };
    let content = html! {
        h1 { "Approvals" }
        section aria-labelledby="open" {
            h2 #open { "Open" }
            (rows(session, open, true, "Nothing waits for your approval."))
        }
        section aria-labelledby="decided" {
            h2 #decided { "Decided" }
            (rows(session, decided, false, "Nothing has been decided yet."))
        }
    };
    document(&frame, &content)
}

fn rows(session: &Session, list: &[ApprovalRow], is_open: bool, empty: &str) -> Markup {
    html! {
        @if list.is_empty() { p .empty { (empty) } }
        @else {
            ul .rows {
                @for row in list {
                    li {
                        p {
                            a href={ (session.base) "/approvals/" (row.id) } { bdi { (row.summary) } }
                            @if !row.state.is_empty() { " " span .state { (row.state) } }
                        }
                        p .hint {
                            "Asked by " bdi { (row.by) }
                            @if !row.client.is_empty() { " through “" bdi { (row.client) } "”" }
                            @if !row.at.is_empty() { ", " (at(&row.at)) }
                            @if is_open && !row.expires.is_empty() { ". Expires " (until(&row.expires)) }
                        }
                    }
                }
            }
        }
    }
}

/// One approval in full. `hosts` are pairs of what it is for and the host; `typed` is the host name the
/// person has to type before approving. An empty `action` leaves out the buttons: it is decided already.
#[derive(Clone)]
pub struct ApprovalPage {
    pub session: Session,
    pub row: ApprovalRow,
    pub impact: Vec<String>,
    pub reason: String,
    pub hosts: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub typed: Option<String>,
    pub error: Option<String>,
    pub action: String,
}

/// The page where a person approves or declines.
#[must_use]
pub fn approval(v: &ApprovalPage) -> Markup {
    let is_refused = v.error.is_some();
    let frame =
        Frame { title: "Approval", session: Some(&v.session), is_error: is_refused, ..Frame::default() };
    let content = html! {
        div .card {
            h1 { bdi { (v.row.summary) } }
            (refusal(v.error.as_deref()))
            @if !v.impact.is_empty() {
                h2 { "What it does" }
                ul { @for line in &v.impact { li { bdi { (line) } } } }
            }
            (hosts(&v.hosts))
            (warnings(&v.warnings))
            h2 { "Who asked" }
            dl .facts {
                (fact("Asked by", &html! { (v.row.by) }))
                @if !v.row.client.is_empty() { (fact("Through", &claimed(&v.row.client))) }
                @if !v.row.at.is_empty() { (fact("Asked", &html! { (at(&v.row.at)) })) }
                @if !v.action.is_empty() && !v.row.expires.is_empty() {
                    (fact("Expires", &html! { (until(&v.row.expires)) }))
                }
                @if !v.row.state.is_empty() { (fact("State", &html! { (v.row.state) })) }
                (fact("Number", &html! { code { (v.row.id) } }))
            }
            (own_words(&v.reason))
            @if !v.action.is_empty() { (decision(v, is_refused)) }
        }
    };
    document(&frame, &content)
}

fn hosts(list: &[(String, String)]) -> Markup {
    html! {
        @if !list.is_empty() {
            h2 { "Where credentials would go" }
            dl .facts { @for (purpose, host) in list { (fact(purpose, &html! { code .host { (host) } })) } }
        }
    }
}

fn decision(v: &ApprovalPage, is_refused: bool) -> Markup {
    html! {
        form method="post" action=(v.action) autocomplete="off" {
            (csrf(&v.session.csrf))
            @if let Some(host) = &v.typed {
                div .field {
                    label for="typed" { "To approve, type the host name " code .host { bdi { (host) } } }
                    input #typed type="text" name="typed" required autocomplete="off" spellcheck="false"
                        autocapitalize="off" inputmode="url"
                        aria-describedby=[described(Some("typed-hint"), is_refused)];
                    p .hint #typed-hint { "Read it letter by letter: credentials will be sent there." }
                }
            }
            div .actions .even {
                button type="submit" name="decision" value="approve" { "Approve" }
                button .second type="submit" name="decision" value="decline" formnovalidate { "Decline" }
            }
            p .hint { "If you do not know why you are asked, decline. It can be asked again." }
        }
    }
}
