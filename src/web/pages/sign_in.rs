//! The pages before a session: sign in, confirm who you are, prove that you were the one who asked.

use maud::{Markup, html};

use super::{Frame, described, document, refusal};

/// The sign-in form. `link` is the entry link to go on with; `is_local` tells of `unsaid open`.
#[derive(Clone, Default)]
pub struct SignIn {
    pub action: String,
    pub error: Option<String>,
    pub link: Option<String>,
    pub is_local: bool,
    /// What the server is called, to name the link in full.
    pub base: Option<String>,
}

/// Asks for a sign-in token.
#[must_use]
pub fn sign_in(v: &SignIn) -> Markup {
    sign_in_page(v, false)
}

/// The sign-in page after signing out: the browser also forgets where its session was.
#[must_use]
pub fn signed_out(v: &SignIn) -> Markup {
    sign_in_page(v, true)
}

fn sign_in_page(v: &SignIn, is_signed_out: bool) -> Markup {
    let is_refused = v.error.is_some();
    let frame = Frame {
        title: "Sign in",
        is_error: is_refused,
        link: v.link.as_deref(),
        is_signed_out,
        ..Frame::default()
    };
    let content = html! {
        div .card {
            h1 { "Sign in" }
            @if is_signed_out { div .callout .good role="status" { p { "You are signed out." } } }
            (refusal(v.error.as_deref()))
            @if v.link.is_some() { p { "Sign in first; then you go on to the page you opened." } }
            form method="post" action=(v.action) autocomplete="off" {
                @if let Some(link) = &v.link { input type="hidden" name="link" value=(link); }
                div .field {
                    label for="token" { "Sign-in token" }
                    input #token type="password" name="token" required autocomplete="off" spellcheck="false"
                        autocapitalize="off" aria-invalid=[is_refused.then_some("true")]
                        aria-describedby=[described(Some("token-hint"), is_refused)];
                    p .hint #token-hint { "Made by " code { "unsaid token create --sign-in" } "." }
                }
                div .actions { button type="submit" { "Sign in" } }
            }
            @if v.is_local {
                section .aside {
                    h2 { "On this machine" }
                    p { "You need no token: run this in a terminal, and open the address that it prints." }
                    p {
                        code .copy {
                            "unsaid open" @if let (Some(link), Some(base)) = (&v.link, &v.base) { " " (base) "/e/" (link) }
                        }
                    }
                }
            }
        }
    };
    document(&frame, &content)
}

/// A one-time sign-in was opened: for whom.
#[derive(Clone, Default)]
pub struct ConfirmSignIn {
    pub action: String,
    pub login: String,
    pub org: String,
    pub link: Option<String>,
}

/// Asks for one click before a session begins, so that a prefetched address signs nobody in.
#[must_use]
pub fn confirm_sign_in(v: &ConfirmSignIn) -> Markup {
    let frame = Frame { title: "Confirm sign-in", ..Frame::default() };
    let content = html! {
        div .card {
            h1 { "Is this you?" }
            p { "This browser will be signed in to unsaid as " strong { bdi { (v.login) } } " of "
                strong { bdi { (v.org) } } "." }
            form method="post" action=(v.action) autocomplete="off" {
                @if let Some(link) = &v.link { input type="hidden" name="link" value=(link); }
                div .actions { button type="submit" { "Continue as " bdi { (v.login) } } }
            }
            p .hint { "This is not me? Close the page." }
        }
    };
    document(&frame, &content)
}

/// The short-code form of a local entry link.
#[derive(Clone, Default)]
pub struct CodeForm {
    pub action: String,
    pub tries_left: u32,
    pub error: Option<String>,
}

/// Asks for the short code that was shown to whoever asked.
#[must_use]
pub fn code_form(v: &CodeForm) -> Markup {
    let is_refused = v.error.is_some();
    let frame = Frame { title: "Enter the code", is_error: is_refused, ..Frame::default() };
    let content = html! {
        div .card {
            h1 { "Enter the code" }
            (refusal(v.error.as_deref()))
            p { "A code was shown beside the link to this page, in the chat or the terminal it came from." }
            form method="post" action=(v.action) autocomplete="off" {
                div .field {
                    label for="code" { "Code" }
                    input .code #code type="text" name="code" required maxlength="16" inputmode="text"
                        autocomplete="one-time-code" spellcheck="false" autocapitalize="characters"
                        aria-invalid=[is_refused.then_some("true")]
                        aria-describedby=[described(Some("code-hint"), is_refused)];
                    p .hint #code-hint {
                        "Like ABCD-EFGH. "
                        (v.tries_left) @if v.tries_left == 1 { " try is left." } @else { " tries are left." }
                    }
                }
                div .actions { button type="submit" { "Continue" } }
            }
            section .aside {
                h2 { "Why a code?" }
                p {
                    "A link does not prove who opens it. The code shows that you are the person who asked, "
                    "and that nobody sent you here to fill in a form of theirs. If you were shown no code, "
                    "close this page."
                }
            }
        }
    };
    document(&frame, &content)
}
