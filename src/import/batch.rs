//! What an import file came to: the credentials it can become, and everything of it that is left out, with why.
//!
//! Every text here but the values is safe to show: it went through the rules of `model/text` and past the detector.
use crate::clock::Millis;
use crate::model::credential::{CredentialType, FieldSpec};
use crate::secret::SecretBytes;
use std::borrow::Cow;
use std::fmt;

/// Where something stands in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    Line(usize),
    Entry(usize),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Line(n) => write!(f, "line {n}"),
            At::Entry(n) => write!(f, "entry {n}"),
        }
    }
}

/// One field with its value. Neither `Clone` nor `Serialize`: it holds a secret.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// A plain field may be shown.
    pub is_secret: bool,
    pub value: SecretBytes,
}

/// One credential to be.
#[derive(Debug)]
pub struct Item {
    pub at: At,
    /// Acceptable to `CredentialName::parse`, and with `account` unlike every other item's.
    pub name: String,
    pub kind: CredentialType,
    /// As the type wants them: `value`, `username` and `password`, `content`, or named ones.
    pub fields: Vec<Field>,
    /// For type file.
    pub file_name: String,
    /// Tells it from another of the same name; else empty.
    pub account: String,
    pub description: String,
    pub tags: Vec<String>,
    pub expires_at: Option<Millis>,
    /// The service that its file is about; else the shape of a value may tell it.
    pub service: Option<&'static str>,
    /// What an account label would be.
    pub(super) account_hint: String,
}

impl Item {
    /// The fields of a custom credential.
    pub fn specs(&self) -> Option<Vec<FieldSpec>> {
        let spec = |f: &Field| FieldSpec { name: f.name.clone(), secret: f.is_secret };
        (self.kind == CredentialType::Custom).then(|| self.fields.iter().map(spec).collect())
    }
}

/// Something that is not taken over. Whoever deletes the file loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub at: At,
    /// The name it would have had, where that may be shown.
    pub name: Option<String>,
    pub why: Cow<'static, str>,
    /// Whether it is nothing that anybody would miss.
    pub is_trifle: bool,
}

/// Something that is taken over and that the reader may wonder about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub at: At,
    pub name: String,
    pub text: Cow<'static, str>,
}

/// What a file held.
#[derive(Debug, Default)]
pub struct Batch {
    pub items: Vec<Item>,
    pub left: Vec<Left>,
    pub remarks: Vec<Remark>,
    /// How many entries the file has, taken over or not.
    pub entries: usize,
}

impl Batch {
    pub(super) fn leave(&mut self, at: At, name: Option<String>, why: impl Into<Cow<'static, str>>) {
        self.left.push(Left { at, name, why: why.into(), is_trifle: false });
    }

    pub(super) fn leave_trifle(&mut self, at: At, name: Option<String>, why: &'static str) {
        self.left.push(Left { at, name, why: why.into(), is_trifle: true });
    }

    pub(super) fn remark(&mut self, at: At, name: &str, text: impl Into<Cow<'static, str>>) {
        self.remarks.push(Remark { at, name: name.to_owned(), text: text.into() });
    }
}
