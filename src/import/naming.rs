//! Names, accounts, tags and descriptions out of what people wrote as titles, folders and addresses.
//!
//! Nothing that looks like a secret becomes one of them: they are read by everybody who sees the credential.
use super::batch::{Batch, Item};
use super::record::Record;
use crate::error::{Result, internal};
use crate::model::name::CredentialName;
use crate::model::suspicion::Kind;
use crate::model::text::{Description, Label, Tag, clean};
use std::collections::{HashMap, HashSet};
use unicode_normalization::UnicodeNormalization as _;

/// The longest name made out of a title, so that a number still fits behind it.
const MOST_NAME: usize = 56;

/// Whether a text looks like it holds a secret.
pub type LooksSecret<'a> = &'a dyn Fn(&str, Kind) -> bool;

/// `title` in the style of a variable: `Acme Prod (API)` is `ACME_PROD_API`. `None` where no letter or digit is left.
pub(super) fn variable_style(title: &str) -> Option<String> {
    let mut name = String::with_capacity(title.len().min(MOST_NAME) + 1);
    for c in plain_letters(title) {
        if name.len() >= MOST_NAME {
            break;
        }
        if c.is_ascii_alphanumeric() {
            if name.is_empty() && c.is_ascii_digit() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The letters of `text` without accents. What has no likeness in ASCII stays as it is, and is a gap to the caller.
fn plain_letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfkd().filter(|c| !matches!(c, '\u{300}'..='\u{36F}')).flat_map(|c| {
        let (a, b) = match c {
            'ß' => ('s', Some('s')),
            'ø' | 'Ø' => ('o', None),
            'æ' | 'Æ' => ('a', Some('e')),
            'œ' | 'Œ' => ('o', Some('e')),
            'ł' | 'Ł' => ('l', None),
            'đ' | 'Đ' | 'ð' | 'Ð' => ('d', None),
            'þ' | 'Þ' => ('t', Some('h')),
            'ı' => ('i', None),
            other => (other, None),
        };
        std::iter::once(a).chain(b)
    })
}

/// A field's name out of a label: letters, digits and `_`, as it was written otherwise.
pub(super) fn field_name(label: &str, number: usize) -> String {
    let mut name = String::new();
    for c in plain_letters(label) {
        if name.len() >= MOST_NAME {
            break;
        }
        if c.is_ascii_alphanumeric() {
            if name.is_empty() && c.is_ascii_digit() {
                name.push('_');
            }
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let kept = name.trim_end_matches('_');
    if kept.is_empty() { format!("field_{number}") } else { kept.to_owned() }
}

/// The name of an entry by its title, or else by the host of its address. Reserved names get an ending that says what
/// it is. `None` where there is no such name.
pub(super) fn of_record(record: &Record, looks_secret: LooksSecret<'_>) -> Option<String> {
    let title = clean(&record.title);
    let from_title = match looks_secret(&title, Kind::FreeText) {
        true => None,
        false => variable_style(&title),
    };
    let name = from_title.or_else(|| {
        let host = host(&record.url)?;
        if looks_secret(&host, Kind::FreeText) { None } else { variable_style(&host) }
    })?;
    usable(&name)
}

/// `name`, or `name` with an ending where it alone is reserved.
fn usable(name: &str) -> Option<String> {
    ["", "_LOGIN", "_KEY"]
        .iter()
        .map(|end| format!("{name}{end}"))
        .find(|name| CredentialName::parse(name).is_ok())
}

/// The host of an address as people write it.
pub(super) fn host(address: &str) -> Option<String> {
    let rest = address.trim().split_once("://").map_or(address.trim(), |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().trim_start_matches("www.");
    (!host.is_empty() && host.len() <= 253 && !host.contains(char::is_whitespace)).then(|| host.to_owned())
}

/// Title, remark and address as one description; less of them where the rest would look like a secret.
pub(super) fn description(record: &Record, looks_secret: LooksSecret<'_>) -> String {
    let short = |text: &str, most: usize| clean(text).chars().take(most).collect::<String>();
    let fits = |text: &String| {
        !looks_secret(text, Kind::FreeText)
            && !looks_secret(text, Kind::Url)
            && Description::parse(text).is_ok()
    };
    let title = if record.is_variable { String::new() } else { short(&record.title, 120) };
    let title = Some(title).filter(|t| !t.is_empty() && fits(t));
    let remark = Some(short(&record.remark, 160)).filter(|t| !t.is_empty() && fits(t));
    // The host alone: paths hold what lets people in, as links of invitations and resets.
    let address = host(&record.url).filter(|t| title.as_ref() != Some(t) && fits(t));
    let parts: Vec<_> = [title, remark, address].into_iter().flatten().collect();
    let text = parts.join("; ");
    if fits(&text) { text } else { parts.into_iter().next().unwrap_or_default() }
}

/// Words to filter by, out of folders and tags.
pub(super) fn tags(given: &[String], looks_secret: LooksSecret<'_>) -> Vec<String> {
    let tag = |text: &String| {
        if looks_secret(text, Kind::FreeText) {
            return None;
        }
        let mut kept = String::new();
        for c in plain_letters(&clean(text)) {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_lowercase() || c.is_ascii_digit() => kept.push(c),
                '\\' | '/' => kept.push('/'),
                c @ ('.' | '_' | ':' | '-') => kept.push(c),
                _ if kept.ends_with('-') => {}
                _ => kept.push('-'),
            }
        }
        let kept: String = kept.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(40).collect();
        Tag::parse(&kept).ok().map(String::from)
    };
    let mut tags: Vec<_> = given.iter().filter_map(tag).collect();
    tags.sort();
    tags.dedup();
    tags.truncate(20);
    tags
}

/// What tells an entry from another of its name: its user, where that may be shown.
pub(super) fn account(user: &str, looks_secret: LooksSecret<'_>) -> String {
    match Label::parse(user) {
        Ok(label) if !looks_secret(label.as_str(), Kind::FreeText) => label.into(),
        _ => String::new(),
    }
}

/// `name` with the first number behind it that is free. Fails as `is_taken` does.
pub fn numbered(name: &str, is_taken: impl Fn(&str) -> Result<bool>) -> Result<String> {
    for n in 2u32.. {
        if let Some(name) = with_number(name, n)
            && !is_taken(&name)?
        {
            return Ok(name);
        }
    }
    Err(internal("every number is taken"))
}

/// `name` and `n` as a name. `SSH_2` is reserved, as all names that begin so: that one is `SSH2`.
fn with_number(name: &str, n: u32) -> Option<String> {
    let base = &name[..name.len().min(53)];
    [format!("{base}_{n}"), format!("{base}{n}")].into_iter().find(|name| CredentialName::parse(name).is_ok())
}

/// Tells items of one name apart: by their users, or else by a number.
pub(super) fn tell_apart(batch: &mut Batch) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for item in &batch.items {
        *count.entry(item.name.to_ascii_uppercase()).or_default() += 1;
    }
    let mut used: HashSet<(String, String)> = HashSet::new();
    let mut next: HashMap<String, u32> = HashMap::new();
    let mut remarks = Vec::new();
    for item in &mut batch.items {
        let key = item.name.to_ascii_uppercase();
        if count[&key] > 1 {
            item.account = std::mem::take(&mut item.account_hint);
        }
        if !used.insert((key.clone(), item.account.clone())) {
            let n = next.entry(key).or_insert(1);
            let free = |name: &String| !count.contains_key(&name.to_ascii_uppercase());
            let name = loop {
                *n += 1;
                if let Some(name) = with_number(&item.name, *n).filter(free) {
                    break name;
                }
            };
            item.name = name;
            used.insert((item.name.to_ascii_uppercase(), item.account.clone()));
            remarks.push((item.at, item.name.clone()));
        }
    }
    for (at, name) in remarks {
        batch.remark(at, &name, "another entry has its name, so it has a number");
    }
}

impl Item {
    /// Name and account, as a person reads them.
    pub fn label(&self) -> String {
        match self.account.is_empty() {
            true => self.name.clone(),
            false => format!("{} ({})", self.name, self.account),
        }
    }
}
