//! Every failure a caller can meet, with the step that gets them past it.
//!
//! `message` and `next` are safe to show to anybody, a model included; `source` goes to the log only.
//! None of the three ever holds a value, SQL, or the body of somebody else's answer.
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a door treats a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Input,
    Denied,
    Missing,
    Conflict,
    Limited,
    Unavailable,
    Internal,
}

impl Kind {
    /// The process exit code of the CLI.
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Input => 2,
            Kind::Denied => 3,
            Kind::Missing => 4,
            Kind::Conflict => 5,
            Kind::Limited => 6,
            Kind::Unavailable => 7,
            Kind::Internal => 70,
        }
    }

    /// The HTTP status of the web doors (RFC 9110).
    pub const fn http_status(self) -> u16 {
        match self {
            Kind::Input => 400,
            Kind::Denied => 403,
            Kind::Missing => 404,
            Kind::Conflict => 409,
            Kind::Limited => 429,
            Kind::Unavailable => 503,
            Kind::Internal => 500,
        }
    }

    /// What the audit log calls it: the caller was refused, or we failed.
    pub const fn outcome(self) -> &'static str {
        match self {
            Kind::Unavailable | Kind::Internal => "failed",
            _ => "refused",
        }
    }
}

macro_rules! codes {
    ($($code:ident $name:literal $kind:ident $next:literal)*) => {
        /// What went wrong, as a caller may branch on it. Names never change once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($code),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$code),*];
            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$code => $name),* }
            }
            pub const fn kind(self) -> Kind {
                match self { $(Code::$code => Kind::$kind),* }
            }
            /// The step to take when the place that failed knows no better one.
            pub const fn next(self) -> &'static str {
                match self { $(Code::$code => $next),* }
            }
        }
    };
}

codes! {
    InvalidInput "invalid_input" Input "Correct what this message names and call again."
    SecretInArgument "secret_in_argument" Input "Treat that secret as leaked, for it is in the transcript: rotate it at its service. Enter the new one with `unsaid set NAME`, never in the chat."
    ReservedName "reserved_name" Input "Choose another name: this one changes how programs run. A person may set it as plain configuration instead."
    InvalidFile "invalid_file" Input "Check the file that this message names."
    NeedsTerminal "needs_terminal" Input "Run the command in a terminal of your own."
    PassphraseWeak "passphrase_weak" Input "Use a longer passphrase: five or more random words do well."

    NotAllowed "not_allowed" Denied "Ask somebody who may: an admin of the org, or an owner of the team."
    ReadOnly "read_only" Denied "The server was started read-only, or the token was made so. Use one that may change things, or the command line."
    PeopleOnly "people_only" Denied "Only a person does this: in a terminal, or signed in on the server's pages."
    Declined "declined" Denied "Nothing was changed. Ask the person what they would rather do."
    ApprovalRequired "approval_required" Denied "Ask a person to run `unsaid approve ID` in a terminal. Repeating this call changes nothing."
    PolicyForbids "policy_forbids" Denied "The org's policy does not allow it. An admin can change it with `unsaid policy set`."
    CredentialSuspended "credential_suspended" Denied "Ask the person to replace the value, or to run `unsaid broker lift NAME`."
    TokenInvalid "token_invalid" Denied "Make a token with `unsaid token create` and give it to the client."
    ConsentInvalid "consent_invalid" Denied "Nothing was kept. Begin again: ask the assistant for a new link, or run `unsaid connect NAME`."
    ConsentDenied "consent_denied" Denied "Nothing was changed. Ask the person whether they want to connect it."
    CodeWrong "code_wrong" Denied "Type the code as it was shown to whoever asked for the link."
    ChallengeFailed "challenge_failed" Denied "Nothing was changed. Run the command again and type the challenge as shown."

    CredentialNotFound "credential_not_found" Missing "Call list_credentials to see the names that exist."
    VersionNotFound "version_not_found" Missing "Call get_credential to see the versions there are."
    ServiceNotFound "service_not_found" Missing "Call list_services to see the services of the catalogue."
    ProviderNotFound "provider_not_found" Missing "Call list_oauth_providers to see the providers that exist."
    UserNotFound "user_not_found" Missing "Run `unsaid user list` to see who there is."
    TeamNotFound "team_not_found" Missing "Call whoami to see your teams."
    OrgNotFound "org_not_found" Missing "Run `unsaid org list` to see the orgs of this vault."
    GrantNotFound "grant_not_found" Missing "Call get_credential to see who may use it."
    TokenNotFound "token_not_found" Missing "Run `unsaid token list` to see the tokens there are."
    EntryNotFound "entry_not_found" Missing "Ask the assistant for a new link, or run `unsaid set NAME` (a connection: `unsaid connect NAME`)."
    ApprovalNotFound "approval_not_found" Missing "Run `unsaid approve` without an id to see the open ones."
    ConsumerNotFound "consumer_not_found" Missing "Call list_consumers to see the consumers there are."
    AlertNotFound "alert_not_found" Missing "Run `unsaid canary` to see the open alerts."
    FindingNotFound "finding_not_found" Missing "Call audit_credentials to see the findings there are, or run `unsaid audit`."
    RotationNotFound "rotation_not_found" Missing "Call list_rotations to see the rotations there are."
    ToolNotFound "tool_not_found" Missing "Call tools/list to see the tools there are."
    ResourceNotFound "resource_not_found" Missing "Call resources/list to see the resources there are."
    CommandNotFound "command_not_found" Missing "Check the command's spelling, and that it is on the PATH of this shell."
    SlotNotFound "unlock_method_not_found" Missing "Run `unsaid key status` to see the ways in there are."
    ReauthRequired "reauth_required" Missing "Ask the person to connect it: `unsaid connect NAME`, or by a link from the assistant."
    ValueMissing "value_missing" Missing "Enter the value with `unsaid set NAME`."
    Unresolved "unresolved" Missing "Add what this message names as missing, then start it again."

    AlreadyExists "already_exists" Conflict "Use the one that exists, or choose another name, account label or environment."
    AmbiguousName "ambiguous_name" Conflict "Name it by its id, or add the scope, account or environment."
    AmbiguousTeam "ambiguous_team" Conflict "Two of your teams have this name. Name the team, or set your own value."
    Changed "changed_meanwhile" Conflict "Somebody changed it since you read it. Read it again, then repeat your change."
    OtherAccount "other_account" Conflict "Ask the person which account is meant, and connect it again."
    RefreshRefused "refresh_refused" Conflict "Ask an admin to check the OAuth provider: its client id and its client secret."
    Deleted "credential_deleted" Conflict "It is in the bin. Call restore_credential to bring it back."
    NotDeleted "credential_not_deleted" Conflict "It is not in the bin: delete it first."
    CredentialExpired "credential_expired" Conflict "Replace its value with `unsaid set NAME`, or change its expiry."
    IdempotencyConflict "idempotency_conflict" Conflict "The same idempotency key was used for another request. Use a new key."
    LastAdmin "last_admin" Conflict "Make somebody else an admin first."
    LastSlot "last_slot" Conflict "Add another unlock method with `unsaid key add` first."
    HasDependents "has_dependents" Conflict "Deal with what this message lists, then call again."
    AlreadyInitialised "already_initialised" Conflict "This vault exists. Set UNSAID_HOME to another folder for another one."
    ApprovalClosed "approval_closed" Conflict "It was decided, or its time is over. Ask for a new one."
    EntryClosed "entry_closed" Conflict "Ask the assistant for a new link, or run `unsaid set NAME` (a connection: `unsaid connect NAME`)."
    RotationOpen "rotation_open" Conflict "Go on with the one that is under way: get_rotation shows it, abort_rotation ends it."
    WrongStage "wrong_stage" Conflict "Call get_rotation: it says which step comes next."
    NothingToDo "nothing_to_do" Conflict "It is that way already."

    TooManyRequests "too_many_requests" Limited "Wait, then call again more slowly."
    TooLarge "too_large" Limited "Make it smaller: a value holds 64 KiB, a file 1 MiB."
    Quota "quota_exceeded" Limited "That is more than this session may do in this time. Ask a person to do it on the command line."

    NotInitialised "not_initialised" Unavailable "Run `unsaid init` in a terminal, then call again."
    VaultLocked "vault_locked" Unavailable "Run `unsaid doctor`: it says which unlock method failed and why."
    KeyNotFound "key_not_found" Unavailable "Run `unsaid doctor`: the root key of this vault was not where it should be."
    KeyInsecure "key_insecure" Unavailable "Repair what this message names; the key is not used until then."
    KeyUnknown "key_unknown" Unavailable "Run `unsaid key status`, then `unsaid doctor`."
    KeyChanged "key_changed" Unavailable "The keys were rotated by another process. Start this process again."
    StoreBusy "store_busy" Unavailable "Wait a moment and call again."
    StoreFull "store_full" Unavailable "Make room on the disk, then call again."
    StoreReadOnly "store_read_only" Unavailable "Make the data folder writable, then call again."
    StoreInsecure "store_insecure" Unavailable "Repair what this message names; nothing was read."
    StoreNewer "store_newer" Unavailable "This vault was written by a newer unsaid. Update this one."
    StoreCorrupt "store_corrupt" Unavailable "Restore the last backup with `unsaid restore-backup`, or run `unsaid doctor`."
    RefreshUnreachable "refresh_unreachable" Unavailable "Nothing is lost: the connection is kept. Try again in a moment."
    Unreachable "unreachable" Unavailable "Check the address and the network, then try again."
    CommandNotExecutable "command_not_executable" Unavailable "Make it executable with `chmod +x`, or name the program that reads it."
    CommandNotStarted "command_not_started" Unavailable "Nothing ran. Try again; if it repeats, the cause is in the log."
    ScanIncomplete "scan_incomplete" Unavailable "Make readable what was named, or search as somebody who may read it; then search again."
    ConfigInvalid "config_invalid" Unavailable "Correct the setting this message names."

    Integrity "integrity_failure" Internal "Somebody changed the database behind our back. Run `unsaid doctor`, and restore a backup if you did not do it."
    BadEnvelope "bad_envelope" Internal "The sealed value cannot be read. Run `unsaid doctor`, then enter the value again with `unsaid set NAME`."
    Cancelled "cancelled" Unavailable "The call was cancelled; nothing was changed. Call again if it is still wanted."
    Internal "internal" Internal "Search the log for the request id, then report it."
}

/// A failure that a caller may see.
pub struct Error {
    pub code: Code,
    message: Cow<'static, str>,
    next: Option<Cow<'static, str>>,
    /// Small facts a program may want, safe to show; for instance `approval_id`.
    details: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), next: None, details: Vec::new(), source: None }
    }

    /// Replaces the table's next step by a better one.
    pub fn next(mut self, step: impl Into<Cow<'static, str>>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// Adds a fact for programs; never a value.
    pub fn detail(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.details.push((name, text.into()));
        self
    }

    /// Keeps what caused it, for the log only.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure, for one more who asks; what caused it stays with the first.
    pub fn again(&self) -> Self {
        Self {
            code: self.code,
            message: self.message.clone(),
            next: self.next.clone(),
            details: self.details.clone(),
            source: None,
        }
    }

    pub fn kind(&self) -> Kind {
        self.code.kind()
    }
    pub fn message(&self) -> &str {
        &self.message
    }
    pub fn next_step(&self) -> &str {
        self.next.as_deref().unwrap_or(self.code.next())
    }
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    /// The answer a door gives: `{code, message, next, …details}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut body = serde_json::json!({
            "code": self.code.name(), "message": self.message, "next": self.next_step(),
        });
        for (name, text) in &self.details {
            body[*name] = serde_json::Value::from(text.clone());
        }
        body
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// `Error` of kind Input with this message.
pub fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::InvalidInput, message)
}

/// `Error` of kind Internal: a state that the code rules out.
pub fn internal(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_unique_snake_case_name_and_a_sentence_to_follow() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.name()), "{} twice", code.name());
            assert!(code.name().chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(code.next().ends_with('.') || code.next().ends_with('`'), "{}", code.name());
        }
    }

    #[test]
    fn the_cause_is_kept_for_the_log_and_never_shown() {
        let error = internal("the store failed").because("secret SQL text");

        assert!(!format!("{error} {error:?} {}", error.to_json()).contains("SQL"));
        assert!(error.source().is_some());
    }
}
