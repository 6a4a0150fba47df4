//! One entry of an export as its program kept it, before it is known what credential it becomes.
use super::batch::At;
use crate::clock::Millis;
use crate::secret::{Secret, SecretBytes};
use zeroize::Zeroizing;

/// What a part of an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Password,
    /// The seed of one-time codes, as `otpauth://…` or base32.
    Totp,
    /// Free text, which people write anything into: kept like a secret.
    Note,
    /// Another secret, under its own label.
    Hidden,
    /// What its program shows openly.
    Plain,
}

/// A part with its value; never an empty one.
pub(super) struct Part {
    pub label: String,
    pub role: Role,
    pub value: Secret,
}

/// A file that belongs to an entry.
pub(super) struct Attached {
    pub file_name: String,
    /// The content, or why it is not there.
    pub content: Result<SecretBytes, &'static str>,
    /// Whether it is the entry itself, as a document or an SSH key is, and so needs no name of its own.
    pub is_all: bool,
}

/// Which kind of entry it is, where that decides whether it is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Login,
    Note,
    /// Not for programs, and so left out for this reason.
    NotOurs(&'static str),
}

pub(super) struct Record {
    pub at: At,
    pub what: What,
    pub title: Zeroizing<String>,
    /// The title is the name of a variable and is kept as it is, or reported.
    pub is_variable: bool,
    /// Each part stays a field under its own label, even a single one.
    pub keeps_labels: bool,
    pub url: Zeroizing<String>,
    /// What its program says that the entry is for.
    pub remark: Zeroizing<String>,
    pub tags: Vec<String>,
    pub parts: Vec<Part>,
    pub files: Vec<Attached>,
    pub expires_at: Option<Millis>,
    /// Whose it is, where that is no part of it.
    pub account: String,
    /// The service that its file is about.
    pub service: Option<&'static str>,
}

impl Record {
    pub fn new(at: At, title: &str) -> Self {
        Self {
            at,
            what: What::Login,
            title: Zeroizing::new(title.to_owned()),
            is_variable: false,
            keeps_labels: false,
            url: Zeroizing::default(),
            remark: Zeroizing::default(),
            tags: Vec::new(),
            parts: Vec::new(),
            files: Vec::new(),
            expires_at: None,
            account: String::new(),
            service: None,
        }
    }

    /// A variable with its value.
    pub fn variable(at: At, name: &str, value: Secret) -> Self {
        let mut this = Self::new(at, name);
        this.is_variable = true;
        this.put(Role::Password, "value", value);
        this
    }

    /// Adds a part; an empty value is no part.
    pub fn put(&mut self, role: Role, label: &str, value: Secret) {
        if value.expose(|text| !text.is_empty()) {
            self.parts.push(Part { label: label.to_owned(), role, value });
        }
    }

    /// As [`Record::put`], of text that somebody else owns.
    pub fn put_text(&mut self, role: Role, label: &str, text: &str) {
        if !text.is_empty() {
            self.put(role, label, super::secret(text));
        }
    }
}
