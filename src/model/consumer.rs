//! Consumers: what uses credentials, and the bindings that say which credential goes where.
//!
//! A binding names a destination, never a value; only a `static` one holds text, and that is no secret.
use super::access::Standing;
use super::credential::{Environment, Scope};
use super::header::HeaderLine;
use super::name::{MAX_NAME, Reserved};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::{ConsumerId, OrgId, TokenId, UserId};

words! {
    /// What a consumer is.
    ConsumerKind { Agent = "agent", McpServer = "mcp_server", Workflow = "workflow", Integration = "integration" }
}

words! {
    /// Where a binding takes its value from.
    BindingSource {
        /// The name resolves as for anybody: personal, then team, then org.
        Auto = "auto",
        /// Plain text of the binding itself: configuration, never a secret.
        Static = "static",
        /// A connection.
        OAuth = "oauth",
        OrgSecret = "org_secret",
        TeamSecret = "team_secret",
        /// The value of the person it runs for, and nobody else's.
        UserSecret = "user_secret",
    }
}

words! {
    /// How a value reaches its consumer.
    Delivery {
        /// In the environment variable.
        Env = "env",
        /// In a private file whose path is in the variable.
        File = "file",
        /// Added to requests by the broker, or by us who speak to a remote server; the consumer never holds it.
        Header = "header",
    }
}

/// The longest plain text of a static binding, bytes.
pub const MOST_TEXT: usize = 2000;
/// The most bindings of one consumer.
pub const MOST_BINDINGS: usize = 40;

/// An agent, MCP server, workflow or integration.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub id: ConsumerId,
    pub org_id: OrgId,
    /// As `github`: unique among its owner's.
    pub name: String,
    pub name_key: String,
    pub kind: ConsumerKind,
    pub scope: Scope,
    /// The user of a personal one, the team of a team's, empty for the org's.
    pub owner_id: String,
    pub description: String,
    /// A named group of MCP servers of one owner; empty for none.
    pub stack: String,
    /// `user:ID` and `team:ID` that alone may run it; empty: everybody whom its scope serves.
    pub run_by: Vec<String>,
    /// The server definition that it was made from, or empty.
    pub definition: String,
    /// Program and arguments; empty where it is started from elsewhere.
    pub command: Vec<String>,
    /// Where a remote one is, or empty.
    pub url: String,
    pub created_at: Millis,
    pub created_by: UserId,
    pub updated_at: Millis,
    pub deleted_at: Option<Millis>,
    pub revision: i64,
}

/// Which credential of whom goes into one variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub consumer_id: ConsumerId,
    /// The variable; of a header it is what the binding is called.
    pub variable: String,
    pub org_id: OrgId,
    pub source: BindingSource,
    pub delivery: Delivery,
    /// Name or id of the credential; empty: the variable's own name.
    pub credential: String,
    /// Which of its fields, where it has several; empty for the one there is.
    pub field: String,
    pub account: String,
    pub environment: Option<Environment>,
    /// The team of a `team_secret`; empty for the consumer's own.
    pub team_id: String,
    /// Under which name the broker serves it; empty for the credential's service.
    pub service: String,
    /// The text of a `static` one; of a header of the consumer's own address the whole line, as
    /// `Authorization: Bearer {value}`.
    pub text: String,
    /// HTTP methods that the broker lets through; empty for all.
    pub methods: Vec<String>,
    /// Paths that the broker lets through, as `/v1/models` or `/v1/**`; empty for all that the service has.
    pub paths: Vec<String>,
    pub is_required: bool,
    pub created_at: Millis,
    pub created_by: UserId,
    pub revision: i64,
}

/// A token that is a consumer's, and no user's client.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerToken {
    pub token_id: TokenId,
    pub org_id: OrgId,
    pub consumer_id: ConsumerId,
    pub revision: i64,
}

impl Consumer {
    /// Whether this person may know that it exists.
    pub fn is_seen_by(&self, who: &Standing) -> bool {
        match self.scope {
            Scope::Personal => self.owner_id == who.user.as_str(),
            Scope::Team => who.team_role(&self.owner_id).is_some() || who.sees_all(),
            Scope::Org => true,
        }
    }

    /// Whether this person may start it, or hold a token of it.
    pub fn is_run_by(&self, who: &Standing) -> bool {
        let is_served = match self.scope {
            Scope::Personal => self.owner_id == who.user.as_str(),
            Scope::Team => who.team_role(&self.owner_id).is_some(),
            Scope::Org => who.role != super::org::Role::Auditor,
        };
        is_served
            && (self.run_by.is_empty()
                || self.run_by.iter().any(|one| match one.split_once(':') {
                    Some(("user", id)) => id == who.user.as_str(),
                    Some(("team", id)) => who.team_role(id).is_some(),
                    _ => false,
                }))
    }

    /// As people tell it from others: `github (team)`.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.scope)
    }
}

impl Binding {
    /// The name that is resolved, or the id that is meant.
    pub fn wanted(&self) -> &str {
        if self.credential.is_empty() { &self.variable } else { &self.credential }
    }

    /// What the consumer's own remote server is sent it in; nothing where it goes elsewhere.
    pub fn header(&self) -> Option<HeaderLine> {
        let is_own = self.delivery == Delivery::Header && !self.text.is_empty();
        is_own.then(|| HeaderLine::parse(&self.text).ok()).flatten()
    }

    /// Whether the broker adds it to requests for its service.
    pub fn is_brokered(&self) -> bool {
        self.source != BindingSource::Static && self.delivery == Delivery::Header && self.text.is_empty()
    }

    /// Whether it is plain configuration for a program.
    pub fn is_plain(&self) -> bool {
        self.source == BindingSource::Static && self.delivery != Delivery::Header
    }
}

/// A consumer's name: letters, digits, `.`, `_` and `-`, 1 to 64 characters, beginning with a letter or digit.
///
/// Fails with `invalid_input`, without repeating the text.
pub fn parse_name(text: &str) -> Result<String> {
    let text = text.trim();
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    match fits {
        true => Ok(text.to_owned()),
        false => Err(invalid(
            "a consumer's name has 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or digit",
        )),
    }
}

/// A variable's name; `may_configure` lets through the reserved ones, which only people set, as plain text.
///
/// Fails with `invalid_input` and `reserved_name`, without repeating the text.
pub fn parse_variable(text: &str, may_configure: bool) -> Result<String> {
    let fits = !text.is_empty()
        && text.len() <= MAX_NAME
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !fits {
        return Err(invalid(
            "a variable has only A-Z, a-z, 0-9 and _, at most 64, and does not start with a digit",
        ));
    }
    match Reserved::of(text) {
        // What opens the vault is never somebody else's configuration.
        Some(Reserved::Ours) => {
            Err(Error::new(Code::ReservedName, "unsaid's own variables are not handed to a consumer"))
        }
        Some(reserved) if !may_configure => {
            Err(Error::new(Code::ReservedName, format!("this variable is reserved: {}", reserved.reason())))
        }
        _ => Ok(text.to_owned()),
    }
}

/// An HTTP method in upper case. Fails with `invalid_input` for what is none that the broker knows.
pub fn parse_method(text: &str) -> Result<String> {
    let method = text.trim().to_ascii_uppercase();
    match ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method.as_str()) {
        true => Ok(method),
        false => Err(invalid("a method is one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::org::{Role, TeamRole};

    fn consumer(scope: Scope, owner: &str, run_by: &[&str]) -> Consumer {
        Consumer {
            id: ConsumerId::fresh(),
            org_id: OrgId::from("o"),
            name: "c".into(),
            name_key: "c".into(),
            kind: ConsumerKind::Agent,
            scope,
            owner_id: owner.into(),
            description: String::new(),
            stack: String::new(),
            run_by: run_by.iter().map(|s| (*s).to_owned()).collect(),
            definition: String::new(),
            command: Vec::new(),
            url: String::new(),
            created_at: Millis(0),
            created_by: UserId::from("u"),
            updated_at: Millis(0),
            deleted_at: None,
            revision: 0,
        }
    }

    fn person(user: &str, role: Role, team: Option<&str>) -> Standing {
        Standing {
            user: UserId::from(user),
            login: user.into(),
            role,
            teams: team.map(|t| (crate::ids::TeamId::from(t), TeamRole::Member)).into_iter().collect(),
            consumer: None,
        }
    }

    #[test]
    fn a_personal_consumer_is_its_owners_alone() {
        let c = consumer(Scope::Personal, "mia", &[]);
        let (mia, ada, otto) = (
            person("mia", Role::Member, None),
            person("ada", Role::Admin, None),
            person("otto", Role::Auditor, None),
        );

        assert!(c.is_seen_by(&mia) && c.is_run_by(&mia));
        for other in [ada, otto] {
            assert!(!c.is_seen_by(&other) && !c.is_run_by(&other));
        }
    }

    #[test]
    fn an_admin_sees_a_teams_consumer_and_does_not_run_it() {
        let c = consumer(Scope::Team, "core", &[]);

        assert!(c.is_run_by(&person("mia", Role::Member, Some("core"))));
        assert!(c.is_seen_by(&person("ada", Role::Admin, None)));
        assert!(!c.is_run_by(&person("ada", Role::Admin, None)));
        assert!(!c.is_seen_by(&person("max", Role::Member, Some("ops"))));
    }

    #[test]
    fn who_runs_it_narrows_its_scope_and_never_widens_it() {
        let c = consumer(Scope::Team, "core", &["user:mia", "team:ops"]);

        assert!(c.is_run_by(&person("mia", Role::Member, Some("core"))));
        assert!(!c.is_run_by(&person("tom", Role::Member, Some("core"))));
        assert!(!c.is_run_by(&person("mia", Role::Member, None)));
        assert!(!c.is_run_by(&person("max", Role::Member, Some("ops"))));
        assert!(!consumer(Scope::Org, "", &[]).is_run_by(&person("otto", Role::Auditor, None)));
    }

    #[test]
    fn what_is_no_name_no_variable_no_method_is_refused_without_repeating_it() {
        for bad in ["", "-x", ".x", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(parse_name(bad).unwrap_err().code, Code::InvalidInput);
        }
        for bad in ["", "1A", "A-B", "A=B", "A\n", &"A".repeat(65)] {
            assert_eq!(parse_variable(bad, true).unwrap_err().code, Code::InvalidInput);
        }
        assert_eq!(parse_method("CONNECT").unwrap_err().code, Code::InvalidInput);
        assert_eq!(parse_method("get").unwrap(), "GET");
    }

    #[test]
    fn a_reserved_variable_is_plain_configuration_of_people_and_ours_is_nobodys() {
        assert_eq!(parse_variable("LD_PRELOAD", false).unwrap_err().code, Code::ReservedName);
        assert_eq!(parse_variable("OPENAI_BASE_URL", true).unwrap(), "OPENAI_BASE_URL");
        assert_eq!(parse_variable("UNSAID_TOKEN", true).unwrap_err().code, Code::ReservedName);
    }
}
