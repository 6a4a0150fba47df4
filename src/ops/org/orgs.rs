//! Orgs of this vault: make, list, rename. For the local command line, whose person holds the root key; no operation.
use super::{about, users};
use crate::app::{App, org_key_record};
use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, UserId};
use crate::model::access::{Caller, Door};
use crate::model::org::{Org, Role, SharingPlan, User};
use crate::model::text::DisplayName;
use crate::ops::{people_only, reach};
use serde::Serialize;

/// Who administers a new org.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    pub login: String,
    /// The login where none is given.
    pub display_name: Option<DisplayName>,
}

/// A new org, with what the command line keeps as the local identity.
#[derive(Clone, Debug, Serialize)]
pub struct NewOrg {
    pub org: OrgId,
    pub name: String,
    pub admin: UserId,
    pub login: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrgRow {
    pub id: OrgId,
    pub name: String,
    pub sharing_plan: SharingPlan,
}

/// Makes an org with its key and its first admin, in one transaction.
///
/// Fails with `already_exists` where an org has this name.
pub async fn create_org(app: &App, name: DisplayName, admin: FirstAdmin) -> Result<NewOrg> {
    let login = users::parse_login(&admin.login)?;
    let (org_id, user_id) = (OrgId::fresh(), UserId::fresh());
    let caller = Caller::new(org_id.clone(), user_id.clone(), Door::Cli);
    let keys = app.keys.clone();
    let id = org_id.clone();
    let made = app
        .store
        .write(&caller, move |tx| {
            let name = String::from(name);
            let now = tx.now();
            let vault = keys.vault();
            let key = vault.new_org_key(&id, 1, now)?;
            // Loaded before the commit: the org's own rows and its first event are MACed under it.
            vault.load_org_keys(std::slice::from_ref(&key))?;
            tx.save_org_key(&org_key_record(&key))?;
            tx.bump_key_epoch()?;
            if tx.orgs()?.iter().any(|org| org.name.to_lowercase() == name.to_lowercase()) {
                return Err(Error::new(Code::AlreadyExists, format!("there is an org {name} already")));
            }
            let mut org = Org {
                id: id.clone(),
                name: name.clone(),
                sharing_plan: SharingPlan::MultiTeam,
                bin_days: 30,
                warn_days: 14,
                created_at: now,
                revision: 0,
            };
            tx.insert(&mut org)?;
            let mut user = User {
                id: user_id.clone(),
                org_id: id.clone(),
                display_name: admin.display_name.map_or_else(|| login.clone(), String::from),
                login: login.clone(),
                role: Role::Admin,
                created_at: now,
                disabled_at: None,
                revision: 0,
            };
            tx.insert(&mut user)?;
            let event =
                about("create_org", "org", id.as_str(), &name, org.revision).with("admin", user.id.0.clone());
            tx.record(event, NewOrg { org: id, name, admin: user_id, login })
        })
        .await;
    if made.is_err() {
        app.vault().unload_org(&org_id);
    }
    made
}

/// Every org of the vault, by name.
pub async fn list_orgs(app: &App) -> Result<Vec<OrgRow>> {
    let row = |org: Org| OrgRow { id: org.id, name: org.name, sharing_plan: org.sharing_plan };
    app.store.read(move |tx| Ok(tx.orgs()?.into_iter().map(row).collect())).await
}

/// Gives the caller's org another name.
pub async fn rename(app: &App, caller: &Caller, name: DisplayName) -> Result<OrgRow> {
    people_only(caller)?;
    let asking = caller.clone();
    app.store
        .write(caller, move |tx| {
            reach::admin(tx, &asking)?;
            let name = String::from(name);
            let mut org = tx.org(&asking.org)?;
            let before = std::mem::replace(&mut org.name, name);
            if before == org.name {
                return Err(Error::new(Code::NothingToDo, "that is its name already"));
            }
            if tx.orgs()?.iter().any(|o| o.id != org.id && o.name.to_lowercase() == org.name.to_lowercase()) {
                return Err(Error::new(Code::AlreadyExists, format!("there is an org {} already", org.name)));
            }
            tx.save(&mut org)?;
            let event = about("rename_org", "org", org.id.as_str(), &org.name, org.revision)
                .with("name_before", before);
            tx.record(event, OrgRow { id: org.id, name: org.name, sharing_plan: org.sharing_plan })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Operation;
    use crate::ops::org::fixture::Place;
    use crate::ops::org::{AddUser, ListUsers};

    fn named(name: &str) -> DisplayName {
        DisplayName::parse(name).unwrap()
    }
    fn admin(login: &str) -> FirstAdmin {
        FirstAdmin { login: login.into(), display_name: None }
    }

    #[tokio::test]
    async fn a_new_org_works_at_once_and_begins_its_own_chain() {
        let world = Place::new().await;

        let made = create_org(&world.app, named("Third"), admin("tia")).await.unwrap();

        let caller = Caller::new(made.org.clone(), made.admin, Door::Cli);
        let add = AddUser { login: "bob".into(), display_name: None, role: None };
        add.run(&world.app, &caller).await.unwrap();
        let people = ListUsers { text: None, cursor: None }.run(&world.app, &caller).await.unwrap();
        assert_eq!(people.users.iter().map(|u| u.login.as_str()).collect::<Vec<_>>(), ["bob", "tia"]);
        let org = made.org;
        let verified = world.app.store.read(move |tx| tx.verify_audit(&org, None)).await.unwrap();
        assert_eq!((verified.good, verified.first_bad), (2, None));
    }

    #[tokio::test]
    async fn a_second_org_of_a_name_leaves_nothing_behind() {
        let world = Place::new().await;
        let before = list_orgs(&world.app).await.unwrap();

        let refused = create_org(&world.app, named("acme"), admin("x")).await.unwrap_err();

        assert_eq!(refused.code, Code::AlreadyExists);
        assert_eq!(list_orgs(&world.app).await.unwrap(), before);
        let keys = world.app.store.read(|tx| tx.org_keys()).await.unwrap();
        assert_eq!(keys.len(), before.len());
        assert_eq!(
            create_org(&world.app, named("y"), admin("X y")).await.unwrap_err().code,
            Code::InvalidInput
        );
    }

    #[tokio::test]
    async fn only_an_admin_in_person_renames_and_only_to_a_free_name() {
        let world = Place::new().await;

        for (who, door, name, code) in [
            ("ada", Door::Stdio, "New", Code::PeopleOnly),
            ("max", Door::Cli, "New", Code::NotAllowed),
            ("otto", Door::Cli, "New", Code::NotAllowed),
            ("ada", Door::Cli, "GLOBEX", Code::AlreadyExists),
            ("ada", Door::Cli, "acme", Code::NothingToDo),
        ] {
            let refused = rename(&world.app, &world.caller(who, door), named(name)).await.unwrap_err();
            assert_eq!(refused.code, code, "{who} {name}");
        }
        let row = rename(&world.app, &world.caller("ada", Door::Cli), named("New")).await.unwrap();
        assert_eq!(row.name, "New");
        assert!(world.last_event().await.details.contains("acme"));
    }
}
