//! The pages of a connection: what will be asked for and by whom, the way to the provider, and what came of it.

use maud::{Markup, html};

use super::entry::who_asked;
use super::{Asked, Frame, Session, at, csrf, document, facts, marked, until, warnings};

/// Before a person is sent to consent.
#[derive(Clone, Default)]
pub struct ConnectForm {
    pub action: String,
    pub csrf: String,
    pub name: String,
    pub provider: String,
    /// The host of the consent page.
    pub host: String,
    pub asked: Asked,
    pub facts: Vec<(String, String)>,
    pub scopes: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub has_device: bool,
    pub command: String,
    pub error: Option<String>,
    pub session: Option<Session>,
}

/// One button for each way, and the way back for a browser that could not come back by itself.
#[must_use]
pub fn connect(v: &ConnectForm) -> Markup {
    let frame = Frame {
        title: "Connect an account",
        session: v.session.as_ref(),
        is_error: v.error.is_some(),
        ..Frame::default()
    };
    let content = html! {
        div .card {
            h1 { "Connect " bdi { (v.name) } }
            @if let Some(error) = &v.error { div .callout .bad role="alert" { p { (marked(error)) } } }
            p .lead {
                "You will sign in at " strong { bdi { (v.host) } } " and allow what is listed here. Your password stays there."
            }
            (facts(&v.facts))
            (warnings(&v.warnings))
            @if !v.scopes.is_empty() {
                h2 { "What will be asked for" }
                dl .facts .scopes { @for (scope, meaning) in &v.scopes { div { dt { code { (scope) } } dd { (meaning) } } } }
            }
            (who_asked(&v.asked))
            h2 { "Your part" }
            form method="post" action=(v.action) enctype="multipart/form-data" autocomplete="off" {
                (csrf(&v.csrf))
                div .actions {
                    button type="submit" name="f.way" value="browser" { "Continue in this browser" }
                    @if v.has_device {
                        button .second type="submit" name="f.way" value="device" { "Use a code on another device" }
                    }
                    button .second type="submit" name="decline" value="1" { "I do not want to connect this" }
                }
            }
            (paste(&v.action, &v.csrf, v.error.is_some()))
            @if !v.command.is_empty() {
                section .aside {
                    h2 { "In a terminal instead" }
                    p { code .copy { (v.command) } }
                }
            }
        }
    };
    document(&frame, &content)
}

/// Folded away until it is needed: most browsers come back by themselves.
fn paste(action: &str, token: &str, is_open: bool) -> Markup {
    html! {
        details .aside open[is_open] {
            summary { "Paste the address your browser ended at" }
            p {
                "A browser on another machine ends at an address that it cannot open. Copy the whole address from its "
                "address bar and paste it here."
            }
            form method="post" action=(action) enctype="multipart/form-data" autocomplete="off" {
                (csrf(token))
                div .field {
                    label for="address" { "The address it ended at" }
                    input #address type="password" name="f.address" required autocomplete="off" spellcheck="false";
                }
                div .actions { button .second type="submit" name="f.way" value="paste" { "Finish with this address" } }
            }
        }
    }
}

/// On the way: a link, for a form may not lead to another site.
#[derive(Clone, Default)]
pub struct Leaving {
    pub name: String,
    pub host: String,
    /// Where it goes on.
    pub address: String,
    pub action: String,
    pub csrf: String,
    pub redirect_uri: String,
    /// Nothing of ours listens where the browser will come back to.
    pub comes_back_elsewhere: bool,
    /// There is a page of the person's own to paste an address into.
    pub is_pasted: bool,
    pub session: Option<Session>,
}

/// A browser that came from a terminal, or from a page of another name.
#[derive(Clone, Default)]
pub struct AskedToLeave {
    pub action: String,
    pub name: String,
    pub asked_by: String,
    pub org: String,
    pub provider: String,
    pub host: String,
    pub scopes: Vec<String>,
}

/// Says whose connection it will be before anybody is sent away.
#[must_use]
pub fn asked_to_leave(v: &AskedToLeave) -> Markup {
    let frame = Frame { title: "Connect an account", ..Frame::default() };
    let scopes = v.scopes.join(", ");
    let list = [
        ("For", format!("{} of {}", v.asked_by, v.org)),
        ("Provider", v.provider.clone()),
        ("Asks for", scopes),
    ];
    let list: Vec<_> =
        list.into_iter().filter(|(_, text)| !text.is_empty()).map(|(l, t)| (l.to_owned(), t)).collect();
    let content = html! {
        div .card {
            h1 { "Connect " bdi { (v.name) } }
            p .lead {
                "Whoever signs in at " strong { bdi { (v.host) } } " next lets " strong { bdi { (v.asked_by) } }
                " act with their account. Go on only if you are that person."
            }
            (facts(&list))
            form method="post" action=(v.action) autocomplete="off" {
                div .actions { button type="submit" { "I asked for this" } }
            }
        }
    };
    document(&frame, &content)
}

/// The link to the provider.
#[must_use]
pub fn leaving(v: &Leaving) -> Markup {
    let frame = Frame { title: "Connect an account", session: v.session.as_ref(), ..Frame::default() };
    let content = html! {
        div .card {
            h1 { @if v.name.is_empty() { "Go on to " bdi { (v.host) } } @else { "Connect " bdi { (v.name) } } }
            p .lead {
                "Sign in at " strong { bdi { (v.host) } } " and allow it. "
                @if v.comes_back_elsewhere { "Then come back to this page." } @else { "Then you are brought back here." }
            }
            @if v.comes_back_elsewhere {
                div .callout .care {
                    p {
                        "It ends with an error page at " code { (v.redirect_uri) } ", where nothing of ours listens. "
                        "That is expected: copy the whole address of that page and paste it below."
                    }
                }
            }
            // Where this page is needed afterwards, it stays open.
            p {
                a .button href=(v.address) rel="noreferrer" target=[v.comes_back_elsewhere.then_some("_blank")] {
                    "Go on to " bdi { (v.host) } @if v.comes_back_elsewhere { " (new tab)" }
                }
            }
            @if v.is_pasted { (paste(&v.action, &v.csrf, v.comes_back_elsewhere)) }
        }
    };
    document(&frame, &content)
}

/// A code to type elsewhere.
#[derive(Clone, Default)]
pub struct DeviceCode {
    pub action: String,
    pub csrf: String,
    pub name: String,
    pub host: String,
    pub address: String,
    pub code: String,
    pub consent: String,
    pub expires: String,
    pub is_waiting: bool,
    pub session: Option<Session>,
}

/// The code, where to type it, and a button for when that is done.
#[must_use]
pub fn device_code(v: &DeviceCode) -> Markup {
    let frame = Frame { title: "Connect an account", session: v.session.as_ref(), ..Frame::default() };
    // What is typed elsewhere is short; what is opened from here brings its code along.
    let plain: &str = match v.address.split_once('?') {
        Some((plain, query)) if query.contains(&v.code) => plain,
        _ => &v.address,
    };
    let content = html! {
        div .card {
            h1 { "Connect " bdi { (v.name) } }
            @if v.is_waiting {
                div .callout .care role="status" {
                    p { bdi { (v.host) } " has not confirmed it yet. Type the code there and allow it, then try again." }
                }
            }
            ol {
                li {
                    "On any device, open " a href=(v.address) rel="noreferrer" target="_blank" { bdi { (plain) } }
                    " (here, it opens in a new tab)."
                }
                li { "Type this code there: " strong .code { (v.code) } }
                li { "Allow what is asked for, then come back here." }
            }
            p .hint { "The code works until " (until(&v.expires)) "." }
            form method="post" action=(v.action) enctype="multipart/form-data" autocomplete="off" {
                (csrf(&v.csrf))
                input type="hidden" name="f.consent" value=(v.consent);
                div .actions {
                    button type="submit" name="f.way" value="wait" { "I have done that" }
                }
            }
        }
    };
    document(&frame, &content)
}

/// What came of a consent.
#[derive(Clone, Debug, Default)]
pub struct Connected {
    pub name: String,
    pub facts: Vec<(String, String)>,
    pub warnings: Vec<String>,
    /// When it ends, of one that cannot be refreshed; else empty.
    pub ends: String,
    pub session: Option<Session>,
}

/// It is connected.
#[must_use]
pub fn connected(v: &Connected) -> Markup {
    let frame =
        Frame { title: "Connected", session: v.session.as_ref(), hides_path: true, ..Frame::default() };
    let content = html! {
        div .card {
            h1 { bdi { (v.name) } " is connected" }
            div .callout .good role="status" {
                p { "You can close this page. The assistant can see that it is done, and nothing of the tokens." }
            }
            (facts(&v.facts))
            (warnings(&v.warnings))
            @if !v.ends.is_empty() { p { "It ends at " (at(&v.ends)) "." } }
        }
    };
    document(&frame, &content)
}

/// It was connected as somebody else before.
#[derive(Clone, Default)]
pub struct OtherAccount {
    pub action: String,
    pub csrf: String,
    pub consent: String,
    /// The name of the field that says which way, as the form that takes it reads it.
    pub field: &'static str,
    pub is_multipart: bool,
    pub name: String,
    pub was: String,
    pub now: String,
    pub session: Option<Session>,
}

/// Asks which account is meant.
#[must_use]
pub fn other_account(v: &OtherAccount) -> Markup {
    let frame =
        Frame { title: "Another account", session: v.session.as_ref(), hides_path: true, ..Frame::default() };
    let unknown = "an account that the service does not name";
    let named = |label: &str| if label.is_empty() { unknown.to_owned() } else { label.to_owned() };
    let prefix = if v.is_multipart { "f." } else { "" };
    let content = html! {
        div .card {
            h1 { "That is another account" }
            div .callout .care role="alert" {
                p {
                    bdi { (v.name) } " was connected as " strong { bdi { (named(&v.was)) } } ", and you consented as "
                    strong { bdi { (named(&v.now)) } } ". Nothing has been changed."
                }
            }
            p { "Whatever uses " bdi { (v.name) } " would work with the other account from then on." }
            form method="post" action=(v.action) enctype=[v.is_multipart.then_some("multipart/form-data")] autocomplete="off" {
                (csrf(&v.csrf))
                input type="hidden" name={ (prefix) "consent" } value=(v.consent);
                div .actions {
                    button .second type="submit" name={ (prefix) (v.field) } value="accept" { "Use the other account from now on" }
                }
            }
            p { "To keep the first account, close this page. To connect that one again, sign in at the service as it." }
        }
    };
    document(&frame, &content)
}
