//! KeePass's XML export (format of KeePass 2.x, also written by KeePassXC).
//!
//! No document types and no entities but XML's own: the reader refuses them. Old versions of an entry are left out.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role, What};
use super::{Options, broken, shape};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::secret::SecretBytes;
use data_encoding::BASE64;
use roxmltree::{Document, Node, ParsingOptions};
use std::collections::HashMap;
use std::io::Read as _;
use zeroize::Zeroizing;

/// How deep groups may be nested.
const DEEPEST: usize = 64;
/// The longest attachment, bytes.
const MOST_FILE_BYTES: usize = 1024 * 1024;

pub(super) fn read(text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let parsing = ParsingOptions { nodes_limit: 8_000_000, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, parsing).map_err(|e| {
        // The library's own words may quote the file.
        broken(e.pos().row as usize, "this is not well-formed XML")
    })?;
    let top = document.root_element();
    let root = child(top, "Root").filter(|_| top.has_tag_name("KeePassFile"));
    let Some(root) = root else {
        return Err(broken(1, "this is no XML export of KeePass: it has no KeePassFile with a Root"));
    };
    let meta = child(top, "Meta");
    let mut reader = Reader {
        document: &document,
        binaries: HashMap::new(),
        bin: meta
            .filter(|m| inner(*m, "RecycleBinEnabled") == "True")
            .map(|m| inner(m, "RecycleBinUUID").to_owned())
            .unwrap_or_default(),
        options,
        batch,
        number: 0,
    };
    if let Some(all) = meta.and_then(|m| child(m, "Binaries")) {
        for binary in all.children().filter(|n| n.has_tag_name("Binary")) {
            reader.binaries.insert(binary.attribute("ID").unwrap_or_default().to_owned(), binary);
        }
    }
    let groups: Vec<_> = root.children().filter(|n| n.has_tag_name("Group")).collect();
    if groups.is_empty() {
        return Err(broken(1, "the Root has no Group, as KeePass has it"));
    }
    for group in groups {
        // The outermost group is the database itself.
        reader.group(group, "", false, 0)?;
    }
    Ok(())
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.has_tag_name(name))
}

/// The text of the child `name`, or nothing.
fn inner<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    child(node, name).and_then(|n| n.text()).unwrap_or_default()
}

struct Reader<'d, 'i, 'b> {
    document: &'d Document<'i>,
    binaries: HashMap<String, Node<'d, 'i>>,
    /// The UUID of the recycle bin.
    bin: String,
    options: &'b Options<'b>,
    batch: &'b mut Batch,
    number: usize,
}

impl<'d, 'i> Reader<'d, 'i, '_> {
    fn line(&self, node: Node<'_, '_>) -> usize {
        self.document.text_pos_at(node.range().start).row as usize
    }

    /// Fails at `node` for what KeePass does not write; unknown parts that could hold values are not passed over.
    fn unknown(&self, node: Node<'_, '_>) -> Error {
        broken(self.line(node), "an element that is not known here").next(
            "Export it again as KeePass XML (2.x); if it came from a newer program, export CSV instead.",
        )
    }

    fn group(&mut self, group: Node<'d, 'i>, path: &str, in_bin: bool, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(broken(self.line(group), "groups are nested more than 64 deep"));
        }
        let in_bin = in_bin || (!self.bin.is_empty() && inner(group, "UUID") == self.bin);
        for node in group.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "Entry" => self.entry(node, path, in_bin)?,
                "Group" => {
                    let name = inner(node, "Name");
                    let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                    self.group(node, &path, in_bin, depth + 1)?;
                }
                "UUID"
                | "Name"
                | "Notes"
                | "IconID"
                | "CustomIconUUID"
                | "Times"
                | "IsExpanded"
                | "DefaultAutoTypeSequence"
                | "EnableAutoType"
                | "EnableSearching"
                | "LastTopVisibleEntry"
                | "Tags"
                | "CustomData"
                | "PreviousParentGroup" => {}
                _ => return Err(self.unknown(node)),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: Node<'d, 'i>, path: &str, in_bin: bool) -> Result<()> {
        super::check_room(self.batch)?;
        self.number += 1;
        let at = At::Entry(self.number);
        let mut record = Record::new(at, "");
        if !path.is_empty() {
            record.tags.push(path.to_owned());
        }
        for node in entry.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "String" => self.string(node, &mut record)?,
                "Binary" => self.binary(node, &mut record)?,
                "Times" if inner(node, "Expires") == "True" => {
                    let line = self.line(node);
                    let time = time(inner(node, "ExpiryTime"));
                    record.expires_at = Some(time.ok_or_else(|| broken(line, "this is no time"))?);
                }
                "Tags" => {
                    let tags = node.text().unwrap_or_default().split([',', ';']).map(str::trim);
                    record.tags.extend(tags.filter(|t| !t.is_empty()).map(str::to_owned));
                }
                "History" if node.children().any(|n| n.has_tag_name("Entry")) => {
                    self.batch.leave(at, None, "earlier versions of it are not taken over");
                }
                "UUID"
                | "IconID"
                | "CustomIconUUID"
                | "ForegroundColor"
                | "BackgroundColor"
                | "OverrideURL"
                | "Times"
                | "AutoType"
                | "History"
                | "QualityCheck"
                | "PreviousParentGroup"
                | "CustomData" => {}
                _ => return Err(self.unknown(node)),
            }
        }
        if in_bin {
            record.what = What::NotOurs("it is in the bin there");
        }
        shape::take(record, self.options, self.batch);
        Ok(())
    }

    fn string(&mut self, node: Node<'_, '_>, record: &mut Record) -> Result<()> {
        let line = self.line(node);
        let (Some(key), Some(value)) = (child(node, "Key"), child(node, "Value")) else {
            return Err(broken(line, "a String without a Key or a Value"));
        };
        if node.children().filter(Node::is_element).count() != 2 {
            return Err(self.unknown(node));
        }
        if value.children().any(|n| n.is_element()) {
            return Err(self.unknown(value));
        }
        if value.attribute("Protected").is_some_and(|yes| yes.eq_ignore_ascii_case("true")) {
            return Err(Error::new(
                Code::InvalidFile,
                format!("line {line}: the values of this file are encrypted"),
            )
            .next("Export the database as plain KeePass XML (2.x), then import that with --shred."));
        }
        let is_hidden =
            value.attribute("ProtectInMemory").is_some_and(|yes| yes.eq_ignore_ascii_case("true"));
        let text = value.text().unwrap_or_default();
        let key = key.text().unwrap_or_default();
        let is_word = || matches!(key, "Title" | "URL");
        match key {
            _ if is_word() && record.parts.iter().any(|p| p.label == key) => {}
            "Title" => record.title = Zeroizing::new(text.to_owned()),
            "URL" => record.url = Zeroizing::new(text.to_owned()),
            "UserName" => record.put_text(Role::User, key, text),
            "Password" => record.put_text(Role::Password, key, text),
            "Notes" => record.put_text(Role::Note, key, text),
            "otp" | "TOTP Seed" => record.put_text(Role::Totp, key, text),
            // KeePass's own seed fields: TimeOtp-Secret-Base32 and its like.
            _ if key.starts_with("TimeOtp-Secret") || key.starts_with("HmacOtp-Secret") => {
                record.put_text(Role::Hidden, key, text);
            }
            "" => return Err(broken(line, "a String with an empty Key")),
            _ if is_hidden => record.put_text(Role::Hidden, key, text),
            _ => record.put_text(Role::Plain, key, text),
        }
        if text.contains("{REF:") {
            let name = super::naming::variable_style(&record.title).unwrap_or_default();
            self.batch.remark(record.at, &name, "a value refers to another entry, and is taken as written");
        }
        Ok(())
    }

    fn binary(&mut self, node: Node<'_, '_>, record: &mut Record) -> Result<()> {
        let line = self.line(node);
        let Some(value) = child(node, "Value") else { return Err(broken(line, "a Binary without a Value")) };
        let file_name = inner(node, "Key").to_owned();
        let stored = match value.attribute("Ref") {
            Some(id) => self.binaries.get(id).copied(),
            None => Some(value),
        };
        let content = match stored {
            None => Err("its file is not in this export"),
            Some(stored) => decoded(stored).map_err(|what| broken(self.line(stored), what))?,
        };
        record.files.push(Attached { file_name, content, is_all: false });
        Ok(())
    }
}

/// The bytes of a `Binary`: base64, perhaps of a gzip stream. The outer error is a damaged file.
fn decoded(
    node: Node<'_, '_>,
) -> std::result::Result<std::result::Result<SecretBytes, &'static str>, &'static str> {
    let text: Zeroizing<String> =
        Zeroizing::new(node.text().unwrap_or_default().split_ascii_whitespace().collect());
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| "this is no base64")?;
    let bytes = Zeroizing::new(bytes);
    if !node.attribute("Compressed").is_some_and(|yes| yes.eq_ignore_ascii_case("true")) {
        return Ok(Ok(SecretBytes::copied(&bytes)));
    }
    let mut plain = Zeroizing::new(vec![0u8; MOST_FILE_BYTES + 1]);
    let mut reader = flate2::read::GzDecoder::new(&bytes[..]);
    let mut filled = 0;
    loop {
        match reader.read(&mut plain[filled..]) {
            Ok(0) => break,
            Ok(size) => filled += size,
            Err(_) => return Err("this is no gzip stream"),
        }
    }
    Ok(match filled > MOST_FILE_BYTES {
        true => Err("the file is larger than 1 MiB"),
        false => Ok(SecretBytes::copied(&plain[..filled])),
    })
}

/// A time: text, or base64 of the seconds since year 1 (KDBX 4).
fn time(text: &str) -> Option<Millis> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    let seconds = i64::from_le_bytes(bytes.try_into().ok()?);
    // From 0001-01-01 to 1970-01-01.
    Some(Millis(seconds.checked_sub(62_135_596_800)?.checked_mul(1000)?))
}
