//! `erase_user`: takes a person's name out of the vault, and what was theirs alone. The log stays whole: it names people
//! by id, and an id without its row tells nothing.
use super::{about, named, users};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Grant, Standing};
use crate::model::credential::{Credential, Scope};
use crate::model::event::Event;
use crate::model::org::{Membership, Role, User};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::consumer;
use crate::ops::credential::purge;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only, reach};
use crate::store::{ListFilter, Place, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many credentials are looked at in one go.
const BATCH: usize = 1000;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseUser {
    /// Id or login.
    #[schemars(length(min = 1, max = 80))]
    pub user: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Erased {
    /// Their id, which the log goes on naming.
    pub id: String,
    /// What stands in place of their login.
    pub login: String,
    pub credentials_destroyed: i64,
    pub note: String,
}

impl EraseUser {
    /// The person to be erased, and what is theirs alone.
    fn check(&self, tx: &Reader<'_>, caller: &Caller) -> Result<(User, Vec<Credential>)> {
        let who = reach::admin(tx, caller)?;
        let user = tx.user_named(&caller.org, &named(&self.user)?)?;
        if user.id == who.user {
            return Err(Error::new(Code::NotAllowed, "nobody erases themselves")
                .next("Ask another admin of the org, after making one."));
        }
        users::keep_an_admin(tx, &user)?;
        let theirs = personal(tx, &user)?;
        let name = pseudonym(&user);
        // Somebody may have given an erased person a name again.
        if user.login == name && user.display_name == name && user.disabled_at.is_some() && theirs.is_empty()
        {
            return Err(Error::new(Code::NothingToDo, "this person is erased already"));
        }
        Ok((user, theirs))
    }
}

/// What stands where a login stood: nothing that a person chose.
fn pseudonym(user: &User) -> String {
    let id = user.id.as_str().to_ascii_lowercase();
    format!("erased-{}", &id[id.len().saturating_sub(10)..])
}

/// Everything that is theirs alone, the bin included.
fn personal(tx: &Reader<'_>, user: &User) -> Result<Vec<Credential>> {
    let mut found = Vec::new();
    for deleted in [false, true] {
        let mut after = None;
        loop {
            let places = vec![Place::Owned(Scope::Personal, user.id.0.clone())];
            let page =
                tx.list_credentials(&user.org_id, &ListFilter { places, deleted, after, limit: BATCH })?;
            after = page.last().map(|c| (c.name_key.clone(), c.id.0.clone()));
            let is_last = page.len() < BATCH;
            found.extend(page);
            if is_last {
                break;
            }
        }
    }
    Ok(found)
}

impl Operation for EraseUser {
    const NAME: &'static str = "erase_user";
    const TITLE: &'static str = "Erase a person";
    const ABOUT: &'static str =
        "Take a person's name out of the vault and destroy what was theirs alone, for good.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Destroys;
    const NEEDS: Permission = Permission::Admin;
    type Output = Erased;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        people_only(caller)?;
        let (asking, wanted) = (caller.clone(), self.clone());
        app.store
            .read(move |tx| {
                let (user, theirs) = wanted.check(tx, &asking)?;
                Ok(Confirm::Person(Question {
                    summary: format!("erase {} for good", user.login),
                    impact: vec![
                        format!("personal credentials destroyed: {}", theirs.len()),
                        "teams, grants and requests of theirs end".into(),
                        "names of credentials, reasons and descriptions that anybody wrote stay in the log, and so do backups"
                            .into(),
                        "their login is free again: in this vault's other orgs the same login is the same person".into(),
                    ],
                    reason: String::new(),
                    pins: vec![("user", user.id.0.clone())],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Erased> {
        people_only(caller)?;
        let asking = caller.clone();
        let erased = app
            .store
            .write(caller, move |tx| {
                let (mut user, theirs) = self.check(tx, &asking)?;
                for credential in &theirs {
                    let grants = tx.grants_on(&credential.org_id, &credential.id)?;
                    purge::destroy(tx, credential, &grants)?;
                    let mut event = Event::of(purge::NAME).on(credential).because("its owner was erased");
                    event.object.name.clear();
                    tx.note(event)?;
                }
                consumer::forget_of(tx, &user.org_id, &user.id)?;
                tx.remove::<crate::model::hygiene::kept::KeptReport>(&[user.id.as_str()])?;
                for m in tx.memberships_of(&user.org_id, &user.id)? {
                    tx.remove::<Membership>(&[m.team_id.as_str(), m.user_id.as_str()])?;
                }
                let alone = Standing {
                    user: user.id.clone(),
                    login: String::new(),
                    role: Role::Member,
                    teams: Vec::new(),
                    consumer: None,
                };
                for grant in tx.grants_held(&user.org_id, &alone)? {
                    tx.remove::<Grant>(&[grant.id.as_str()])?;
                }
                tx.forget_tickets(&user.org_id, &user.id)?;
                tx.forget_consents_of(&user.org_id, &user.id)?;
                let login = pseudonym(&user);
                let mentions = tx.forget_mentions(&user, &login)?;
                user.login.clone_from(&login);
                user.display_name.clone_from(&login);
                user.role = Role::Member;
                user.disabled_at = user.disabled_at.or(Some(tx.now()));
                tx.save(&mut user)?;
                let event = about(Self::NAME, "user", user.id.as_str(), "", user.revision)
                    .with("credentials", theirs.len())
                    .with("mentions", mentions);
                let output = Erased {
                    id: user.id.0.clone(),
                    login,
                    credentials_destroyed: theirs.len() as i64,
                    note: "Backups made before still hold name and values: let them run out.".into(),
                };
                tx.record(event, output)
            })
            .await?;
        Ok(Erased { note: format!("{}{}", erased.note, purge::sweep(app).await), ..erased })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PersonYes, World};
    use serde_json::{Value, json};

    fn erase(login: &str) -> Value {
        json!({ "user": login })
    }

    /// Every file of the vault, as bytes.
    fn files(w: &World) -> Vec<u8> {
        let data = &w.app.config.places.data;
        let mut all = Vec::new();
        for entry in std::fs::read_dir(data).unwrap() {
            all.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
        }
        all
    }

    fn holds(haystack: &[u8], needle: &str) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
    }

    #[tokio::test]
    async fn a_20_an_erased_persons_name_is_nowhere_and_the_log_still_verifies() {
        let w = World::new().await;
        let add = json!({ "login": "zebedee.quux", "display_name": "Zebedee Quux" });
        w.call(&w.person("ada"), "add_user", add).await.unwrap();
        for (operation, arguments) in [
            ("set_member", json!({ "team": "core", "user": "zebedee.quux", "role": "member" })),
            ("update_user", json!({ "user": "zebedee.quux", "display_name": "Z. Quux" })),
        ] {
            w.call_with(&w.person("ada"), operation, arguments, &PersonYes).await.unwrap();
        }
        w.add("ada", "org", "SHARED", "words").await;
        let share = json!({ "credential": "SHARED", "user": "zebedee.quux", "level": "view", "reason": "they help", "idempotency_key": "k" });
        w.call_with(&w.caller("ada"), "share_credential", share, &PersonYes).await.unwrap();
        let asked = json!({ "credential": "SHARED", "user": "zebedee.quux", "level": "manage", "reason": "they help" });
        w.refused(&w.caller("ada"), "share_credential", asked).await;
        w.app.store.forget_old_pages().await.unwrap();
        assert!(holds(&files(&w), "zebedee.quux"));

        w.call_with(&w.person("ada"), "erase_user", erase("zebedee.quux"), &PersonYes).await.unwrap();

        let files = files(&w);
        for word in ["zebedee", "Zebedee", "Quux"] {
            assert!(!holds(&files, word), "{word}");
        }
        assert!(w.chain_is_whole().await);
        let people = w.call(&w.person("ada"), "list_users", json!({})).await.unwrap().to_string();
        assert!(people.contains("erased-"), "{people}");
    }

    #[tokio::test]
    async fn a_20_what_was_theirs_alone_is_destroyed_and_what_was_shared_stays() {
        let w = World::new().await;
        w.add("mia", "personal", "MINE", "words").await;
        w.add("ada", "org", "OURS", "words").await;

        let done = w.call_with(&w.person("ada"), "erase_user", erase("mia"), &PersonYes).await.unwrap();

        assert_eq!(done["credentials_destroyed"], 1);
        let id = done["id"].as_str().unwrap().to_owned();
        let org = w.org.clone();
        let left = w.app.store.read(move |tx| {
            let user = tx.user(&org, &id.as_str().into())?;
            Ok((
                personal(tx, &user)?.len(),
                tx.memberships_of(&org, &user.id)?.len(),
                user.disabled_at.is_some(),
            ))
        });
        assert_eq!(left.await.unwrap(), (0, 0, true));
        w.call(&w.person("ada"), "get_credential", json!({ "credential": "OURS" })).await.unwrap();
        let e = w.refused(&w.caller("mia"), "list_credentials", json!({})).await;
        assert_eq!(e.code, Code::NotAllowed);
    }

    #[tokio::test]
    async fn an_erasure_that_was_approved_is_told_and_logged_as_done_and_leaves_others_requests() {
        let w = World::new().await;
        w.add("ada", "org", "SHARED", "words").await;
        let share = |user: &str| json!({ "credential": "SHARED", "user": user, "level": "view", "reason": "mia asked" });
        w.refused(&w.caller("ada"), "share_credential", share("max")).await;
        let asked = w.refused(&w.person("ada"), "erase_user", erase("mia")).await;
        let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();

        crate::ops::approval::approve(&w.app, &w.person("ada"), &id).await.unwrap();

        assert!(w.log().await.iter().any(|line| line.starts_with("erase_user ok")));
        assert!(w.log().await.last().unwrap().starts_with("approve"), "{:?}", w.log().await);
        let left = w.call(&w.person("ada"), "list_approvals", json!({ "all": true })).await.unwrap();
        let left = left["approvals"].as_array().unwrap();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().any(|a| a["reason"].as_str().unwrap().starts_with("erased-")), "{left:?}");
        assert!(!left.iter().any(|a| a["impact"].as_str().unwrap().contains("erase mia")), "{left:?}");
    }

    #[tokio::test]
    async fn an_erased_person_who_was_named_again_is_erased_again() {
        let w = World::new().await;
        let done = w.call_with(&w.person("ada"), "erase_user", erase("mia"), &PersonYes).await.unwrap();
        let login = done["login"].as_str().unwrap();
        let named = json!({ "user": login, "display_name": "Mia Again" });
        w.call_with(&w.person("ada"), "update_user", named, &PersonYes).await.unwrap();

        w.call_with(&w.person("ada"), "erase_user", erase(login), &PersonYes).await.unwrap();

        let people = w.call(&w.person("ada"), "list_users", json!({})).await.unwrap();
        assert!(!people.to_string().contains("Again"), "{people}");
    }

    #[tokio::test]
    async fn only_another_admin_in_person_erases_and_never_the_last_admin() {
        let w = World::new().await;
        let by = |login: &str| w.person(login);

        for (who, whom, code) in [
            ("mia", "max", Code::NotAllowed),
            ("ada", "ada", Code::NotAllowed),
            ("ada", "nobody", Code::UserNotFound),
        ] {
            let e = w.call_with(&by(who), "erase_user", erase(whom), &PersonYes).await.unwrap_err();
            assert_eq!(e.code, code, "{who} {whom}");
        }
        let e = w.call_with(&w.caller("ada"), "erase_user", erase("mia"), &PersonYes).await.unwrap_err();
        assert_eq!(e.code, Code::PeopleOnly);
        let e = w.refused(&by("ada"), "erase_user", erase("mia")).await;
        assert_eq!(e.code, Code::ApprovalRequired);
        w.call_with(&by("ada"), "erase_user", erase("mia"), &PersonYes).await.unwrap();
        let gone = w.call(&by("ada"), "list_users", json!({ "text": "erased" })).await.unwrap();
        let again = erase(gone["users"][0]["login"].as_str().unwrap());
        let e = w.call_with(&by("ada"), "erase_user", again, &PersonYes).await.unwrap_err();
        assert_eq!(e.code, Code::NothingToDo);
    }
}
