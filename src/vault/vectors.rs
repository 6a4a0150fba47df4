//! Golden vectors of envelope version 1: tests/vectors/envelope_v1.json, checked here and by anybody else.
//!
//! `cargo test --lib vault::vectors::write_the_vectors -- --ignored` writes the file anew. A change in it is a
//! change of the format, and would need a new format number instead.
use super::context::Context;
use super::envelope::{self, Content, KeyName};
use super::keys;
use super::locked::LockedKey;
use super::random::{Random, Seeded};
use crate::error::{Code, Result};
use crate::secret::SecretBytes;
use data_encoding::HEXLOWER as HEX;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Serialize, Deserialize, Clone)]
struct Place {
    instance: String,
    org: String,
    table: String,
    record: String,
    version: u64,
    field: String,
    scope: String,
    owner: String,
    /// Hex.
    policy: String,
}

impl Place {
    fn context(&self) -> Context<'_> {
        Context {
            instance: &self.instance,
            org: &self.org,
            table: &self.table,
            record: &self.record,
            version: self.version,
            field: &self.field,
            scope: &self.scope,
            owner: &self.owner,
            policy: HEX.decode(self.policy.as_bytes()).unwrap().try_into().unwrap(),
        }
    }
}

/// `plain` is `size` bytes, byte n being (7 n + first) mod 256.
#[derive(Serialize, Deserialize, Clone)]
struct Positive {
    key: String,
    key_id: String,
    key_version: u32,
    place: Place,
    content: String,
    size: usize,
    first: u8,
    salt: String,
    sealed_sha256: String,
    /// Left out where it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Negative {
    what: String,
    key: String,
    key_id: String,
    key_version: u32,
    place: Place,
    sealed: String,
    code: String,
}

#[derive(Serialize, Deserialize)]
struct Vectors {
    format: String,
    positive: Vec<Positive>,
    negative: Vec<Negative>,
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/envelope_v1.json");

struct Salt(Vec<u8>);

impl Random for Salt {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    HEX.decode(hex.as_bytes()).unwrap()
}

fn key_of(hex: &str) -> LockedKey {
    LockedKey::copied(&bytes(hex).try_into().unwrap())
}

fn content_of(name: &str) -> Content {
    match name {
        "value" => Content::Value,
        "key" => Content::Key,
        _ => Content::File,
    }
}

fn plain_of(v: &Positive) -> Vec<u8> {
    (0..v.size).map(|n| (n.wrapping_mul(7) as u8).wrapping_add(v.first)).collect()
}

fn seal(v: &Positive) -> Vec<u8> {
    let name = KeyName { id: bytes(&v.key_id).try_into().unwrap(), version: v.key_version };
    let (place, salt) = (v.place.context(), Salt(bytes(&v.salt)));
    envelope::seal(&key_of(&v.key), name, &place, content_of(&v.content), &plain_of(v), &salt).unwrap()
}

fn open(
    key: &str,
    id: &str,
    version: u32,
    place: &Place,
    content: &[Content],
    sealed: &[u8],
) -> Result<SecretBytes> {
    let parsed = envelope::parse(sealed)?;
    keys::expect_name(parsed.name, KeyName { id: bytes(id).try_into().unwrap(), version })?;
    parsed.open(&key_of(key), &place.context(), content)
}

fn positives() -> Vec<Positive> {
    let random = Seeded::new(1);
    let hex = |size: usize| {
        let mut out = vec![0; size];
        random.fill(&mut out).unwrap();
        HEX.encode(&out)
    };
    let sizes = [
        0, 1, 2, 31, 32, 63, 64, 65, 100, 127, 128, 129, 200, 255, 256, 257, 400, 511, 512, 513, 1023, 1024,
        1025, 2000, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_536,
    ];
    let files = [0, 64, 1000, 65_536, 65_537, 1_048_575, 1_048_576];
    let all = sizes.iter().map(|size| ("value", *size)).chain(files.iter().map(|size| ("file", *size)));
    let all = all.chain([("key", 32); 6]);
    let place = |n: usize| Place {
        instance: ["01J0INSTANCE", "", "vault-ä"][n % 3].into(),
        org: ["01J0ORG", "org-2"][n % 2].into(),
        table: ["credentials", "connections", "providers"][n % 3].into(),
        record: format!("01J0RECORD{n}"),
        version: [0, 1, 2, u64::from(u32::MAX) + 1, u64::MAX][n % 5],
        field: ["value", "access_token", "refresh_token", ""][n % 4].into(),
        scope: ["org", "team", "personal"][n % 3].into(),
        owner: ["", "01J0USER"][n % 2].into(),
        policy: if n % 4 == 1 { hex(32) } else { HEX.encode(&[0; 32]) },
    };
    all.enumerate()
        .map(|(n, (content, size))| {
            let mut v = Positive {
                key: hex(32),
                key_id: hex(16),
                key_version: [1, 2, 7, u32::MAX][n % 4],
                place: place(n),
                content: content.into(),
                size,
                first: n as u8,
                salt: hex(32),
                sealed_sha256: String::new(),
                sealed: None,
            };
            let sealed = seal(&v);
            v.sealed_sha256 = HEX.encode(&Sha256::digest(&sealed));
            v.sealed = (sealed.len() < 2048).then(|| HEX.encode(&sealed));
            v
        })
        .collect()
}

fn negatives(base: &Positive, other: &Positive) -> Vec<Negative> {
    let whole = seal(base);
    let mut out: Vec<Negative> = Vec::new();
    let mut add = |what: String, place: &Place, sealed: Vec<u8>, code: Code| {
        out.push(Negative {
            what,
            key: base.key.clone(),
            key_id: base.key_id.clone(),
            key_version: base.key_version,
            place: place.clone(),
            sealed: HEX.encode(&sealed),
            code: code.name().into(),
        })
    };
    let with = |at: usize, new: &[u8]| {
        let mut sealed = whole.clone();
        sealed[at..at + new.len()].copy_from_slice(new);
        sealed
    };
    let flip = |at: usize, bit: usize| with(at, &[whole[at] ^ 1 << bit]);
    use Code::{BadEnvelope as Bad, Integrity, KeyUnknown};

    for n in [0u8, 2, 3, 127, 128, 255] {
        add(format!("format {n}"), &base.place, with(2, &[n]), Bad);
        add(format!("suite {n}"), &base.place, with(3, &[n]), Bad);
        add(format!("flags {}", n | 1), &base.place, with(4, &[n | 1]), Bad);
    }
    for magic in [b"cv", b"VC", b"CX", b"\0\0"] {
        add(format!("magic {magic:?}"), &base.place, with(0, magic), Bad);
    }
    for at in 0..16 {
        add(format!("key id, byte {at}"), &base.place, flip(5 + at, at % 8), Integrity);
    }
    for version in [0u32, 3, 1 << 31, u32::MAX] {
        add(format!("key version {version}"), &base.place, with(21, &version.to_be_bytes()), KeyUnknown);
    }
    for at in 0..32 {
        add(format!("salt, byte {at}"), &base.place, flip(25 + at, at % 8), Integrity);
        add(format!("commitment, byte {at}"), &base.place, flip(57 + at, 7 - at % 8), Integrity);
    }
    add("commitment of zeros".into(), &base.place, with(57, &[0; 32]), Integrity);
    for size in [0u32, 1, 5, 64, 68, 70, 133, 261, 1 << 20, (1 << 20) + 5, 1 << 31, u32::MAX] {
        add(format!("length {size}"), &base.place, with(89, &size.to_be_bytes()), Bad);
    }
    let end = whole.len();
    for at in (93..end).step_by(4) {
        add(format!("ciphertext or tag, byte {at}"), &base.place, flip(at, at % 8), Integrity);
    }
    for at in end - 16..end {
        add(format!("tag, byte {}", at + 16 - end), &base.place, flip(at, 0), Integrity);
    }
    for size in [0, 1, 2, 4, 5, 21, 25, 57, 89, 92, 93, 94, 108, 109, end - 17, end - 16, end - 1] {
        add(format!("cut to {size} bytes"), &base.place, whole[..size].to_vec(), Bad);
    }
    for size in [1, 16, 64, 65] {
        add(format!("{size} bytes longer"), &base.place, [&whole[..], &vec![0; size]].concat(), Bad);
    }
    add("twice".into(), &base.place, [&whole[..], &whole].concat(), Bad);
    add("another record's".into(), &base.place, seal(other), Integrity);
    for (field, place) in moved(&base.place) {
        add(format!("another {field}"), &place, whole.clone(), Integrity);
    }
    let kind = |content| {
        let name = KeyName { id: bytes(&base.key_id).try_into().unwrap(), version: base.key_version };
        let salt = Salt(bytes(&base.salt));
        envelope::seal(&key_of(&base.key), name, &base.place.context(), content, &[1; 32], &salt).unwrap()
    };
    add("a key where a value belongs".into(), &base.place, kind(Content::Key), Bad);
    out
}

/// The same place with one part changed, for each part.
fn moved(place: &Place) -> Vec<(&'static str, Place)> {
    let change = |what: &'static str, change: &dyn Fn(&mut Place)| {
        let mut place = place.clone();
        change(&mut place);
        (what, place)
    };
    vec![
        change("instance", &|p| p.instance.push('x')),
        change("org", &|p| p.org.push('x')),
        change("table", &|p| p.table.push('x')),
        change("record", &|p| p.record.push('x')),
        change("version", &|p| p.version ^= 1),
        change("field", &|p| p.field.push('x')),
        change("scope", &|p| p.scope.push('x')),
        change("owner", &|p| p.owner.push('x')),
        change("policy", &|p| p.policy = HEX.encode(&[1; 32])),
        change("split of record and field", &|p| {
            let last = p.record.pop().unwrap();
            p.field.insert(0, last);
        }),
    ]
}

/// A version 1 envelope of 178 bytes, with version 2 of its key.
fn base(all: &[Positive]) -> &Positive {
    &all[1]
}

#[test]
#[ignore = "writes the file that the others check"]
fn write_the_vectors() {
    let positive = positives();
    let negative = negatives(base(&positive), &positive[2]);
    let vectors = Vectors { format: "unsaid envelope 1, as described in src/vault/envelope.rs; bytes in hex; byte n of a plaintext is 7 n + first".into(), positive, negative };
    let lines = |all: Vec<String>| all.join(",\n");
    let positive = lines(vectors.positive.iter().map(|v| serde_json::to_string(v).unwrap()).collect());
    let negative = lines(vectors.negative.iter().map(|v| serde_json::to_string(v).unwrap()).collect());
    let format = serde_json::to_string(&vectors.format).unwrap();
    let text =
        format!("{{\"format\": {format},\n\"positive\": [\n{positive}],\n\"negative\": [\n{negative}]}}\n");
    std::fs::write(FILE, text).unwrap();
}

fn vectors() -> Vectors {
    serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap()
}

#[test]
fn k_02_every_golden_envelope_is_sealed_and_opened_bit_for_bit() {
    let all = vectors().positive;

    assert!(all.len() >= 40);
    for v in &all {
        let sealed = seal(v);
        assert_eq!(HEX.encode(&Sha256::digest(&sealed)), v.sealed_sha256);
        assert!(v.sealed.as_ref().is_none_or(|hex| bytes(hex) == sealed));
        let opened =
            open(&v.key, &v.key_id, v.key_version, &v.place, &[content_of(&v.content)], &sealed).unwrap();
        assert!(opened.expose(|b| b == plain_of(v)));
    }
}

#[test]
fn k_03_every_negative_vector_is_refused_with_its_code() {
    let all = vectors().negative;

    assert!(all.len() >= 150, "{}", all.len());
    for v in &all {
        let opened = open(&v.key, &v.key_id, v.key_version, &v.place, &[Content::Value], &bytes(&v.sealed));
        assert_eq!(opened.map(|_| ()).unwrap_err().code.name(), v.code, "{}", v.what);
    }
}

#[test]
fn k_04_flipping_any_bit_of_an_envelope_makes_it_unreadable() {
    let all = positives_small();
    let v = base(&all);
    let whole = seal(v);
    let refused =
        |sealed: &[u8]| open(&v.key, &v.key_id, v.key_version, &v.place, &[Content::Value], sealed).is_err();

    assert!(!refused(&whole));
    for bit in 0..whole.len() * 8 {
        let mut sealed = whole.clone();
        sealed[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&sealed), "bit {bit}");
    }
}

#[test]
fn k_05_an_envelope_opens_in_no_place_but_its_own() {
    for v in vectors().positive.iter().filter(|v| v.content == "value" && v.size < 600) {
        let sealed = seal(v);
        for (part, place) in moved(&v.place) {
            let opened = open(&v.key, &v.key_id, v.key_version, &place, &[Content::Value], &sealed);
            assert_eq!(opened.map(|_| ()).unwrap_err().code, Code::Integrity, "{part}");
        }
    }
}

fn positives_small() -> Vec<Positive> {
    vectors().positive.into_iter().filter(|v| v.size < 64).collect()
}
