//! The people of an org: list, add, change. Nobody is ever removed, for the log names them: they are disabled, or
//! erased, which leaves their id.
use super::{about, named};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::UserId;
use crate::model::access::Caller;
use crate::model::org::{Role, User};
use crate::model::text::DisplayName;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only, reach};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many people a page lists.
const PAGE: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListUsers {
    /// Words in login or name.
    #[schemars(length(max = 80))]
    pub text: Option<String>,
    #[schemars(length(max = 100))]
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUser {
    /// Lower case, as `ada` or `ada@example.com`.
    #[schemars(length(min = 1, max = 80))]
    pub login: String,
    pub display_name: Option<DisplayName>,
    /// Default member.
    pub role: Option<Role>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// Id or login.
    #[schemars(length(min = 1, max = 80))]
    pub user: String,
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub display_name: Option<DisplayName>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct UserRow {
    pub id: UserId,
    pub login: String,
    pub display_name: String,
    pub role: Role,
    pub disabled: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct UserList {
    pub users: Vec<UserRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl From<&User> for UserRow {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            login: user.login.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            disabled: user.disabled_at.is_some(),
        }
    }
}

/// A login as it is stored: 1 to 80 of `a-z 0-9 . _ - @ +`, beginning with a letter or digit.
pub(super) fn parse_login(text: &str) -> Result<String> {
    let login = text.trim();
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=80).contains(&login.len())
        && good(login.as_bytes()[0])
        && login.bytes().all(|b| good(b) || b"._-@+".contains(&b));
    match fits {
        true => Ok(login.to_owned()),
        false => Err(invalid(
            "a login is lower-case letters, digits and . _ - @ +, beginning with a letter or digit",
        )),
    }
}

/// Refuses to leave the org without an enabled admin (Z-27).
pub(super) fn keep_an_admin(tx: &Reader<'_>, leaving: &User) -> Result<()> {
    let others =
        |user: &User| user.role == Role::Admin && user.disabled_at.is_none() && user.id != leaving.id;
    match tx.users(&leaving.org_id)?.iter().any(others) {
        true => Ok(()),
        false => Err(Error::new(Code::LastAdmin, format!("{} is the org's last admin", leaving.login))),
    }
}

impl Operation for ListUsers {
    const NAME: &'static str = "list_users";
    const TITLE: &'static str = "People of the org";
    const ABOUT: &'static str = "List the people of the org with their roles.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = UserList;

    async fn run(self, app: &App, caller: &Caller) -> Result<UserList> {
        people_only(caller)?;
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&caller)?;
                let text = self.text.as_deref().unwrap_or("").to_lowercase();
                let after = self.cursor.as_deref().unwrap_or("");
                let fits = |user: &User| {
                    let all = format!("{} {}", user.login, user.display_name).to_lowercase();
                    user.login.as_str() > after
                        && (who.sees_all() || user.disabled_at.is_none())
                        && text.split_whitespace().all(|word| all.contains(word))
                };
                let mut users: Vec<UserRow> = tx
                    .users(&caller.org)?
                    .iter()
                    .filter(|user| fits(user))
                    .take(PAGE + 1)
                    .map(UserRow::from)
                    .collect();
                let more = users.len() > PAGE;
                users.truncate(PAGE);
                let next_cursor = users.last().filter(|_| more).map(|user| user.login.clone());
                Ok(UserList { users, next_cursor })
            })
            .await
    }
}

impl Operation for AddUser {
    const NAME: &'static str = "add_user";
    const TITLE: &'static str = "Add a person";
    const ABOUT: &'static str = "Add a person to the org.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Widens;
    const NEEDS: Permission = Permission::Admin;
    type Output = UserRow;

    async fn run(self, app: &App, caller: &Caller) -> Result<UserRow> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                reach::admin(tx, &asking)?;
                let login = parse_login(&self.login)?;
                if tx.users(&asking.org)?.iter().any(|user| user.login == login) {
                    return Err(Error::new(Code::AlreadyExists, format!("there is a user {login} already"))
                        .next("Choose another login; a disabled user can be enabled again."));
                }
                let mut user = User {
                    id: UserId::fresh(),
                    org_id: asking.org.clone(),
                    display_name: self.display_name.map_or_else(|| login.clone(), String::from),
                    login,
                    role: self.role.unwrap_or(Role::Member),
                    created_at: tx.now(),
                    disabled_at: None,
                    revision: 0,
                };
                tx.insert(&mut user)?;
                let event = about(Self::NAME, "user", user.id.as_str(), "", user.revision)
                    .with("role", user.role.to_string());
                tx.record(event, UserRow::from(&user))
            })
            .await
    }
}

impl Operation for UpdateUser {
    const NAME: &'static str = "update_user";
    const TITLE: &'static str = "Change a person";
    const ABOUT: &'static str = "Change a person's role or name, or disable or enable them.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Widens;
    const NEEDS: Permission = Permission::Admin;
    const IDEMPOTENT: bool = true;
    type Output = UserRow;

    async fn run(self, app: &App, caller: &Caller) -> Result<UserRow> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                reach::admin(tx, &asking)?;
                let before = tx.user_named(&asking.org, &named(&self.user)?)?;
                let mut user = before.clone();
                user.role = self.role.unwrap_or(user.role);
                if let Some(name) = self.display_name {
                    user.display_name = name.into();
                }
                match self.disabled {
                    Some(true) if user.disabled_at.is_none() => user.disabled_at = Some(tx.now()),
                    Some(false) => user.disabled_at = None,
                    _ => {}
                }
                if user == before {
                    return Err(Error::new(Code::NothingToDo, format!("{} is that already", user.login)));
                }
                let was_admin = before.role == Role::Admin && before.disabled_at.is_none();
                if was_admin && (user.role != Role::Admin || user.disabled_at.is_some()) {
                    keep_an_admin(tx, &before)?;
                }
                tx.save(&mut user)?;
                let event = about(Self::NAME, "user", user.id.as_str(), "", user.revision)
                    .with("role", user.role.to_string())
                    .with("role_before", before.role.to_string())
                    .with("disabled", user.disabled_at.is_some());
                tx.record(event, UserRow::from(&user))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Door;
    use crate::ops::org::fixture::Place;

    fn add(login: &str) -> AddUser {
        AddUser { login: login.into(), display_name: None, role: None }
    }
    fn role(user: &str, role: Role) -> UpdateUser {
        UpdateUser { user: user.into(), role: Some(role), disabled: None, display_name: None }
    }
    fn disable(user: &str) -> UpdateUser {
        UpdateUser { user: user.into(), role: None, disabled: Some(true), display_name: None }
    }

    #[tokio::test]
    async fn an_admin_adds_a_member_who_then_may_read() {
        let world = Place::new().await;

        let row = world.run("ada", Door::Cli, add("new@example.com")).await.unwrap();

        assert_eq!((row.role, row.disabled), (Role::Member, false));
        assert_eq!(world.last_event().await.object_id, row.id.0);
        let seen =
            world.run("max", Door::Cli, ListUsers { text: Some("NEW".into()), cursor: None }).await.unwrap();
        assert_eq!(seen.users.len(), 1);
    }

    #[tokio::test]
    async fn nobody_but_an_admin_in_person_adds_or_changes_people() {
        let world = Place::new().await;

        for (who, door, code) in [
            ("ada", Door::Stdio, Code::PeopleOnly),
            ("max", Door::Cli, Code::NotAllowed),
            ("tess", Door::Web, Code::NotAllowed),
            ("otto", Door::Cli, Code::NotAllowed),
        ] {
            assert_eq!(world.run(who, door, add("eve")).await.unwrap_err().code, code, "{who}");
            assert_eq!(world.run(who, door, role("max", Role::Admin)).await.unwrap_err().code, code, "{who}");
        }
        let refused =
            world.run("ada", Door::Stdio, ListUsers { text: None, cursor: None }).await.unwrap_err();
        assert_eq!(refused.code, Code::PeopleOnly);
    }

    #[tokio::test]
    async fn a_login_is_unique_and_plain() {
        let world = Place::new().await;

        assert_eq!(world.run("ada", Door::Cli, add("max")).await.unwrap_err().code, Code::AlreadyExists);
        for bad in ["", "Max", "-x", "a b", "a\u{202E}b", "ä", &"a".repeat(81)] {
            assert_eq!(
                world.run("ada", Door::Cli, add(bad)).await.unwrap_err().code,
                Code::InvalidInput,
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn z_27_the_last_admin_is_neither_demoted_nor_disabled() {
        let world = Place::new().await;

        for change in [role("ada", Role::Member), role("ada", Role::Auditor), disable("ada")] {
            assert_eq!(world.run("ada", Door::Cli, change).await.unwrap_err().code, Code::LastAdmin);
        }
        world.run("ada", Door::Cli, role("max", Role::Admin)).await.unwrap();
        world.run("max", Door::Cli, disable("ada")).await.unwrap();
        assert_eq!(world.run("max", Door::Cli, disable("max")).await.unwrap_err().code, Code::LastAdmin);
    }

    #[tokio::test]
    async fn z_27_two_admins_who_demote_each_other_at_once_leave_one() {
        let world = Place::new().await;
        world.run("ada", Door::Cli, role("max", Role::Admin)).await.unwrap();

        let (one, other) = tokio::join!(
            world.run("ada", Door::Cli, role("max", Role::Member)),
            world.run("max", Door::Cli, role("ada", Role::Member)),
        );

        assert!(one.is_ok() != other.is_ok());
    }

    #[tokio::test]
    async fn z_31_a_disabled_user_may_do_nothing_from_then_on() {
        let world = Place::new().await;

        world.run("ada", Door::Cli, disable("max")).await.unwrap();

        let refused = world.run("max", Door::Cli, ListUsers { text: None, cursor: None }).await.unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
        let seen =
            world.run("tess", Door::Cli, ListUsers { text: Some("max".into()), cursor: None }).await.unwrap();
        assert!(seen.users.is_empty());
    }

    #[tokio::test]
    async fn z_02_people_of_another_org_are_not_found_by_login_or_id() {
        let world = Place::new().await;

        let foreign = world.user("globex/max").0;
        let refused = world.run("ada", Door::Cli, disable(&foreign)).await.unwrap_err();
        assert_eq!(refused.code, Code::UserNotFound);
        let seen = world.run("ada", Door::Cli, ListUsers { text: None, cursor: None }).await.unwrap();
        assert!(seen.users.len() == 6 && seen.users.iter().all(|user| user.id.0 != foreign));
    }
}
