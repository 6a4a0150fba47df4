//! Own programs that make, set, test and revoke values, as `[rotation.credential.ID] command` of the configuration names them.
//!
//! Started without a shell, with fixed arguments and the verb as the last one; values go in and out as JSON over pipes. It has none
//! of our environment, its folder is `/`, what it says on standard error is dropped, and nothing of its output is logged or told
//! but an outcome. A program that others could have changed is not started.
use super::super::driver::{Call, Created, Driver, Ended, Fields, Made, Makes, Tested, tells_of};
use super::login::fresh_password;
use crate::config::Rotated;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::Word as _;
use crate::model::credential::{Credential, CredentialType};
use crate::model::rotation::Finding;
use crate::secret::{Secret, SecretBytes};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use zeroize::Zeroizing;

const SECONDS: u32 = 30;
const MOST_SECONDS: u32 = 300;
/// The longest output read, bytes.
const MOST_OUTPUT: usize = 64 * 1024;

pub struct Own {
    said: Rotated,
}

/// What it is told.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    name: &'a str,
    service: &'a str,
    account: &'a str,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<BTreeMap<&'a str, &'a str>>,
}

/// What it says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    /// Of `create`: the new value.
    fields: BTreeMap<String, Zeroizing<String>>,
    /// Of `set` and `revoke`: `confirmed`, `refused` or `unsure`. Of `test`: `valid`, `refused`, `limited` or `could_not_check`.
    outcome: String,
    account: String,
    scopes: Vec<String>,
}

impl Own {
    pub fn new(said: Rotated) -> Self {
        Self { said }
    }

    /// Nothing where its end, or what it said, is not known. Fails where it was not started.
    async fn ask(
        &self,
        verb: &str,
        credential: &Credential,
        values: [Option<&Fields>; 3],
    ) -> Result<Option<Said>> {
        let (program, arguments) =
            self.said.command.split_first().ok_or_else(|| invalid("there is no program"))?;
        expect_untouched(Path::new(program))?;
        let input = told(credential, values)?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(verb)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|_| {
                Error::new(Code::CommandNotStarted, "the program for the rotation could not be started")
            })?;
        let seconds = self.said.command_seconds.unwrap_or(SECONDS).clamp(1, MOST_SECONDS);
        let talk = async {
            let (mut stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
            let mut output = Zeroizing::new(Vec::with_capacity(MOST_OUTPUT + 1));
            let mut stdout = stdout.take(MOST_OUTPUT as u64 + 1);
            let write = async move {
                // A program may know enough without reading it all.
                let _ = stdin.write_all(&input).await;
                drop(stdin);
            };
            let ((), read) = tokio::join!(write, stdout.read_to_end(&mut output));
            read.ok().filter(|_| output.len() <= MOST_OUTPUT)?;
            let ended = child.wait().await.ok()?;
            ended.success().then_some(output)
        };
        let output = tokio::time::timeout(Duration::from_secs(u64::from(seconds)), talk).await.ok().flatten();
        // Its number is its own until it was waited for.
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // With whatever it has started; it may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        Ok(output.and_then(|output| serde_json::from_slice(&output).ok()))
    }

    async fn ended(&self, verb: &str, call: &Call<'_>) -> Result<Ended> {
        let admin = call.admin.map(|(_, fields)| fields);
        let said = self.ask(verb, call.credential, [admin, Some(call.old), call.new]).await?;
        Ok(match said.as_ref().map(|said| said.outcome.as_str()) {
            Some("confirmed") => Ended::Confirmed,
            Some("refused") => Ended::Refused,
            _ => Ended::Unsure,
        })
    }

    async fn made(&self, call: &Call<'_>) -> Result<Created> {
        let admin = call.admin.map(|(_, fields)| fields);
        let said = self.ask("create", call.credential, [admin, Some(call.old), None]).await?;
        let Some(mut said) = said else { return Ok(Created::Unsure) };
        if said.outcome == "refused" {
            return Err(Error::new(Code::Unreachable, "the program for the rotation made no new value"));
        }
        let mut fields = Fields::new();
        for (name, old) in call.old {
            let value = match said.fields.remove(name) {
                Some(mut text) => Secret::new(std::mem::take(&mut *text)).into_bytes(),
                None => old.expose(SecretBytes::copied),
            };
            fields.push((name.clone(), value));
        }
        let is_other = fields.iter().zip(call.old).any(|((_, new), (_, old))| new != old);
        // It said something else than a value: what it made is lost.
        Ok(if is_other && said.fields.is_empty() { Created::Made(Made { fields }) } else { Created::Unsure })
    }

    async fn look(&self, credential: &Credential, fields: &Fields) -> Result<Tested> {
        let said = self.ask("test", credential, [None, None, Some(fields)]).await?.unwrap_or_default();
        let finding = match said.outcome.as_str() {
            "valid" => Finding::Valid,
            "refused" => Finding::Refused,
            "limited" => Finding::Limited,
            _ => Finding::CouldNotCheck,
        };
        let is_clean = |text: &String| {
            !text.is_empty()
                && text.len() <= 100
                && !text.chars().any(char::is_control)
                && !tells_of(credential, fields, text)
        };
        Ok(Tested {
            finding,
            account: Some(said.account).filter(is_clean).unwrap_or_default(),
            scopes: said.scopes.into_iter().filter(is_clean).take(200).collect(),
        })
    }
}

/// A regular file of ours or of root, and on the way to it nothing that others may change.
fn expect_untouched(program: &Path) -> Result<()> {
    let wrong = |why: &str| {
        Error::new(Code::ConfigInvalid, format!("the program {} {why}", program.display())).next(
            "Give the whole path of a file that belongs to you or to root and that nobody else can change.",
        )
    };
    if !program.is_absolute() {
        return Err(wrong("is not named by its whole path"));
    }
    // Where a link leads is looked at, and that is what would be started.
    let real = program.canonicalize().map_err(|_| wrong("is not there"))?;
    let us = rustix::process::geteuid().as_raw();
    for (depth, place) in real.ancestors().enumerate() {
        let found = place.metadata().map_err(|_| wrong("cannot be looked at"))?;
        let is_sticky = depth > 0 && found.mode() & 0o1000 != 0;
        if depth == 0 && !found.is_file() {
            return Err(wrong("is no file"));
        }
        if found.uid() != us && found.uid() != 0 {
            return Err(wrong("or a folder above it belongs to somebody else"));
        }
        if found.mode() & 0o022 != 0 && !is_sticky {
            return Err(wrong("or a folder above it can be changed by others"));
        }
    }
    Ok(())
}

/// Its input, as JSON. Fails for values that are no text.
fn told(credential: &Credential, values: [Option<&Fields>; 3]) -> Result<Zeroizing<Vec<u8>>> {
    let texts = |fields: &Fields| -> Result<Vec<(String, Zeroizing<String>)>> {
        let text = |(name, value): &(String, SecretBytes)| {
            let text = value.expose(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
            text.map(|text| (name.clone(), Zeroizing::new(text)))
                .map_err(|_| invalid(format!("its field {name} is no text")))
        };
        fields.iter().map(text).collect()
    };
    let mut all = values.into_iter().map(|fields| fields.map(texts).transpose());
    let mut next = || all.next().transpose().map(Option::flatten);
    let (admin, old, new) = (next()?, next()?, next()?);
    fn lent(fields: &[(String, Zeroizing<String>)]) -> BTreeMap<&str, &str> {
        fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }
    let told = Told {
        id: credential.id.as_str(),
        name: &credential.name,
        service: &credential.service,
        account: &credential.account,
        environment: credential.environment.as_str(),
        admin: admin.as_deref().map(lent),
        old: old.as_deref().map(lent),
        new: new.as_deref().map(lent),
    };
    let mut input = Zeroizing::new(Vec::with_capacity(4 * MOST_OUTPUT));
    serde_json::to_writer(&mut *input, &told).map_err(|_| invalid("its value cannot be written as JSON"))?;
    Ok(input)
}

impl Driver for Own {
    fn name(&self) -> &'static str {
        "command"
    }
    fn makes(&self) -> Makes {
        if self.said.command_creates == Some(true) { Makes::Service } else { Makes::Us }
    }
    fn revokes(&self) -> bool {
        true
    }
    fn tests(&self) -> bool {
        true
    }
    fn overlaps(&self, _: &Credential) -> Option<bool> {
        Some(self.said.overlap == Some(true))
    }
    fn admin(&self, _: &Credential) -> Option<CredentialId> {
        self.said.admin.as_deref().map(CredentialId::from)
    }

    fn create<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move { self.made(&call).await })
    }

    /// A fresh password in the one secret field.
    fn invent(&self, call: Call<'_>) -> Result<Made> {
        let specs = call.credential.field_specs();
        let mut secret = specs
            .iter()
            .filter(|spec| spec.secret)
            .filter(|spec| call.credential.kind != CredentialType::Basic || spec.name == "password");
        let (Some(field), None) = (secret.next(), secret.next()) else {
            return Err(invalid("which of its fields is the password is not clear").next(
                "Keep the others as plain fields, or have the program make it: `command_creates = true`.",
            ));
        };
        let mut fields = Fields::new();
        for (name, old) in call.old {
            let value = match *name == field.name {
                true => SecretBytes::copied(fresh_password()?.as_bytes()),
                false => old.expose(SecretBytes::copied),
            };
            fields.push((name.clone(), value));
        }
        Ok(Made { fields })
    }
    fn set<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.ended("set", &call).await })
    }
    fn test<'a>(&'a self, credential: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>> {
        Box::pin(self.look(credential, fields))
    }
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.ended("revoke", &call).await })
    }
}
