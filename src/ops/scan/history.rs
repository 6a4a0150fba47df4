//! The history of a git repository: every object there is, packed or not, of branches that are gone too.
//!
//! git itself reads it, as a child that is told to run nothing: a repository is somebody else's configuration.
use super::Look;
use crate::error::{Code, Error, Result, invalid};
use crate::model::text::shown;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// For how many objects the commit is looked up: each time git goes through the history.
const MOST_TRACED: usize = 200;
/// Programs that a repository's own configuration could name, and what would fetch.
const RUNS_NOTHING: [&str; 6] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.alternateRefsCommand=",
    "log.showSignature=false",
    "protocol.allow=never",
    "core.pager=cat",
];

/// A repository, by a folder in it.
pub(super) struct Repository {
    folder: PathBuf,
    /// As it was named, for people.
    name: String,
}

/// The repositories that `paths` are in, each once. Fails where one is in none.
pub(super) fn repositories(paths: &[PathBuf]) -> Result<Vec<Repository>> {
    let (mut seen, mut all) = (Vec::new(), Vec::new());
    for path in paths {
        let folder = match path.is_dir() {
            true => path.clone(),
            false => path.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        let out = git(&folder, &["rev-parse", "--absolute-git-dir"]).output().map_err(not_started)?;
        if !out.status.success() {
            return Err(invalid(format!("{} is in no git repository that git reads", shown(&path.to_string_lossy())))
                .next("Leave --git out, or name a folder of a repository; git tells why with `git -C FOLDER status`."));
        }
        if !seen.contains(&out.stdout) {
            seen.push(out.stdout);
            all.push(Repository { name: folder.to_string_lossy().into_owned(), folder });
        }
    }
    if all.is_empty() {
        return Err(invalid("--git needs a folder of a repository"));
    }
    Ok(all)
}

/// git in this folder, without our environment and without what its configuration would run.
fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    for kept in ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1");
    command.args(["--no-pager", "--no-optional-locks", "--no-replace-objects"]);
    for setting in RUNS_NOTHING {
        command.args(["-c", setting]);
    }
    command.arg("-C").arg(folder).args(arguments);
    command
}

fn not_started(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Code::CommandNotFound, "git is not installed, and a history needs it")
        }
        _ => Error::new(Code::CommandNotStarted, "git could not be started").because(e),
    }
}

fn start(mut command: Command) -> Result<Child> {
    command.stdout(Stdio::piped()).spawn().map_err(not_started)
}

pub(super) fn walk(look: &mut Look<'_>, repository: &Repository) -> Result<()> {
    let before = look.done.found.len();
    let all = ["cat-file", "--batch", "--batch-all-objects", "--unordered", "--buffer"];
    let mut child = start(git(&repository.folder, &all))?;
    let out = child.stdout.take().ok_or_else(|| crate::error::internal("git has no output"))?;
    let read = objects(look, &mut BufReader::with_capacity(1 << 20, out));
    // Where we stopped reading, git must not wait for us.
    if read.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait();
    match (read, ended) {
        (Ok(()), Ok(status)) if status.success() => {}
        (Err(e), _) => look.unreadable(&repository.name, &e),
        _ => look.unreadable(&repository.name, &io::ErrorKind::InvalidData.into()),
    }
    names(look, repository)?;
    trace(look, repository, before)
}

/// `<id> <type> <size>`, a line end, the object, a line end.
fn objects(look: &mut Look<'_>, from: &mut dyn BufRead) -> io::Result<()> {
    let mut head = String::new();
    loop {
        head.clear();
        if from.take(200).read_line(&mut head)? == 0 {
            return Ok(());
        }
        let mut words = head.split_ascii_whitespace();
        let (Some(id), Some(kind), size) = (words.next(), words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let Some(size) = size.and_then(|size| size.parse::<u64>().ok()) else {
            // `<id> missing`
            look.unreadable(id, &io::ErrorKind::NotFound.into());
            continue;
        };
        let mut object = from.take(size);
        if size > look.most_bytes {
            look.done.left_out.too_large += 1;
        } else {
            let read = crate::inject::search(look.sought, &mut object)?;
            look.done.searched.objects += 1;
            // Until it is traced: commits and tags are what they are, trees hold names.
            let path = match kind {
                "commit" => "(text of a commit)",
                "tag" => "(text of a tag)",
                "tree" => "(name of a file)",
                _ => "",
            };
            look.add(path, read, id);
        }
        io::copy(&mut object, &mut io::sink())?;
        if object.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut end = [0];
        from.read_exact(&mut end)?;
    }
}

/// Branches and tags may be called after a value.
fn names(look: &mut Look<'_>, repository: &Repository) -> Result<()> {
    let out = git(&repository.folder, &["for-each-ref", "--format=%(objectname) %(refname)"])
        .output()
        .map_err(not_started)?;
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        if let Some((id, name)) = line.split_once(' ') {
            look.name(name, id);
        }
    }
    Ok(())
}

/// Names path and commit of what was found.
fn trace(look: &mut Look<'_>, repository: &Repository, before: usize) -> Result<()> {
    let mut found: Vec<String> = look.done.found[before..].iter().map(|one| one.object.clone()).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    let paths = paths(repository, &found)?;
    let mut commits = HashMap::new();
    for id in found.iter().take(MOST_TRACED) {
        commits.insert(id.clone(), first_commit(repository, id)?);
    }
    for at in before..look.done.found.len() {
        let one = &look.done.found[at];
        let (id, name) = (one.object.clone(), one.path.clone());
        let path = match paths.get(&id) {
            Some(path) if name.is_empty() => look.shown(path),
            _ if name.is_empty() => "(no branch or tag has it any more)".to_owned(),
            _ => name.clone(),
        };
        let place = look.shown(&repository.name);
        let commit = match name == "(text of a commit)" {
            true => id.clone(),
            false => commits.get(&id).cloned().unwrap_or_default(),
        };
        let one = &mut look.done.found[at];
        one.commit = commit;
        one.path = match path.starts_with('(') {
            true => format!("{place} {path}"),
            false => format!("{place}: {path}"),
        };
    }
    Ok(())
}

/// The path that each object had somewhere in the history.
fn paths(repository: &Repository, wanted: &[String]) -> Result<HashMap<String, String>> {
    let list = ["rev-list", "--objects", "--all", "--reflog", "--indexed-objects"];
    let mut child = start(git(&repository.folder, &list))?;
    let out = child.stdout.take().ok_or_else(|| crate::error::internal("git has no output"))?;
    let mut found = HashMap::new();
    for line in BufReader::new(out).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        if let Some((id, path)) = line.split_once(' ')
            && wanted.binary_search_by(|one| one.as_str().cmp(id)).is_ok()
        {
            found.insert(id.to_owned(), path.to_owned());
        }
    }
    child.wait().map_err(not_started)?;
    Ok(found)
}

/// The oldest commit that has the object; empty where none has.
fn first_commit(repository: &Repository, id: &str) -> Result<String> {
    let object = format!("--find-object={id}");
    let log: [&str; 8] =
        ["log", "--all", "--reflog", "--format=%H", "--no-ext-diff", "--no-textconv", "-t", &object];
    let out = git(&repository.folder, &log).output().map_err(not_started)?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().rfind(|line| is_id(line)).unwrap_or_default().to_owned())
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
