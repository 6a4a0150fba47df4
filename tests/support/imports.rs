//! The samples of `tests/fixtures/imports`, what must be in the vault after each, and ways to damage them.
//!
//! What a scanner would take for a key stands in the samples as `@…@` and is put in here.
use super::world::World;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use unsaid::error::Result;
use unsaid::import::{Batch, Format};
use unsaid::model::credential::{CredentialType, Scope};
use unsaid::ops::credential::sealing::open_fields;
use unsaid::ops::credential::value::Entered;
use unsaid::ops::import::{Into, OnClash, Plan, Wish, import, plan, read};
use unsaid::store::{ListFilter, Place};

/// What stands behind an `@…@`.
pub fn filled(text: &str) -> String {
    let key = |word: &str| format!("{word} OPENSSH PRIVATE {}", "KEY");
    text.replace("@AWS@", &format!("{}{}:{}", "AK", "IAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY"))
        .replace("@BEGIN@", &key("BEGIN"))
        .replace("@END@", &key("END"))
        .replace("@DSN@", &format!("postgres://{}:{}@127.0.0.1/db", "u", "p"))
        .replace("@SK@", &format!("sk-{}-0001", "synthetic"))
        .replace("@GHP@", &format!("ghp_{}", "SYNTHETIC000".repeat(3)))
        .replace("@KEYID1@", &format!("{}{}", "AK", "IAIOSFODNN7EXAMPLE"))
        .replace("@KEYID2@", &format!("{}{}", "AK", "IAI44QH8DHBEXAMPLE"))
        .replace("@KEY1@", &format!("{}/{}", "wJalrXUtnFEMI/K7MDENG", "bPxRfiCYEXAMPLEKEY"))
        .replace("@KEY2@", &format!("{}/{}", "je7MtGbClwBF/2Zp9Utk", "h3yCo8nvbEXAMPLEKEY"))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imports")
}

fn text(name: &str) -> String {
    filled(&std::fs::read_to_string(folder().join(name)).unwrap())
}

/// The bytes of a sample; the archive is packed here.
pub fn sample(name: &str) -> Vec<u8> {
    match name {
        "1password.1pux" => packed(&export_data(), &[("files/doc1__readme.txt", b"attachment")]),
        name => text(name).into_bytes(),
    }
}

/// `export.data` with one document more, to which the archive has the file.
pub fn export_data() -> String {
    let mut data: serde_json::Value = serde_json::from_str(&text("1pux/export.data")).unwrap();
    let document = serde_json::json!({
        "uuid": "d", "favIndex": 0, "createdAt": 1, "updatedAt": 1, "state": "active", "categoryUuid": "006",
        "details": { "loginFields": [], "notesPlain": "", "sections": [], "passwordHistory": [],
                     "documentAttributes": { "documentId": "doc1", "fileName": "readme.txt", "decryptedSize": 10 } },
        "overview": { "subtitle": "", "title": "Deploy file", "url": "", "tags": [] }
    });
    data["accounts"][0]["vaults"][0]["items"].as_array_mut().unwrap().push(document);
    data.to_string()
}

/// A 1PUX archive with this `export.data` and these files.
pub fn packed(data: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let attributes = text("1pux/export.attributes");
    let mut members = vec![("export.attributes", attributes.as_bytes()), ("export.data", data.as_bytes())];
    members.extend(files);
    zipped(&members)
}

pub fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Every sample that is a whole file, with the format that it must be taken for.
#[rustfmt::skip]
pub const SAMPLES: &[(&str, Format)] = &[
    ("1password.1pux", Format::OnePux), ("1password8.csv", Format::OnePasswordCsv),
    ("1password7-mac.csv", Format::OnePassword7Csv), ("op-item-get.json", Format::OnePasswordItem),
    ("bitwarden.json", Format::BitwardenJson), ("bitwarden-org.json", Format::BitwardenJson),
    ("bitwarden.csv", Format::BitwardenCsv), ("lastpass.csv", Format::Lastpass),
    ("chrome.csv", Format::Browser), ("chrome-old.csv", Format::Browser), ("edge.csv", Format::Browser),
    ("firefox.csv", Format::Firefox), ("safari.csv", Format::Safari), ("keepass.xml", Format::KeepassXml),
    ("keepassxc.csv", Format::KeepassxcCsv), ("doppler-download.json", Format::Doppler),
    ("doppler-secrets.json", Format::Doppler), ("doppler-api.json", Format::Doppler),
    ("infisical.json", Format::Infisical), ("infisical.csv", Format::InfisicalCsv),
    ("vault-kv1-get.json", Format::Vault), ("vault-kv2-get.json", Format::Vault),
    ("aws-get-secret-value.json", Format::Aws), ("aws-get-secret-value-epoch.json", Format::Aws),
    ("aws-get-secret-value-binary.json", Format::Aws), ("aws-batch-get-secret-value.json", Format::Aws),
    ("azure-secret-show.json", Format::Azure), ("gcp-access.json", Format::Gcp),
    ("k8s-secret.yaml", Format::Kubernetes), ("infisical.yaml", Format::Yaml),
    ("files/aws-credentials", Format::AwsProfiles), ("files/netrc", Format::Netrc),
    ("files/npmrc", Format::Npmrc), ("files/gh-hosts.yml", Format::Gh),
    ("files/docker-config.json", Format::DockerConfig), ("files/pgpass", Format::Pgpass),
];

/// A credential as it is found in the vault, or as it must be found.
#[derive(Clone, PartialEq)]
pub struct Stored {
    pub name: String,
    pub account: String,
    pub kind: CredentialType,
    pub fields: BTreeMap<String, Vec<u8>>,
    pub file_name: String,
    pub service: String,
    pub description: String,
    pub tags: Vec<String>,
    pub expires_at: Option<String>,
}

impl Stored {
    pub fn new(name: &str, kind: CredentialType, fields: &[(&str, &str)]) -> Self {
        Self {
            name: name.into(),
            account: String::new(),
            kind,
            fields: fields.iter().map(|(n, v)| ((*n).to_owned(), filled(v).into_bytes())).collect(),
            file_name: String::new(),
            service: String::new(),
            description: String::new(),
            tags: Vec::new(),
            expires_at: None,
        }
    }
    pub fn key(name: &str, value: &str) -> Self {
        Self::new(name, CredentialType::ApiKey, &[("value", value)])
    }
    pub fn login(name: &str, user: &str, password: &str) -> Self {
        Self::new(name, CredentialType::Basic, &[("username", user), ("password", password)])
    }
    pub fn custom(name: &str, fields: &[(&str, &str)]) -> Self {
        Self::new(name, CredentialType::Custom, fields)
    }
    pub fn file(name: &str, content: &str) -> Self {
        Self::new(name, CredentialType::File, &[("content", content)])
    }
    pub fn of(mut self, account: &str) -> Self {
        self.account = account.into();
        self
    }
    pub fn with(mut self, field: &str, value: &str) -> Self {
        self.kind = CredentialType::Custom;
        self.fields.insert(field.into(), filled(value).into_bytes());
        self
    }
    pub fn described(mut self, description: &str, tags: &[&str]) -> Self {
        self.description = description.into();
        self.tags = tags.iter().map(|t| (*t).to_owned()).collect();
        self
    }
    pub fn serving(mut self, service: &str) -> Self {
        self.service = service.into();
        self
    }
    pub fn named(mut self, file_name: &str) -> Self {
        self.file_name = file_name.into();
        self
    }
    pub fn until(mut self, expires_at: &str) -> Self {
        self.expires_at = Some(expires_at.into());
        self
    }
}

pub const ADA: &str = "ada";

pub fn personal() -> Into {
    Into { scope: Scope::Personal, team: None, environment: None }
}

/// Reads a sample as a person who says nothing about it.
pub fn read_sample(w: &World, name: &str, format: Format, bytes: &[u8]) -> Result<Batch> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    read(&w.app, format, bytes, &Wish { name: stem.into(), ..Wish::default() })
}

pub async fn planned(w: &World, name: &str, format: Format, bytes: &[u8]) -> Result<Plan> {
    let batch = read_sample(w, name, format, bytes)?;
    plan(&w.app, &w.person(ADA), format, batch, personal(), Vec::new()).await
}

pub async fn imported(w: &World, mut plan: Plan, what: OnClash) -> Result<Vec<Entered>> {
    plan.decide(what);
    import(&w.app, &w.person(ADA), plan, None).await
}

/// Everything of Ada's in the vault, opened.
pub async fn stored(w: &World) -> Vec<Stored> {
    let (org, user) = (w.org.clone(), w.person(ADA).user);
    let rows = w.app.store.read(move |tx| {
        let filter = ListFilter {
            places: vec![Place::Owned(Scope::Personal, user.0.clone())],
            deleted: false,
            after: None,
            limit: 100_000,
        };
        let mut rows = Vec::new();
        for c in tx.list_credentials(&org, &filter)? {
            let version = tx.current_version(&c)?.expect("an imported credential has a value");
            let fields = tx.fields(&version.id)?;
            rows.push((c, version, fields));
        }
        Ok(rows)
    });
    let vault = w.app.vault();
    let open = |(c, v, sealed)| {
        let (c, v): (unsaid::model::credential::Credential, unsaid::model::credential::Version) = (c, v);
        let fields = open_fields(&vault, &c, &v, sealed).expect("a field opens");
        Stored {
            fields: fields.into_iter().map(|(n, value)| (n, value.expose(<[u8]>::to_vec))).collect(),
            name: c.name,
            account: c.account,
            kind: c.kind,
            file_name: v.file_name,
            service: c.service,
            description: c.description,
            tags: c.tags,
            expires_at: c.expires_at.map(|at| at.to_string()),
        }
    };
    rows.await.expect("the vault reads").into_iter().map(open).collect()
}

/// How many credentials Ada has.
pub async fn count(w: &World) -> i64 {
    let (org, user) = (w.org.clone(), w.person(ADA).user);
    let places = [Place::Owned(Scope::Personal, user.0)];
    w.app.store.read(move |tx| tx.count_credentials(&org, &places, 1_000_000)).await.unwrap()
}

/// Fails where the vault does not hold exactly this, telling names and fields and no value.
pub fn expect_same(sample: &str, found: &[Stored], expected: &[Stored]) {
    let label = |s: &Stored| format!("{} ({})", s.name, s.account);
    for wanted in expected {
        let Some(one) = found.iter().find(|s| s.name == wanted.name && s.account == wanted.account) else {
            let all: Vec<_> = found.iter().map(label).collect();
            panic!("{sample}: {} is not there, but {all:?}", label(wanted));
        };
        let at = label(wanted);
        assert_eq!(one.kind, wanted.kind, "{sample}: type of {at}");
        let names = |s: &Stored| s.fields.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(one), names(wanted), "{sample}: fields of {at}");
        for (field, value) in &wanted.fields {
            assert!(one.fields[field] == *value, "{sample}: {at}.{field} is not what the file holds");
        }
        assert_eq!(one.file_name, wanted.file_name, "{sample}: file name of {at}");
        assert_eq!(one.service, wanted.service, "{sample}: service of {at}");
        assert_eq!(one.expires_at, wanted.expires_at, "{sample}: expiry of {at}");
        assert_eq!(one.description, wanted.description, "{sample}: description of {at}");
        assert_eq!(one.tags, wanted.tags, "{sample}: tags of {at}");
    }
    let extra: Vec<_> = found.iter().map(label).collect();
    assert_eq!(found.len(), expected.len(), "{sample}: {extra:?}");
}

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % most.max(1) as u64) as usize
    }
}

/// One way of damage to a file of text. `n` chooses the kind, the dice the place.
pub fn damaged(bytes: &[u8], n: usize, dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = dice.below(out.len());
    let positions = |of: &[u8], wanted: &[u8]| -> Vec<usize> {
        of.iter().enumerate().filter(|(_, b)| wanted.contains(b)).map(|(i, _)| i).collect()
    };
    match n % 12 {
        0 => out.truncate(at),
        1 => out[at] ^= 1 << dice.below(8),
        2 => {
            out.drain(at..(at + 1 + dice.below(40)).min(bytes.len()));
        }
        // Another delimiter throughout, as a spreadsheet writes it.
        3 => {
            let other = [b';', b'\t', b'|', b' '][dice.below(4)];
            out.iter_mut().filter(|b| **b == b',').for_each(|b| *b = other);
            if out == bytes {
                out.iter_mut().filter(|b| **b == b'<').for_each(|b| *b = other);
            }
        }
        4 => out.insert(at, b'"'),
        // A quote, a bracket or a tag that is lost.
        5 => match positions(&out, b"\"{}[]<>") {
            all if all.is_empty() => out.truncate(at),
            all => {
                out.remove(all[dice.below(all.len())]);
            }
        },
        6 => out = String::from_utf8_lossy(bytes).encode_utf16().flat_map(u16::to_le_bytes).collect(),
        // Latin-1: what it does not have becomes a question mark.
        7 => {
            out = String::from_utf8_lossy(bytes)
                .chars()
                .map(|c| u8::try_from(c as u32).unwrap_or(b'?'))
                .collect();
            if out.is_ascii() {
                out.insert(at, 0xE4);
            }
        }
        8 => {
            let piece = bytes[at..(at + 1 + dice.below(60)).min(bytes.len())].to_vec();
            out.splice(at..at, piece);
        }
        // A cell or a member that is lost, up to the next delimiter.
        9 => match positions(&out, b",\n") {
            all if all.len() < 2 => out.truncate(at),
            all => {
                let which = dice.below(all.len() - 1);
                out.drain(all[which]..all[which + 1]);
            }
        },
        // A value of another type, in JSON; a NUL elsewhere.
        10 => {
            let ends = positions(&out, b"\"");
            let values: Vec<_> = ends
                .windows(2)
                .filter(|w| w[0] > 1 && bytes[..w[0]].trim_ascii_end().ends_with(b":"))
                .collect();
            match values.is_empty() {
                true => out[at] = 0,
                false => {
                    let place = values[dice.below(values.len())];
                    let other: &[u8] =
                        [&b"12345"[..], b"[]", b"{}", b"true", b"1.5e99", b"[{\"a\":1}]"][dice.below(6)];
                    out.splice(place[0]..=place[1], other.iter().copied());
                }
            }
        }
        _ => {
            for _ in 0..1 + dice.below(8) {
                let at = dice.below(out.len());
                out[at] = dice.below(256) as u8;
            }
        }
    }
    out
}
