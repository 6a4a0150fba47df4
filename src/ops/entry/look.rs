//! What the page shows before a person types: who asked, for what, and what it changes. Never a stored value.
use super::visit::expect_asker;
use super::{connect_policy, expect_open, expect_same, find, not_found, secret_policy, value_policy};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::Word;
use crate::model::access::{Caller, GranteeKind};
use crate::model::credential::{Credential, CredentialType, Scope};
use crate::model::entry::{EntryLink, EntryPurpose};
use crate::ops::credential::create::{described, same_name};
use crate::ops::credential::sealing::{MOST_FILE_BYTES, MOST_VALUE_BYTES};
use crate::ops::credential::view::Names;
use crate::ops::people_only;
use crate::ops::reach::{self, Need};
use crate::services::Catalogue;
use crate::store::Reader;

/// One thing to type.
#[derive(Clone, Debug)]
pub struct FieldView {
    pub name: String,
    pub is_secret: bool,
    /// It has a value, which stays where nothing is typed.
    pub is_kept: bool,
}

/// An entry page, as facts.
#[derive(Clone, Debug)]
pub struct EntryView {
    pub purpose: EntryPurpose,
    /// What will be entered, as `GITHUB_TOKEN`.
    pub name: String,
    pub asked_by: String,
    /// What the client said it is; claimed, never checked.
    pub client: String,
    pub asked_at: Millis,
    pub expires_at: Millis,
    /// Label and text, in the order to show.
    pub facts: Vec<(&'static str, String)>,
    /// What it replaces and what it comes before.
    pub warnings: Vec<String>,
    pub used_by: Vec<String>,
    pub fields: Vec<FieldView>,
    pub is_file: bool,
    pub most_bytes: usize,
    /// The same on the command line.
    pub command: String,
    /// Of a consent, where it leads.
    pub connect: Option<ConnectView>,
}

/// Where a consent leads, and what is asked for there.
#[derive(Clone, Debug, Default)]
pub struct ConnectView {
    pub provider: String,
    /// The host of the consent page.
    pub host: String,
    /// Each scope with what it means, where the catalogue knows.
    pub scopes: Vec<(String, String)>,
    pub has_device: bool,
}

/// What the link is for, as things stand now, for the person who asked.
///
/// Fails with `entry_not_found`, `entry_closed`, and `not_allowed` for anybody else and for an asker who may no longer
/// enter it.
pub async fn look(app: &App, visitor: &Caller, link: &str) -> Result<EntryView> {
    people_only(visitor)?;
    let row = find(app, link).await?;
    expect_asker(app, visitor, &row).await?;
    let (asking, catalogue) = (visitor.clone(), app.catalogue);
    app.store
        .read(move |tx| {
            expect_open(&row, tx.now())?;
            let mut view = match row.purpose {
                EntryPurpose::Value => value(tx, &asking, &row)?,
                EntryPurpose::ClientSecret => client_secret(tx, &asking, &row)?,
                EntryPurpose::Connect => connect(tx, &asking, &row, catalogue)?,
                EntryPurpose::SignIn => return Err(not_found()),
            };
            // A service is shown by its name, not by its id.
            for (label, text) in &mut view.facts {
                if *label == "Service"
                    && let Some(service) = catalogue.find_service(text)
                {
                    *text = service.name.clone();
                }
            }
            view.asked_by = tx.user(&row.org_id, &row.asked_by)?.login;
            Ok(view)
        })
        .await
}

fn begun(row: &EntryLink) -> EntryView {
    EntryView {
        purpose: row.purpose,
        name: String::new(),
        asked_by: String::new(),
        client: row.client.split(" (token ").next().unwrap_or_default().to_owned(),
        asked_at: row.created_at,
        expires_at: row.expires_at,
        facts: Vec::new(),
        warnings: Vec::new(),
        used_by: Vec::new(),
        fields: Vec::new(),
        is_file: false,
        most_bytes: MOST_VALUE_BYTES,
        command: String::new(),
        connect: None,
    }
}

fn value(tx: &Reader<'_>, caller: &Caller, row: &EntryLink) -> Result<EntryView> {
    let (who, org) = reach::who(tx, caller)?;
    let found = reach::credential(tx, caller, &who, &row.object_id, Need::Manage)?;
    let c = &found.credential;
    expect_same(row, &value_policy(c))?;
    let mut names = Names::knowing(tx, &org.id, &who);
    let mut view = EntryView { name: c.label(), command: c.set_command(), ..begun(row) };
    let place = match c.scope {
        Scope::Personal => "personal: only you use it".to_owned(),
        Scope::Team => format!("team {}: its members use it", names.owner(c.scope, &c.owner_id)?),
        Scope::Org => format!("the whole org {}: everybody in it uses it", org.name),
    };
    let kind = match c.kind {
        CredentialType::ApiKey => "API key",
        CredentialType::OAuth => "OAuth connection",
        CredentialType::Basic => "user name and password",
        CredentialType::File => "file",
        CredentialType::Custom => "several fields",
    };
    view.facts = vec![("Name", c.name.clone()), ("Kind", kind.to_owned()), ("Scope", place)];
    let mut more = |label, text: &str| {
        if !text.is_empty() {
            view.facts.push((label, text.to_owned()));
        }
    };
    more("Service", &c.service);
    more("Account", &c.account);
    if c.environment != crate::model::credential::Environment::Any {
        more("Environment", c.environment.as_str());
    }
    more("Description", &c.description);
    if let Some(at) = c.expires_at {
        more("Expires", &at.to_string());
    }
    if c.current_version.is_some() {
        view.warnings.push("It has a value already, which this one replaces. The one before is kept.".into());
    }
    if c.scope == Scope::Personal {
        let others = same_name(tx, caller, &who, c)?;
        for text in described(tx, caller, &others)? {
            view.warnings.push(format!("In your sessions it comes before {text}."));
        }
    }
    view.used_by = used_by(tx, &tx.standing(caller)?, c, &found.grants, &mut names)?;
    view.is_file = c.kind == CredentialType::File;
    if view.is_file {
        view.most_bytes = MOST_FILE_BYTES;
    }
    let kept = match tx.current_version(c)? {
        Some(current) => tx.fields(&current.id)?.into_iter().map(|f| f.name).collect(),
        None => Vec::new(),
    };
    view.fields = c
        .field_specs()
        .into_iter()
        .map(|f| FieldView { is_kept: kept.contains(&f.name), is_secret: f.secret, name: f.name })
        .collect();
    // One field that is kept would be nothing to enter.
    if let [only] = &mut view.fields[..] {
        only.is_kept = false;
    }
    Ok(view)
}

fn used_by(
    tx: &Reader<'_>,
    who: &crate::model::access::Standing,
    c: &Credential,
    grants: &[crate::model::access::Grant],
    names: &mut Names<'_, '_>,
) -> Result<Vec<String>> {
    let mut used_by = Vec::new();
    for grant in grants.iter().take(20) {
        used_by.push(match grant.grantee_kind {
            GranteeKind::User => format!("{} (granted: {})", names.user(&grant.grantee_id)?, grant.level),
            GranteeKind::Team => {
                format!("team {} (granted: {})", names.team(&grant.grantee_id)?, grant.level)
            }
            GranteeKind::Consumer => {
                format!("consumer {}", crate::ops::consumer::name_of(tx, who, &c.org_id, &grant.grantee_id)?)
            }
        });
    }
    let usage = tx.usage(&c.id)?;
    if let Some(at) = usage.last_at {
        used_by.push(format!(
            "used {} times so far, last on {}",
            usage.uses,
            at.to_string().split('T').next().unwrap_or_default()
        ));
    }
    Ok(used_by)
}

fn connect(tx: &Reader<'_>, caller: &Caller, row: &EntryLink, catalogue: &Catalogue) -> Result<EntryView> {
    let (who, org) = reach::who(tx, caller)?;
    let c = reach::credential(tx, caller, &who, &row.object_id, Need::Manage)?.credential;
    expect_same(row, &connect_policy(tx, &c)?)?;
    let p = crate::ops::connection::provider_of(tx, &c)?;
    let mut names = Names::knowing(tx, &org.id, &who);
    let mut view = EntryView { name: c.label(), command: c.connect_command(), ..begun(row) };
    let place = match c.scope {
        Scope::Personal => "personal: only you use it".to_owned(),
        Scope::Team => format!("team {}: its members use it", names.owner(c.scope, &c.owner_id)?),
        Scope::Org => format!("the whole org {}: everybody in it uses it", org.name),
    };
    view.facts = vec![("Name", c.name.clone()), ("OAuth provider", p.name.clone()), ("Scope", place)];
    for host in crate::ops::provider::distinct_hosts(&p.endpoints) {
        view.facts.push(("Talks to", host));
    }
    if c.scope != Scope::Personal {
        view.warnings.push("Others will act as the account that you consent with.".into());
    }
    if let Some(before) = tx.connection(&c.org_id, &c.id)?.filter(|before| !before.account.is_empty()) {
        view.warnings.push(format!("It was connected as {}: consent as the same account.", before.account));
    }
    let known = catalogue.find_service(&p.service).and_then(|s| s.oauth.as_ref().map(|o| o.scopes.clone()));
    let meaning = |scope: &str| {
        let found = known.iter().flatten().find(|known| known.scope == scope);
        found.map_or(String::new(), |known| known.meaning.clone())
    };
    view.connect = Some(ConnectView {
        host: crate::ops::connection::host(&p.endpoints.authorization_url),
        scopes: p.scopes.iter().map(|scope| (scope.clone(), meaning(scope))).collect(),
        has_device: !p.endpoints.device_authorization_url.is_empty(),
        provider: p.name,
    });
    Ok(view)
}

fn client_secret(tx: &Reader<'_>, caller: &Caller, row: &EntryLink) -> Result<EntryView> {
    reach::admin(tx, caller)?;
    let p = tx.provider_named(&caller.org, &row.object_id)?;
    expect_same(row, &secret_policy(&p))?;
    let mut view = EntryView {
        name: p.name.clone(),
        command: format!("unsaid provider secret {}", p.name),
        ..begun(row)
    };
    view.facts = vec![("OAuth provider", p.name.clone()), ("Client id", p.client_id.clone())];
    if !p.service.is_empty() {
        view.facts.push(("Service", p.service.clone()));
    }
    // Where the secret will go, for that is what it is sealed to.
    for host in crate::ops::provider::hosts(&p.endpoints) {
        view.facts.push(("Goes to", host));
    }
    if p.has_secret() {
        view.warnings.push("It has a client secret already, which this one replaces.".into());
    }
    view.most_bytes = 4096;
    view.fields = vec![FieldView { name: "client_secret".into(), is_secret: true, is_kept: false }];
    Ok(view)
}

/// The visitor's own open links: what for, and until when. The links themselves are not known any more.
pub async fn mine(app: &App, visitor: &Caller) -> Result<Vec<(String, Millis)>> {
    let asking = visitor.clone();
    app.store
        .read(move |tx| {
            let who = tx.standing(&asking)?;
            let now = tx.now();
            let mut open = Vec::new();
            for link in tx.entries_by(&asking.org, &asking.user, now.plus_ms(-3_600_000))? {
                if !link.is_open(now) {
                    continue;
                }
                let name = match link.purpose {
                    EntryPurpose::Value | EntryPurpose::Connect => {
                        reach::credential(tx, &asking, &who, &link.object_id, Need::See)
                            .map(|f| f.credential.name)
                    }
                    EntryPurpose::ClientSecret => tx
                        .provider_named(&asking.org, &link.object_id)
                        .map(|p| format!("client secret of {}", p.name)),
                    EntryPurpose::SignIn => continue,
                };
                if let Ok(name) = name {
                    open.push((name, link.expires_at));
                }
            }
            Ok(open)
        })
        .await
}
