//! An org's OAuth providers: the list, and the form of one.
//!
//! It never takes a client secret: that is entered on an entry page, like every other value.

use maud::{Markup, html};

use super::{Frame, Session, csrf, described, document, refusal, warnings};

/// One provider as a line. `has_secret` says in words whether its client secret is there.
#[derive(Clone, Debug, Default)]
pub struct ProviderRow {
    pub name: String,
    pub service: String,
    pub has_secret: String,
    pub href: String,
}

/// The org's providers.
#[must_use]
pub fn providers(session: &Session, rows: &[ProviderRow]) -> Markup {
    let frame = Frame { title: "Providers", session: Some(session), here: "/providers", ..Frame::default() };
    let content = html! {
        h1 { "Providers" }
        p { "A provider is your org’s OAuth client at a service. People connect accounts through it." }
        @if session.is_admin { p { a .button href={ (session.base) "/providers/new" } { "Add a provider" } } }
        @if rows.is_empty() { p .empty { "There is no provider yet." } }
        @else {
            ul .rows {
                @for row in rows {
                    li {
                        p {
                            @if session.is_admin { a href=(row.href) { bdi { (row.name) } } }
                            @else { bdi { (row.name) } }
                        }
                        p .hint {
                            @if !row.service.is_empty() { bdi { (row.service) } ". " }
                            @if !row.has_secret.is_empty() { "Client secret: " (row.has_secret) }
                        }
                    }
                }
            }
        }
    };
    document(&frame, &content)
}

/// One provider to edit. `client_auth` is `basic`, `post` or `none`, "" what the preset says; `services` are pairs of
/// id and title, "" is none; an empty `secret_href` shows no way to enter the client secret.
#[derive(Clone)]
pub struct ProviderForm {
    pub session: Session,
    pub action: String,
    pub is_new: bool,
    pub name: String,
    pub service: String,
    pub client_id: String,
    pub client_auth: String,
    pub scopes: String,
    /// `name=value`, separated by spaces.
    pub params: String,
    pub issuer: String,
    pub authorization_url: String,
    pub token_url: String,
    pub revocation_url: String,
    pub userinfo_url: String,
    pub device_authorization_url: String,
    pub callback_url: String,
    pub services: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub error: Option<String>,
    pub secret_href: String,
    pub secret_state: String,
}

/// What an empty address comes to.
fn if_empty(v: &ProviderForm, is_needed: bool) -> &'static str {
    let has_preset = v.is_new || v.services.iter().any(|(id, _)| !id.is_empty() && *id == v.service);
    match (has_preset, is_needed) {
        (true, true) => "Empty: what the service’s preset says.",
        (true, false) => "Empty: what the service’s preset says, or none.",
        (false, true) => "Needed: there is no preset to say it.",
        (false, false) => "Empty: none.",
    }
}

/// The form of a new or an existing provider.
#[must_use]
pub fn provider_form(v: &ProviderForm) -> Markup {
    let is_refused = v.error.is_some();
    let frame = Frame {
        title: if v.is_new { "Add a provider" } else { "Provider" },
        session: Some(&v.session),
        here: "/providers",
        is_error: is_refused,
        ..Frame::default()
    };
    let text = Line { kind: "text", is_required: false, is_fixed: false, is_refused, ..Line::default() };
    let url = Line { kind: "url", ..text };
    let content = html! {
        div .card {
            h1 { @if v.is_new { "Add a provider" } @else { "Provider " bdi { (v.name) } } }
            (refusal(v.error.as_deref()))
            (warnings(&v.warnings))
            section .aside .first {
                h2 { "Callback URL" }
                p { "Register this address at the service, exactly as it is:" }
                p { code .copy { (v.callback_url) } }
            }
            @if !v.is_new { (client_secret(v)) }
            form method="post" action=(v.action) autocomplete="off" {
                (csrf(&v.session.csrf))
                h2 { "Client" }
                (line(&Line { id: "name", label: "Name", value: &v.name, is_required: true,
                    is_fixed: !v.is_new, hint: if v.is_new { "How people will see it here." } else { "" },
                    ..text }))
                @if v.is_new { (choice("service", "Service", &v.service, &services(v), is_refused)) }
                @else if !v.service.is_empty() {
                    (line(&Line { id: "service", label: "Service", value: &v.service, is_fixed: true,
                        is_required: true, ..text }))
                }
                (line(&Line { id: "client_id", label: "Client ID", value: &v.client_id, is_required: true,
                    ..text }))
                (choice("client_auth", "How the client proves itself", &v.client_auth, &client_auths(v),
                    is_refused))
                (line(&Line { id: "scopes", label: "Scopes", value: &v.scopes,
                    hint: "Separated by spaces. People are asked for these when they connect.", ..text }))
                @if v.is_new {
                    (line(&Line { id: "params", label: "Parameters of the service", value: &v.params,
                        hint: "Where the service has some, as tenant=abc host=example.com.", ..text }))
                }
                h2 { "Addresses" }
                p .callout .care #addresses {
                    "Changing an address removes the stored client secret: it was given for the old one."
                }
                (line(&Line { id: "issuer", label: "Issuer", value: &v.issuer,
                    hint: "“Fill in from the issuer” below looks up the other addresses.", ..url }))
                (line(&Line { id: "authorization_url", label: "Authorization URL",
                    value: &v.authorization_url, hint: if_empty(v, true), ..url }))
                (line(&Line { id: "token_url", label: "Token URL", value: &v.token_url,
                    hint: if_empty(v, true), ..url }))
                (line(&Line { id: "revocation_url", label: "Revocation URL", value: &v.revocation_url,
                    hint: if_empty(v, false), ..url }))
                (line(&Line { id: "userinfo_url", label: "User info URL", value: &v.userinfo_url,
                    hint: if_empty(v, false), ..url }))
                (line(&Line { id: "device_authorization_url", label: "Device authorization URL",
                    value: &v.device_authorization_url, hint: if_empty(v, false), ..url }))
                div .actions {
                    button type="submit" { @if v.is_new { "Add" } @else { "Save" } }
                    button .second type="submit" name="discover" value="1" formnovalidate {
                        "Fill in from the issuer"
                    }
                }
            }
        }
    };
    document(&frame, &content)
}

fn client_secret(v: &ProviderForm) -> Markup {
    html! {
        section .aside .first {
            h2 { "Client secret" }
            @if !v.secret_state.is_empty() { p { (v.secret_state) } }
            @if !v.secret_href.is_empty() {
                form method="post" action=(v.secret_href) {
                    (csrf(&v.session.csrf))
                    button .second type="submit" { "Enter the client secret" }
                }
            }
        }
    }
}

fn client_auths(v: &ProviderForm) -> Vec<(&'static str, &'static str)> {
    let preset = v.is_new.then_some(("", "What the service’s preset says"));
    let ways = [
        ("basic", "Client secret in the Authorization header (basic)"),
        ("post", "Client secret in the request body (post)"),
        ("none", "No client secret: a public client with PKCE (none)"),
    ];
    preset.into_iter().chain(ways).collect()
}

fn services(v: &ProviderForm) -> Vec<(&str, &str)> {
    let none = (!v.services.iter().any(|(id, _)| id.is_empty())).then_some(("", "None of these"));
    none.into_iter().chain(v.services.iter().map(|(id, title)| (id.as_str(), title.as_str()))).collect()
}

#[derive(Clone, Copy, Default)]
struct Line<'a> {
    id: &'a str,
    label: &'a str,
    value: &'a str,
    hint: &'a str,
    kind: &'a str,
    is_required: bool,
    is_fixed: bool,
    is_refused: bool,
}

fn line(l: &Line<'_>) -> Markup {
    let hint_id = format!("{}-hint", l.id);
    let described_by = described((!l.hint.is_empty()).then_some(hint_id.as_str()), l.is_refused);
    html! {
        div .field {
            label for=(l.id) { (l.label) @if !l.is_required { " " span .optional { "(optional)" } } }
            input id=(l.id) name=(l.id) type=(l.kind) value=(l.value) required[l.is_required]
                readonly[l.is_fixed] autocomplete="off" spellcheck="false" autocapitalize="off"
                aria-describedby=[described_by];
            @if !l.hint.is_empty() { p .hint id=(hint_id) { (l.hint) } }
        }
    }
}

fn choice(id: &str, label: &str, chosen: &str, options: &[(&str, &str)], is_refused: bool) -> Markup {
    html! {
        div .field {
            label for=(id) { (label) }
            select id=(id) name=(id) autocomplete="off" aria-describedby=[described(None, is_refused)] {
                @for (value, title) in options { option value=(value) selected[*value == chosen] { (title) } }
            }
        }
    }
}
