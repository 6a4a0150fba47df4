//! `get_credential`: everything about one credential but its value, as far as the caller may see.
use super::view::{CredentialRow, Names, row};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::{Caller, GranteeKind, Level};
use crate::model::canary::{is_telling, may_know};
use crate::model::connection::{Connection, ConnectionState, GrantKind};
use crate::model::credential::{FieldSpec, Scope, Source, Stage};
use crate::ops::entry::{self, EntryStatus};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::{AuditFilter, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many of the last events are shown.
const EVENTS: usize = 5;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetCredential {
    /// Id or name (also team/NAME, NAME@account)
    #[schemars(length(max = 160))]
    pub credential: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CredentialDetail {
    #[serde(flatten)]
    pub row: CredentialRow,
    /// What the caller may do with it: use, view, manage.
    pub you_may: Vec<Level>,
    /// What became of your last entry link for it, within the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryStatus>,
    /// The rest is shown to whoever may view it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Configuration {
    pub description: String,
    pub tags: Vec<String>,
    pub fields: Vec<FieldSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_set_at: Option<Millis>,
    pub value_set_by: String,
    pub updated_at: Millis,
    /// Newest first.
    pub versions: Vec<VersionLine>,
    /// Of type oauth, once it was connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionView>,
    pub who: Vec<Holder>,
    /// Consumers bound to it, as `github (GITHUB_TOKEN)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bound_to: Vec<String>,
    pub uses: i64,
    pub failures: i64,
    pub last_events: Vec<EventLine>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct VersionLine {
    pub number: i64,
    pub stage: Stage,
    pub created_at: Millis,
    pub created_by: String,
}

/// What a connection is connected to, and how it stands. Nothing of its tokens.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ConnectionView {
    pub provider: String,
    pub state: ConnectionState,
    pub grant: GrantKind,
    /// As the service says; empty where it does not.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub account: String,
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes_missing: Vec<String>,
    pub connected_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Millis>,
    /// When it is refreshed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_due_at: Option<Millis>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub last_error: String,
}

impl ConnectionView {
    fn of(tx: &Reader<'_>, c: Connection) -> Result<Self> {
        let provider = match tx.provider_named(&c.org_id, c.provider_id.as_str()) {
            Ok(p) => p.name,
            Err(e) if e.code == crate::error::Code::ProviderNotFound => String::new(),
            Err(e) => return Err(e),
        };
        Ok(Self {
            provider,
            state: c.state,
            grant: c.grant_kind,
            scopes_missing: c.scopes_missing().into_iter().map(str::to_owned).collect(),
            account: c.account,
            scopes: c.scopes_granted,
            connected_at: c.connected_at,
            token_expires_at: c.access_expires_at,
            refresh_due_at: c.refresh_due_at,
            last_error: c.last_error,
        })
    }
}

/// Who may do something with it, and why.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Holder {
    pub who: String,
    pub may: Level,
    pub because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct EventLine {
    pub at: Millis,
    pub operation: String,
    pub outcome: String,
    pub user: String,
}

impl Operation for GetCredential {
    const NAME: &'static str = "get_credential";
    const TITLE: &'static str = "Show a credential";
    const ABOUT: &'static str = "See one credential's configuration, status and next step, versions, who may use it and its last events. Never its value.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::See;
    const IDEMPOTENT: bool = true;
    type Output = CredentialDetail;

    async fn run(self, app: &App, caller: &Caller) -> Result<CredentialDetail> {
        let asking = caller.clone();
        app.store.read_here(move |tx| detail(tx, &asking, &self.credential)).await
    }
}

fn detail(tx: &Reader<'_>, caller: &Caller, wanted: &str) -> Result<CredentialDetail> {
    let (who, org) = reach::who(tx, caller)?;
    let found = reach::credential_or_deleted(tx, caller, &who, wanted, Need::See)?;
    let c = &found.credential;
    let mut names = Names::knowing(tx, &org.id, &who);
    let used = tx.usage(&c.id)?;
    let connection = match c.source {
        Source::OAuth => tx.connection(&org.id, &c.id)?,
        Source::Manual => None,
    };
    let row = row(&mut names, &org, c, connection.as_ref(), &used, tx.now())?;
    let a = found.access;
    let you_may = [(a.uses, Level::Use), (a.views, Level::View), (a.manages, Level::Manage)]
        .into_iter()
        .filter_map(|(may, level)| may.then_some(level))
        .collect();
    if !(a.views || a.manages) {
        return Ok(CredentialDetail { row, you_may, entry: None, configuration: None });
    }
    let mut versions = Vec::new();
    for v in tx.versions(&org.id, &c.id, 5)? {
        versions.push(VersionLine {
            number: v.number,
            stage: v.stage,
            created_at: v.created_at,
            created_by: names.user(v.created_by.as_str())?,
        });
    }
    let mut holders = vec![match c.scope {
        Scope::Personal => {
            Holder { who: row.owner.clone(), may: Level::Manage, because: "it is theirs".into(), grant: None }
        }
        Scope::Team => Holder {
            who: format!("team {}", row.owner),
            may: Level::Use,
            because: "members use it; owners and admins of the team manage it".into(),
            grant: None,
        },
        Scope::Org => Holder {
            who: "everybody in the org".into(),
            may: Level::Use,
            because: "members use it; admins of the org manage it".into(),
            grant: None,
        },
    }];
    for grant in found.grants.iter().take(50) {
        let who = match grant.grantee_kind {
            GranteeKind::User => names.user(&grant.grantee_id)?,
            GranteeKind::Team => format!("team {}", names.team(&grant.grantee_id)?),
            GranteeKind::Consumer => {
                format!("consumer {}", crate::ops::consumer::name_of(tx, &who, &org.id, &grant.grantee_id)?)
            }
        };
        holders.push(Holder {
            who,
            may: grant.level,
            because: "granted".into(),
            grant: Some(grant.id.0.clone()),
        });
    }
    let events = tx.search_audit(
        &org.id,
        &AuditFilter {
            sees_others: true,
            object_id: Some(c.id.0.clone()),
            limit: 5 * EVENTS as i64,
            ..AuditFilter::default()
        },
    )?;
    let mut last_events = Vec::new();
    let knows = may_know(caller, found.access);
    for e in events.into_iter().filter(|e| knows || !is_telling(&e.operation)).take(EVENTS) {
        last_events.push(EventLine {
            at: e.at,
            operation: e.operation,
            outcome: e.outcome,
            user: names.user(&e.user)?,
        });
    }
    let configuration = Configuration {
        description: c.description.clone(),
        tags: c.tags.clone(),
        fields: c.field_specs(),
        rotation_days: c.rotation_days,
        value_set_at: c.value_set_at,
        value_set_by: names.maybe_user(c.value_set_by.as_ref())?,
        updated_at: c.updated_at,
        versions,
        connection: connection.map(|c| ConnectionView::of(tx, c)).transpose()?,
        who: holders,
        bound_to: crate::ops::consumer::bound_to(tx, &who, c)?
            .iter()
            .take(50)
            .map(|(c, variable)| format!("{} ({variable})", c.name))
            .collect(),
        uses: used.uses,
        failures: used.failures,
        last_events,
    };
    let entry = entry::status(tx, caller, c.id.as_str())?;
    Ok(CredentialDetail { row, you_may, entry, configuration: Some(configuration) })
}
