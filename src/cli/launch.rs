//! Starting a program with what was handed over: the common part of `unsaid run` and `unsaid mcp`.
use super::lending::Lending;
use super::output::note;
use super::watching::{Reaction, Watching};
use super::{Context, runtime};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::inject::{self, Control, Delivery, Ended, Injected, Launch, Masking};
use crate::ops::consumer;
use crate::ops::hand_over::{ForConsumer, Handed, Wanting, hand_over_to, holding};
use crate::store::SlotRecord;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What goes into a child's environment.
pub struct Bundle {
    pub injected: Vec<Injected>,
    /// Plain text, by variable.
    pub plain: Vec<(String, String)>,
    /// Variables that open the vault.
    pub strip: Vec<String>,
    pub control: Option<Control>,
}

/// Refuses to hand values to who only acts as their user.
pub fn expect_oneself(cx: &Context) -> Result<()> {
    match cx.as_user {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Code::NotAllowed,
            "values are handed to their own user only, not to who acts as one",
        )
        .next("Leave --as out.")),
    }
}

/// Starts `argv`, or the consumer's own command, with what the consumer is bound to.
///
/// `opened` is the vault, where it is open already. With `watch` the vault is looked at while it runs: what is replaced there is picked up as that says.
pub fn run_consumer(
    cx: &Context,
    mut opened: Option<App>,
    consumer: &str,
    given: &[OsString],
    masking: Masking,
    watch: Option<Reaction>,
) -> Result<ExitCode> {
    expect_oneself(cx)?;
    let mut consumer = consumer.to_owned();
    loop {
        let runtime = runtime()?;
        let app = match opened.take() {
            Some(app) => app,
            None => cx.open()?,
        };
        let program = program_name(given);
        let (mut started, slots) = runtime.block_on(async {
            let caller = cx.caller(&app).await?;
            let started = hand_over_to(&app, &caller, &consumer, &program).await?;
            Ok::<_, Error>((started, app.store.read_here(|tx| tx.slots()).await?))
        })?;
        drop(runtime);
        let argv = command_of(&started, given.to_vec())?;
        let held = holding(&started.handed);
        let versions = versions(&started.handed, watch);
        let mut bundle = Bundle {
            injected: deliver(std::mem::take(&mut started.handed)),
            plain: std::mem::take(&mut started.plain).into_iter().chain(versions).collect(),
            strip: ours(&slots),
            control: None,
        };
        let app = Arc::new(app);
        let lending = match started.headers.is_empty() {
            true => None,
            false => {
                let mut lending = Lending::start(cx, app.clone(), &started)?;
                bundle.injected.append(&mut lending.injected);
                bundle.plain.append(&mut lending.plain);
                Some(lending)
            }
        };
        let watching = match watch {
            None => None,
            Some(reaction) => {
                let wanting = Wanting::Consumer(started.consumer.id.clone());
                let (watching, control) =
                    Watching::start(app.clone(), started.caller.clone(), wanting, held, reaction)?;
                bundle.control = Some(control);
                Some(watching)
            }
        };
        // Without broker and watcher the vault is closed while the program runs, however long that is.
        drop(app);
        let ended = start(cx, argv, bundle, masking)?;
        drop(lending);
        if !starts_again(watching, &ended) {
            return Ok(exit_code(&ended));
        }
        // The same one, whatever is called so by now.
        consumer.clone_from(&started.consumer.id.0);
    }
}

/// Which version of each binding a program is handed, for its reports: `UNSAID_VERSION_` and the binding's variable. Nothing
/// where a value may be replaced while it runs, for this would go on telling the first one.
fn versions(handed: &[Handed], watch: Option<Reaction>) -> BTreeMap<String, String> {
    if matches!(watch, Some(Reaction::Signal(_))) {
        return BTreeMap::new();
    }
    let bound = handed.iter().filter(|one| !one.binding.is_empty());
    bound.map(|one| (format!("UNSAID_VERSION_{}", one.binding), one.version.to_string())).collect()
}

/// Whether the program was ended for being started again, and nobody told us to stop meanwhile.
pub fn starts_again(watching: Option<Watching>, ended: &Ended) -> bool {
    let again = watching.is_some_and(Watching::asks_for_another_start) && !ended.was_told_to;
    if again {
        note("unsaid: a value was replaced; the program is started again");
    }
    again
}

pub fn exit_code(ended: &Ended) -> ExitCode {
    ExitCode::from(u8::try_from(ended.exit_code).unwrap_or(u8::MAX))
}

/// As a child gets them: a value that has a file name goes into a file.
pub fn deliver(handed: Vec<Handed>) -> Vec<Injected> {
    let one = |one: Handed| Injected {
        delivery: match one.file_name {
            Some(file_name) => Delivery::File { file_name },
            None => Delivery::Environment,
        },
        variable: one.variable,
        label: one.label,
        value: one.value,
    };
    handed.into_iter().map(one).collect()
}

/// Runs `argv` with `bundle` until it ends.
pub fn start(cx: &Context, argv: Vec<OsString>, bundle: Bundle, masking: Masking) -> Result<Ended> {
    let launch = Launch {
        injected: bundle.injected,
        plain: bundle.plain,
        argv,
        masking,
        scratch: inject::scratch_folder(
            std::env::var_os("XDG_RUNTIME_DIR").as_deref(),
            &cx.config.places.data,
        ),
        strip: bundle.strip,
        control: bundle.control,
    };
    if launch.injected.iter().any(|one| one.delivery != Delivery::Environment) {
        inject::sweep(&launch.scratch)?;
    }
    rustix::process::umask(cx.umask);
    inject::launch(launch, &|warning| note(&format!("unsaid: {warning}")))
}

/// The program's name for the audit log: never its arguments, and no folder of this machine.
pub fn program_name(command: &[OsString]) -> String {
    let program = command.first().map(Path::new).and_then(Path::file_name).unwrap_or(OsStr::new(""));
    program.to_string_lossy().chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Variables that the program must not see: whatever opens the vault.
pub fn ours(slots: &[SlotRecord]) -> Vec<String> {
    // Where the vault is and how much to log may be known: the program may call unsaid itself.
    let harmless = ["UNSAID_HOME", "UNSAID_LOG"];
    let mut strip: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("UNSAID_") && !harmless.contains(&name.as_str()))
        .collect();
    for slot in slots {
        let settings: serde_json::Value = serde_json::from_str(&slot.config).unwrap_or_default();
        match settings["source"].as_str() {
            Some("environment") => strip.extend(settings["name"].as_str().map(str::to_owned)),
            Some("systemd") => strip.push("CREDENTIALS_DIRECTORY".into()),
            _ => {}
        }
    }
    strip
}

/// The command of a consumer: the one it was registered with, unless another is given.
pub fn command_of(started: &ForConsumer, given: Vec<OsString>) -> Result<Vec<OsString>> {
    if !given.is_empty() {
        return Ok(given);
    }
    let c = &started.consumer;
    match (c.command.is_empty(), c.url.is_empty()) {
        (false, _) => Ok(c.command.iter().map(|word| OsString::from(consumer::filled(word, &started.plain))).collect()),
        (true, true) => Err(invalid(format!("{} has no command", c.name)).next(format!(
            "Say which: `unsaid run --consumer {} -- COMMAND`, or give it one: `unsaid consumer edit {} -- COMMAND`.",
            c.name, c.name
        ))),
        (true, false) => Err(invalid(format!("{} is a remote server, which nothing starts", c.name))
            .next(format!("Speak to it by `unsaid mcp {}`.", c.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(variable: &str, binding: &str, version: i64) -> Handed {
        Handed {
            variable: variable.into(),
            label: "DB".into(),
            value: crate::secret::SecretBytes::copied(b"v"),
            file_name: None,
            credential: crate::ids::CredentialId::from("one"),
            version,
            binding: binding.into(),
        }
    }

    #[test]
    fn a_program_is_told_the_version_of_each_binding_once() {
        let all = [handed("DB_USERNAME", "DB", 3), handed("DB_PASSWORD", "DB", 3), handed("KEY", "KEY", 12)];

        let told = |watch| versions(&all, watch).into_iter().collect::<Vec<_>>();

        let expected = [("UNSAID_VERSION_DB", "3"), ("UNSAID_VERSION_KEY", "12")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(told(None), expected);
        assert_eq!(told(Some(Reaction::Restart)), expected);
    }

    #[test]
    fn a_program_whose_values_are_replaced_while_it_runs_is_told_no_version() {
        assert!(versions(&[handed("KEY", "KEY", 12)], Some(Reaction::Signal(1))).is_empty());
        assert!(versions(&[handed("KEY", "", 12)], None).is_empty());
    }

    #[test]
    fn the_log_gets_the_programs_name_and_nothing_more() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();

        assert_eq!(program_name(&words("/opt/x/bin/psql -W hunter2")), "psql");
        assert_eq!(program_name(&words("make")), "make");
    }
}
