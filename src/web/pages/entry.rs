//! The page where a person enters a value: first what is asked and by whom, then empty fields.
//!
//! It has no way to show a value: a field has a name and a label, and nothing to fill it with.

use maud::{Markup, html};

use super::{Frame, Session, at, csrf, described, document, fact, facts, refusal, until, warnings};

/// Who asked, and when. `client` is what the client calls itself.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub by: String,
    pub client: String,
    pub at: String,
    pub expires: String,
}

/// One input, posted as `f.<name>`.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub is_secret: bool,
    pub is_multiline: bool,
    pub hint: String,
    pub is_optional: bool,
}

/// The public key the browser seals to (HPKE, RFC 9180): P-256, uncompressed, raw, in base64url.
/// `info` is ASCII.
#[derive(Clone, Debug, Default)]
pub struct SealTo {
    pub key: String,
    pub info: String,
}

/// What the entry page shows and asks.
#[derive(Clone, Default)]
pub struct EntryForm {
    pub action: String,
    pub csrf: String,
    pub heading: String,
    pub asked: Asked,
    pub facts: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub used_by: Vec<String>,
    pub fields: Vec<Field>,
    pub is_file: bool,
    pub most_bytes: u64,
    pub seal: Option<SealTo>,
    pub command: String,
    pub error: Option<String>,
    pub session: Option<Session>,
}

/// The form of one entry link.
#[must_use]
pub fn entry(v: &EntryForm) -> Markup {
    let is_refused = v.error.is_some();
    let frame = Frame {
        title: "Enter a value",
        session: v.session.as_ref(),
        is_error: is_refused,
        ..Frame::default()
    };
    let content = html! {
        div .card {
            h1 { bdi { (v.heading) } }
            (refusal(v.error.as_deref()))
            (facts(&v.facts))
            (warnings(&v.warnings))
            @if !v.used_by.is_empty() {
                h2 { "Used by" }
                ul { @for consumer in &v.used_by { li { bdi { (consumer) } } } }
            }
            (who_asked(&v.asked))
            form method="post" action=(v.action) enctype="multipart/form-data" autocomplete="off"
                data-seal-key=[v.seal.as_ref().map(|s| &s.key)]
                data-seal-info=[v.seal.as_ref().map(|s| &s.info)] {
                h2 { "Your part" }
                (csrf(&v.csrf))
                // A key file has its own two ways in, below; its content is not also a plain field.
                @for field in v.fields.iter().filter(|f| !(v.is_file && f.name == "content")) {
                    (input(field, is_refused))
                }
                @if v.is_file { (key_file(v.most_bytes, is_refused)) }
                div .actions {
                    button type="submit" { "Save" }
                    button .second type="submit" name="decline" value="1" formnovalidate {
                        "I do not want to enter this"
                    }
                }
            }
            @if !v.command.is_empty() {
                section .aside {
                    h2 { "In a terminal instead" }
                    p { "The same without a browser:" }
                    p { code .copy { (v.command) } }
                }
            }
        }
    };
    document(&frame, &content)
}

pub(super) fn who_asked(asked: &Asked) -> Markup {
    html! {
        h2 { "Who asked" }
        dl .facts {
            (fact("Asked by", &html! { (asked.by) }))
            @if !asked.client.is_empty() { (fact("Through", &claimed(&asked.client))) }
            @if !asked.at.is_empty() { (fact("Asked", &html! { (at(&asked.at)) })) }
            @if !asked.expires.is_empty() { (fact("Page expires", &html! { (until(&asked.expires)) })) }
        }
    }
}

/// A client's name, marked as what the client calls itself.
pub(super) fn claimed(client: &str) -> Markup {
    html! { bdi { (client) } " " span .hint { "(as it calls itself; not checked)" } }
}

/// The stated reason, marked as the asker's own words.
pub(super) fn own_words(reason: &str) -> Markup {
    html! {
        @if !reason.is_empty() {
            figure .words {
                figcaption { "The reason given, in the asker’s own words; nobody has checked it:" }
                blockquote { p { bdi { (reason) } } }
            }
        }
    }
}

fn input(field: &Field, is_refused: bool) -> Markup {
    let id = format!("f-{}", field.name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-"));
    let name = format!("f.{}", field.name);
    let hint_id = format!("{id}-hint");
    let has_hint = field.is_optional || !field.hint.is_empty();
    let described_by = described(has_hint.then_some(hint_id.as_str()), is_refused);
    html! {
        div .field {
            label for=(id) { (field.label) @if field.is_optional { " " span .optional { "(optional)" } } }
            @if field.is_multiline {
                textarea .masked[field.is_secret] id=(id) name=(name) rows="6" required[!field.is_optional]
                    autocomplete="off" spellcheck="false" autocapitalize="off"
                    aria-describedby=[described_by] {}
            } @else {
                input id=(id) type=(if field.is_secret { "password" } else { "text" }) name=(name)
                    required[!field.is_optional] autocomplete="off" spellcheck="false" autocapitalize="off"
                    aria-describedby=[described_by];
            }
            @if has_hint {
                p .hint id=(hint_id) {
                    (field.hint)

                }
            }
        }
    }
}

fn key_file(most_bytes: u64, is_refused: bool) -> Markup {
    html! {
        fieldset .file {
            legend { "Choose it or paste it" }
            div .field {
                label for="file" { "Key file" }
                input #file type="file" name="file" data-most-bytes=(most_bytes)
                    aria-describedby=[described(Some("file-hint"), is_refused)];
                p .hint #file-hint { "At most " (size(most_bytes)) "." }
            }
            div .field {
                label for="f-content" { "Or paste its content" }
                textarea .masked #f-content name="f.content" rows="6" autocomplete="off" spellcheck="false"
                    autocapitalize="off" aria-describedby=[described(Some("content-hint"), is_refused)] {}
                p .hint #content-hint { "Text only, such as a PEM block or JSON. Not both: file or text." }
            }
        }
    }
}

fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    match bytes {
        b if b >= MIB && b % MIB == 0 => format!("{} MiB", b / MIB),
        b if b >= KIB && b % KIB == 0 => format!("{} KiB", b / KIB),
        b => format!("{b} bytes"),
    }
}
