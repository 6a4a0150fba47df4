//! A 1PUX archive: a ZIP with `export.attributes`, `export.data` and the files that items refer to.
//!
//! Nothing is unpacked to disk. Refuses members whose names lead out of a folder, encrypted ones, archives that grow
//! beyond what an export may be, and members that are larger than they say.
use super::batch::{At, Batch};
use super::{MAX_TEXT_BYTES, Options, onepassword, tree};
use crate::error::{Code, Error, Result};
use crate::secret::SecretBytes;
use std::collections::HashSet;
use std::io::{Cursor, Read as _};
use zeroize::Zeroizing;
use zip::ZipArchive;
use zip::result::ZipError;

/// All members together, bytes, unpacked.
const MOST_UNPACKED: u64 = 256 * 1024 * 1024;
const MOST_MEMBERS: usize = 20_000;
/// The longest file that becomes a credential, bytes.
const MOST_FILE_BYTES: usize = 1024 * 1024;

const ATTRIBUTES: &str = "export.attributes";
const DATA: &str = "export.data";

fn damaged(what: &str) -> Error {
    Error::new(Code::InvalidFile, what.to_owned())
        .next("Export it again in 1Password, and import the .1pux file as it is.")
}

pub(super) fn read(bytes: &[u8], options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|_| damaged("this is no 1PUX archive, or it is cut off"))?;
    let names = check_members(&mut archive)?;
    for name in [ATTRIBUTES, DATA] {
        if !names.contains(name) {
            return Err(damaged(&format!("the archive has no {name}, as a 1PUX export has")));
        }
    }
    let attributes = text(&mut archive, ATTRIBUTES)?;
    let version = tree::parse(&attributes)
        .and_then(|node| node.into_map(At::Line(1), ATTRIBUTES))
        .and_then(|mut map| map.number("version", At::Line(1)))
        .map_err(|_| damaged("export.attributes is not what 1Password writes"))?;
    if version != Some(3) {
        return Err(damaged("this is not version 3 of the 1PUX format, the one that is known here"));
    }
    let data = text(&mut archive, DATA)?;
    let data = tree::parse(&data)?.into_map(At::Line(1), DATA)?;
    let mut used = HashSet::new();
    let mut file = |id: &str, name: &str| {
        let member = format!("files/{id}__{name}");
        if !names.contains(member.as_str()) {
            return Ok(Err("its file is not in the archive"));
        }
        used.insert(member.clone());
        content(&mut archive, &member)
    };
    onepassword::read(data, &mut file, options, batch)?;
    let unused =
        names.iter().filter(|n| n.starts_with("files/") && !n.ends_with('/') && !used.contains(*n)).count();
    if unused > 0 {
        let why = format!("{unused} files of the archive belong to no item");
        batch.leave(At::Entry(batch.entries), None, why);
    }
    Ok(())
}

/// The names of all members, once each of them is found harmless.
fn check_members(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<HashSet<String>> {
    if archive.len() > MOST_MEMBERS {
        return Err(Error::new(Code::TooLarge, "the archive has more than 20,000 members"));
    }
    let mut names = HashSet::with_capacity(archive.len());
    let mut total = 0u64;
    for at in 0..archive.len() {
        let member =
            archive.by_index_raw(at).map_err(|_| damaged("the archive's list of members is damaged"))?;
        let name = member.name().map_err(|_| damaged("a name in the archive is not text"))?.into_owned();
        let leads_out = name.starts_with('/')
            || name.contains(['\\', '\0', ':'])
            || name.split('/').any(|part| part == ".." || part == ".");
        if leads_out {
            return Err(damaged(&format!("the name of member {} leads out of the archive", at + 1)));
        }
        if member.encrypted() {
            return Err(damaged(&format!("member {} of the archive is encrypted", at + 1)));
        }
        total = total.saturating_add(member.size());
        if !names.insert(name) {
            return Err(damaged("two members of the archive have the same name"));
        }
    }
    match total > MOST_UNPACKED {
        true => Err(Error::new(Code::TooLarge, "the archive is larger than 256 MiB when unpacked")),
        false => Ok(names),
    }
}

/// A member of at most `most` bytes, whatever size it claims; `None` where it is larger.
fn member(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    most: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let broken = || damaged("a member of the archive is damaged");
    let member = archive.by_name(name).map_err(|e| match e {
        ZipError::UnsupportedArchive(_) => {
            damaged("the archive is packed in a way that 1Password does not use")
        }
        _ => broken(),
    })?;
    let claimed = usize::try_from(member.size()).unwrap_or(usize::MAX);
    if claimed > most {
        return Ok(None);
    }
    // Room for one byte more than it claims: what comes beyond shows that the claim is wrong.
    let mut bytes = Zeroizing::new(Vec::with_capacity(claimed + 1));
    member.take(claimed as u64 + 1).read_to_end(&mut bytes).map_err(|_| broken())?;
    match bytes.len() == claimed {
        true => Ok(Some(bytes)),
        false => Err(broken()),
    }
}

fn text(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Zeroizing<String>> {
    let Some(mut bytes) = member(archive, name, MAX_TEXT_BYTES)? else {
        return Err(Error::new(Code::TooLarge, format!("{name} in the archive is larger than 64 MiB")));
    };
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|e| {
        drop(Zeroizing::new(e.into_bytes()));
        damaged(&format!("{name} in the archive is not UTF-8"))
    })
}

fn content(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
) -> Result<std::result::Result<SecretBytes, &'static str>> {
    Ok(match member(archive, name, MOST_FILE_BYTES)? {
        Some(mut bytes) => Ok(SecretBytes::new(std::mem::take(&mut *bytes))),
        None => Err("the file is larger than 1 MiB"),
    })
}
