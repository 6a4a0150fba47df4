//! The file of a backup: age (version 1) around a header and a database image.
//!
//! ```text
//! age( "UNSAIDBK" · header length, 4 bytes big-endian · header, JSON · MAC, 32 bytes · image )
//! ```
//! age authenticates every byte and the end. The MAC, under the root key, says that it was one of us who wrote it: an
//! age recipient is public, so anybody could have written for it. No age plugin is ever run.
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::secret::{Secret, SecretBytes};
use age::secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"UNSAIDBK";
const FORMAT: u32 = 1;
const MOST_HEADER: u32 = 1024 * 1024;
/// An image beyond this is not of a vault.
const MOST_IMAGE: u64 = 64 << 30;
/// scrypt's cost as age writes it: 2^18, about a second. A file that asks for more than 2^21 is refused.
const WORK: u8 = if cfg!(test) { 10 } else { 18 };
const MOST_WORK: u8 = 21;

/// To whom a backup is encrypted.
pub enum Seal {
    Passphrase(Secret),
    /// An age X25519 recipient, `age1…`.
    Recipient(String),
}

impl Seal {
    /// How the list of backups calls it.
    pub fn name(&self) -> String {
        match self {
            Seal::Passphrase(_) => "passphrase".into(),
            Seal::Recipient(recipient) => recipient.clone(),
        }
    }
}

/// What opens a backup.
pub enum Opening {
    Passphrase(Secret),
    /// The text of an age identity file.
    Identity(SecretBytes),
}

/// The state of one org's audit chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadOf {
    pub org: String,
    pub seq: i64,
    /// Hexadecimal.
    pub mac: String,
}

/// What a backup says of itself. Bound to the image by its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: u32,
    pub program: String,
    pub instance: String,
    pub schema: i64,
    pub created_at: Millis,
    pub root_version: i64,
    pub heads: Vec<HeadOf>,
    pub rows: Vec<(String, i64)>,
    pub image_bytes: u64,
    /// Hexadecimal SHA-256.
    pub image_sha256: String,
}

impl Header {
    pub const fn format() -> u32 {
        FORMAT
    }
}

/// The header as its MAC covers it.
pub fn canonical(header: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &(header.len() as u32).to_be_bytes(), header].concat()
}

/// Writes a whole backup. `header` is its JSON, `mac` the root key's over [`canonical`].
pub fn write(
    out: impl Write,
    seal: &Seal,
    header: &[u8],
    mac: &[u8; 32],
    image: &mut impl Read,
) -> Result<()> {
    let encryptor = match seal {
        Seal::Passphrase(passphrase) => {
            let mut recipient =
                age::scrypt::Recipient::new(passphrase.expose(|p| SecretString::from(p.to_owned())));
            recipient.set_work_factor(WORK);
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        }
        Seal::Recipient(text) => {
            let recipient = parse_recipient(text)?;
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        }
    };
    let encryptor = encryptor.map_err(|_| internal("age did not take its recipient"))?;
    let written = (|| {
        let mut sealed = encryptor.wrap_output(out)?;
        sealed.write_all(&canonical(header))?;
        sealed.write_all(mac)?;
        io::copy(image, &mut sealed)?;
        sealed.finish()?.flush()
    })();
    written.map_err(|e| {
        let full = e.kind() == io::ErrorKind::StorageFull;
        Error::new(if full { Code::StoreFull } else { Code::InvalidFile }, "the backup could not be written")
            .because(e)
    })
}

/// An X25519 recipient, or `invalid_input`: an SSH key or a plugin's recipient is not taken.
pub fn parse_recipient(text: &str) -> Result<age::x25519::Recipient> {
    text.trim()
        .parse()
        .map_err(|_| invalid("that is no age recipient: it starts with age1, as `age-keygen` prints it"))
}

/// Reads a whole backup, its image into `image`. Every byte is authenticated before this returns without an error; what is
/// in `image` after an error is rubbish.
///
/// Fails with `invalid_file` for what is no backup or a damaged one, `invalid_input` where the passphrase or identity does
/// not open it, `store_newer` for a format of later days.
pub fn read(
    input: impl Read,
    opening: &Opening,
    image: &mut impl Write,
) -> Result<(Header, Vec<u8>, [u8; 32])> {
    let decryptor =
        age::Decryptor::new(input).map_err(|_| invalid_file("the file is no backup, or it is damaged"))?;
    let sealed_to_passphrase = decryptor.is_scrypt();
    let mut plain = match opening {
        Opening::Passphrase(_) if !sealed_to_passphrase => {
            return Err(invalid("this backup is encrypted to an age recipient, not to a passphrase")
                .next("Name the file of its age identity with `--identity PATH`."));
        }
        Opening::Identity(_) if sealed_to_passphrase => {
            return Err(invalid("this backup is encrypted to a passphrase, not to an age recipient")
                .next("Leave `--identity` out; the passphrase is asked for."));
        }
        Opening::Passphrase(passphrase) => {
            let mut identity =
                age::scrypt::Identity::new(passphrase.expose(|p| SecretString::from(p.to_owned())));
            identity.set_max_work_factor(MOST_WORK);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        Opening::Identity(text) => {
            let identities = parse_identities(text)?;
            decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity))
        }
    }
    .map_err(not_opened)?;

    let mut start = [0u8; 12];
    plain.read_exact(&mut start).map_err(damaged)?;
    let (magic, length) = start.split_at(8);
    if magic != MAGIC {
        return Err(invalid_file("the file is an age file, and no backup of unsaid"));
    }
    let length = u32::from_be_bytes(length.try_into().expect("split at eight of twelve bytes"));
    if length > MOST_HEADER {
        return Err(invalid_file("the header of the backup is too long"));
    }
    let mut header = vec![0u8; length as usize];
    plain.read_exact(&mut header).map_err(damaged)?;
    let mut mac = [0u8; 32];
    plain.read_exact(&mut mac).map_err(damaged)?;
    let parsed = parse_header(&header)?;
    let mut hash = Sha256::new();
    let mut size = 0u64;
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        match plain.read(&mut buffer).map_err(damaged)? {
            0 => break,
            n => {
                size += n as u64;
                if size > parsed.image_bytes {
                    return Err(invalid_file("the backup is longer than its header says"));
                }
                hash.update(&buffer[..n]);
                image.write_all(&buffer[..n]).map_err(not_stored)?;
            }
        }
    }
    if size != parsed.image_bytes || data_encoding::HEXLOWER.encode(&hash.finalize()) != parsed.image_sha256 {
        return Err(invalid_file("the image in the backup is not the one its header names"));
    }
    Ok((parsed, header, mac))
}

fn parse_header(bytes: &[u8]) -> Result<Header> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let unreadable = || invalid_file("the header of the backup cannot be read");
    let found: Format = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    if found.format > FORMAT {
        return Err(Error::new(Code::StoreNewer, "the backup was written by a newer unsaid"));
    }
    let header: Header = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    if header.format != FORMAT || header.image_bytes > MOST_IMAGE {
        return Err(unreadable());
    }
    Ok(header)
}

/// The X25519 identities of an identity file; comments and other kinds of lines are skipped.
fn parse_identities(text: &SecretBytes) -> Result<Vec<age::x25519::Identity>> {
    let found: Vec<_> = text.expose(|bytes| {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    });
    match found.is_empty() {
        true => Err(invalid("the identity file holds no age identity (AGE-SECRET-KEY-1…)")),
        false => Ok(found),
    }
}

fn not_opened(e: age::DecryptError) -> Error {
    use age::DecryptError as E;
    match e {
        E::DecryptionFailed | E::KeyDecryptionFailed | E::NoMatchingKeys => {
            invalid("what was given does not open this backup")
                .next("Check the passphrase or the identity, and the file.")
        }
        E::ExcessiveWork { .. } => invalid_file("the file asks for more work to open than any backup does"),
        _ => invalid_file("the file is no backup, or it is damaged"),
    }
}

fn damaged(e: io::Error) -> Error {
    invalid_file("the backup is damaged or cut off").because(e)
}

fn not_stored(e: io::Error) -> Error {
    let full = e.kind() == io::ErrorKind::StorageFull;
    Error::new(
        if full { Code::StoreFull } else { Code::StoreReadOnly },
        "the image could not be written to the disk",
    )
    .because(e)
}

fn invalid_file(why: &'static str) -> Error {
    Error::new(Code::InvalidFile, why)
        .next("Take another copy of the backup, or an older backup. Nothing was written.")
}
