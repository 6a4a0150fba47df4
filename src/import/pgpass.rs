//! `.pgpass`: lines of `host:port:database:user:password`, with `\:` and `\\` (PostgreSQL, "The Password File").
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::{Options, broken, secret, shape};
use crate::error::Result;
use zeroize::Zeroizing;

const ESCAPE: &str =
    "a backslash before another character than a colon or a backslash, which programs read differently";
const COLON: &str = "a colon of the password has no backslash before it, and programs differ about that";

pub(super) fn read(text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        super::check_room(batch)?;
        let at = At::Line(number);
        let parts = match parts(line) {
            Some(parts) => parts,
            None => {
                batch.entries += 1;
                batch.leave(at, None, ESCAPE);
                continue;
            }
        };
        let [host, port, database, user, password, more @ ..] = &parts[..] else {
            return Err(broken(number, "it has fewer than five parts: host:port:database:user:password"));
        };
        let is_port = port.as_str() == "*" || port.parse::<u16>().is_ok();
        if !is_port || [host, database, user].iter().any(|part| part.trim().is_empty()) {
            return Err(broken(number, "it is not of the form host:port:database:user:password"));
        }
        if !more.is_empty() {
            batch.entries += 1;
            batch.leave(at, None, COLON);
            continue;
        }
        shape::take(record(at, host, port, database, user, password), options, batch);
    }
    match batch.entries {
        0 => Err(broken(1, "there is no line of the form host:port:database:user:password")),
        _ => Ok(()),
    }
}

fn record(at: At, host: &str, port: &str, database: &str, user: &str, password: &str) -> Record {
    let name = [database, host].into_iter().find(|name| *name != "*").unwrap_or_default();
    let mut record = Record::new(at, format!("PG {name}").trim_end());
    record.remark = Zeroizing::new(format!("{host}:{port}/{database}"));
    // A star stands for every user.
    if user != "*" {
        record.put(Role::User, "username", secret(user));
    }
    record.put(Role::Password, "password", secret(password));
    record
}

/// The parts of a line, between colons that have no backslash before them. `None` for another escape.
fn parts(line: &str) -> Option<Vec<Zeroizing<String>>> {
    let empty = || Zeroizing::new(String::with_capacity(line.len()));
    let (mut all, mut part, mut chars) = (Vec::new(), empty(), line.chars());
    while let Some(c) = chars.next() {
        match c {
            ':' => all.push(std::mem::replace(&mut part, empty())),
            '\\' => part.push(chars.next().filter(|c| matches!(c, ':' | '\\'))?),
            c => part.push(c),
        }
    }
    all.push(part);
    Some(all)
}
