//! `unsaid scan`: where the values that the caller may use stand, in files, in the history of git and in what comes in.
//!
//! Only values of the caller's own reach are looked for, for a find tells that a text is right. Each is recorded as a use
//! before it is opened; when the search ends its counts are recorded, and never what was searched. Nothing of a value is
//! told, and nothing is changed or removed: to rotate comes first, and to clean up is a person's decision.
mod history;
mod places;
mod value;

use super::people_only;
use super::refusal::remember;
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::inject::{Reading, Sought};
use crate::model::access::Caller;
use crate::model::credential::{Scope, Stage};
use crate::model::event::Event;
use serde::Serialize;
use std::io::Read;
use std::path::PathBuf;
use value::Value;

/// A file or an object larger than this is left out, unless somebody says otherwise.
pub const MOST_BYTES: u64 = 256 << 20;
/// More finds than this are counted and not told.
const MOST_FINDINGS: usize = 5000;
/// So many of what could not be read are named.
const NAMED: usize = 20;

/// What is to be searched, and for what.
#[derive(Default)]
pub struct Scan {
    pub paths: Vec<PathBuf>,
    /// What comes in, as `-` on the command line.
    pub input: Option<Box<dyn Read + Send>>,
    /// The history of the repositories that `paths` are in, too.
    pub has_history: bool,
    /// Only these credentials; empty: all that the caller may use.
    pub only: Vec<String>,
    /// Files that `.gitignore` names are left out.
    pub obeys_gitignore: bool,
    /// Files and objects beyond this are left out.
    pub most_bytes: u64,
}

/// One place where a value stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub credential: String,
    pub id: String,
    pub scope: Scope,
    pub field: String,
    pub version: i64,
    pub stage: Stage,
    /// A file, or `-` for what came in; in a history the path within the repository.
    pub path: String,
    /// Counted from 1; none where it is in the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// It stands there in an encoding, as a part, or broken over lines.
    pub is_encoded: bool,
    /// Of a history: the commit that brought it in, and the object that holds it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Searched {
    pub credentials: usize,
    pub values: usize,
    pub files: u64,
    /// Of histories.
    pub objects: u64,
    pub bytes: u64,
}

/// What was not searched, or not told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// Files, folders and objects that could not be read, and the first of them by name.
    pub unreadable: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<String>,
    pub too_large: u64,
    /// Links, pipes, sockets, devices, and what a kernel makes up.
    pub special: u64,
    /// Values that no text can be told by.
    pub values_too_short: usize,
    /// More finds than are told.
    pub findings: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scanned {
    pub found: Vec<Finding>,
    pub searched: Searched,
    pub left_out: LeftOut,
    pub next: String,
}

/// A search that goes on: what is looked for, and what came out so far.
struct Look<'a> {
    sought: &'a Sought,
    values: &'a [Value],
    most_bytes: u64,
    done: Scanned,
}

/// Searches, for a person.
///
/// Fails with `invalid_input` where a path is not there or there is nothing to look for, with `not_allowed` or
/// `credential_not_found` for a name that the caller may not use, and with `command_not_found` without git.
pub async fn scan(app: &App, caller: &Caller, wanted: Scan) -> Result<Scanned> {
    let done = try_scan(app, caller, wanted).await;
    if let Err(e) = &done {
        remember(app, caller, Event::of("scan"), e).await;
    }
    done
}

async fn try_scan(app: &App, caller: &Caller, mut wanted: Scan) -> Result<Scanned> {
    people_only(caller)?;
    if app.detector.check_text(&wanted.only.join(" "), crate::model::suspicion::Kind::FreeText).is_some() {
        return Err(Error::new(Code::SecretInArgument, "a name that is asked for looks like a secret"));
    }
    // Before any value is opened: a misspelt path is no reason to open them all.
    let paths = wanted.paths.iter().map(|path| places::root(path)).collect::<Result<Vec<_>>>()?;
    if paths.is_empty() && wanted.input.is_none() {
        return Err(
            invalid("there is nothing to search").next("Name a file or folder, or - for standard input.")
        );
    }
    let repositories = match wanted.has_history {
        true => history::repositories(&paths)?,
        false => Vec::new(),
    };
    let (values, opened) = value::open(app, caller, &wanted.only).await?;
    let (sought, short) = Sought::new(opened.iter());
    drop(opened);
    let mut ids: Vec<_> = values.iter().map(|value| value.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut look = Look {
        sought: &sought,
        values: &values,
        most_bytes: if wanted.most_bytes == 0 { MOST_BYTES } else { wanted.most_bytes },
        done: Scanned::default(),
    };
    look.done.searched.credentials = ids.len();
    look.done.searched.values = values.len() - short.len();
    look.done.left_out.values_too_short = short.len();
    if let Some(input) = &mut wanted.input {
        look.read("-", input);
        look.done.searched.files += 1;
    }
    for path in &paths {
        places::walk(&mut look, path, wanted.obeys_gitignore);
    }
    for repository in &repositories {
        history::walk(&mut look, repository)?;
    }
    let mut done = look.done;
    done.next = next(&done);
    let (searched, left_out) = (&done.searched, &done.left_out);
    let event = Event::of("scan")
        .with("credentials", searched.credentials)
        .with("files", searched.files)
        .with("objects", searched.objects)
        .with("bytes", searched.bytes)
        .with("unreadable", left_out.unreadable)
        .with("found", done.found.len() as u64 + left_out.findings);
    app.store.write(caller, move |tx| tx.record_step(event, ())).await?;
    Ok(done)
}

fn next(done: &Scanned) -> String {
    if done.found.is_empty() {
        return String::new();
    }
    let mut names: Vec<_> = done.found.iter().map(|one| one.credential.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let more = if names.len() > 10 { " and more" } else { "" };
    names.truncate(10);
    format!(
        "Rotate first: {}{more}. Make a new value at the service, enter it with `unsaid set NAME`, and revoke the old one. Then \
         take the value out of what was found; whoever has a copy of a history keeps what was in it.",
        names.join(", ")
    )
}

/// The failure of a search that found nothing and could not look everywhere: that is no clean bill.
pub fn incomplete(done: &Scanned) -> Option<Error> {
    let left_out = &done.left_out;
    (done.found.is_empty() && left_out.unreadable > 0).then(|| {
        Error::new(
            Code::ScanIncomplete,
            format!("nothing was found, and {} files or folders could not be read", left_out.unreadable),
        )
    })
}

impl Look<'_> {
    /// Searches what `from` gives, as far as it may be large.
    fn read(&mut self, path: &str, from: &mut dyn Read) -> bool {
        let found = match crate::inject::search(self.sought, from) {
            Ok(found) => found,
            Err(e) => {
                self.unreadable(path, &e);
                return false;
            }
        };
        self.add(path, found, "");
        true
    }

    fn add(&mut self, path: &str, read: Reading, object: &str) {
        self.done.searched.bytes += read.bytes;
        self.done.left_out.findings += u64::from(read.is_cut);
        for one in read.found {
            self.found(one.whose, path, Some(one.line), !one.is_plain, object);
        }
    }

    /// What a name itself gives away.
    fn name(&mut self, name: &str, object: &str) {
        for whose in self.sought.within(name.as_bytes()) {
            self.found(whose, name, None, false, object);
        }
    }

    fn found(&mut self, whose: usize, path: &str, line: Option<u64>, is_encoded: bool, object: &str) {
        if self.done.found.len() >= MOST_FINDINGS {
            self.done.left_out.findings += 1;
            return;
        }
        let path = self.shown(path);
        let value = &self.values[whose];
        self.done.found.push(Finding {
            credential: value.name.clone(),
            id: value.id.0.clone(),
            scope: value.scope,
            field: value.field.clone(),
            version: value.version,
            stage: value.stage,
            path,
            line,
            is_encoded,
            commit: String::new(),
            object: object.to_owned(),
        });
    }

    /// A name without the values that it may hold.
    fn shown(&self, name: &str) -> String {
        self.sought.masked(name, |whose| self.values[whose].name.clone())
    }

    fn unreadable(&mut self, name: &str, why: &std::io::Error) {
        self.done.left_out.unreadable += 1;
        if self.done.left_out.named.len() < NAMED {
            let name = self.shown(name);
            self.done.left_out.named.push(format!("{name} ({})", why.kind()));
        }
    }
}
