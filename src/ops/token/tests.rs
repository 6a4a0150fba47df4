use super::*;
use crate::clock::DAY_MS;
use crate::error::{Code, Error};
use crate::model::access::{Caller, Door};
use crate::model::token::{Purpose, Token};
use crate::ops::Toolset;
use crate::testing::World;
use serde_json::json;

fn new(label: &str) -> NewToken {
    NewToken {
        label: label.into(),
        user: None,
        purpose: Purpose::Mcp,
        toolsets: Vec::new(),
        consumer: None,
        read_only: false,
        is_assured: true,
        expires_at: None,
    }
}

async fn shown(w: &World, who: &Caller, new: NewToken) -> Shown {
    let (_, token) = create(&w.app, who, new).await.unwrap();
    token.expose(Shown::new).unwrap()
}

async fn code(w: &World, shown: &Shown, purpose: Purpose) -> Result<(), Code> {
    verify(&w.app, shown.clone(), purpose, Door::Http).await.map(|_| ()).map_err(|e| e.code)
}

#[tokio::test]
async fn a_token_lets_its_user_in_within_its_limits_until_it_ends() {
    let w = World::new().await;
    let limited = NewToken { toolsets: vec![Toolset::Audit], read_only: true, ..new("laptop") };
    let shown = shown(&w, &w.person("mia"), limited).await;

    let verified = verify(&w.app, shown.clone(), Purpose::Mcp, Door::Http).await.unwrap();

    assert_eq!((verified.caller.user, verified.caller.door), (w.caller("mia").user, Door::Http));
    assert!(verified.limits.read_only);
    assert_eq!(verified.limits.toolsets, [Toolset::Audit]);
    w.clock.advance_ms(91 * DAY_MS);
    assert_eq!(code(&w, &shown, Purpose::Mcp).await, Err(Code::TokenInvalid));
}

#[tokio::test]
async fn a_token_for_a_client_does_not_sign_in_and_one_for_signing_in_is_for_no_client() {
    let w = World::new().await;
    let client = shown(&w, &w.person("ada"), new("client")).await;
    let browser = shown(&w, &w.person("ada"), NewToken { purpose: Purpose::SignIn, ..new("browser") }).await;

    assert_eq!(code(&w, &client, Purpose::SignIn).await, Err(Code::TokenInvalid));
    assert_eq!(code(&w, &browser, Purpose::Mcp).await, Err(Code::TokenInvalid));
    assert_eq!(code(&w, &browser, Purpose::SignIn).await, Ok(()));
    assert!(
        w.log()
            .await
            .ends_with(&["sign_in refused token_invalid".into(), "sign_in refused token_invalid".into()])
    );
}

#[tokio::test]
async fn a_revoked_token_and_one_of_a_disabled_user_are_refused_at_once_and_the_log_has_it() {
    let w = World::new().await;
    let (own, theirs) =
        (shown(&w, &w.person("mia"), new("own")).await, shown(&w, &w.person("max"), new("theirs")).await);

    w.call(&w.person("mia"), "revoke_token", json!({ "id": "own" })).await.unwrap();
    w.call(&w.person("ada"), "update_user", json!({ "user": "max", "disabled": true })).await.unwrap();

    for token in [own, theirs] {
        assert_eq!(code(&w, &token, Purpose::Mcp).await, Err(Code::TokenInvalid));
        assert_eq!(w.log().await.last().unwrap(), "sign_in refused token_invalid");
    }
}

#[tokio::test]
async fn what_is_stored_of_a_token_is_a_hash_and_the_list_has_nothing_of_it() {
    let w = World::new().await;
    let (row, token) = create(&w.app, &w.person("ada"), new("laptop")).await.unwrap();
    let text = token.expose(str::to_owned);

    let listed = w.call(&w.person("ada"), "list_tokens", json!({ "ended": true })).await.unwrap().to_string();

    assert!(listed.contains("laptop") && !listed.contains(&text[7..20]));
    assert!(!serde_json::to_string(&row).unwrap().contains(&text[7..20]));
    w.app.store.forget_old_pages().await.unwrap();
    for entry in std::fs::read_dir(&w.app.config.places.data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(20).any(|part| part == &text.as_bytes()[7..27]));
    }
}

#[tokio::test]
async fn only_people_make_tokens_and_only_admins_for_others_and_none_lives_for_ever() {
    let w = World::new().await;
    let refused =
        async |who: &Caller, new: NewToken| -> Error { create(&w.app, who, new).await.err().unwrap() };
    let for_max = || NewToken { user: Some("max".into()), ..new("x") };
    let until = |days: i64| NewToken { expires_at: Some(w.app.now().plus_days(days)), ..new("x") };

    assert_eq!(refused(&w.caller("ada"), new("x")).await.code, Code::PeopleOnly);
    assert_eq!(refused(&w.person("mia"), for_max()).await.code, Code::NotAllowed);
    let nobody = NewToken { user: Some("nobody".into()), ..new("x") };
    assert_eq!(refused(&w.person("mia"), nobody).await.code, Code::NotAllowed);
    assert_eq!(refused(&w.person("ada"), until(0)).await.code, Code::InvalidInput);
    assert_eq!(refused(&w.person("ada"), until(367)).await.code, Code::InvalidInput);
    assert_eq!(refused(&w.person("ada"), new("")).await.code, Code::InvalidInput);
    let limited = NewToken { purpose: Purpose::SignIn, read_only: true, ..new("x") };
    assert_eq!(refused(&w.person("ada"), limited).await.code, Code::InvalidInput);
    assert!(create(&w.app, &w.person("ada"), for_max()).await.is_ok());
    assert!(create(&w.app, &w.person("ada"), until(366)).await.is_ok());
    let log = w.log().await;
    assert_eq!(log.iter().filter(|line| line.starts_with("create_token refused")).count(), 6);
}

#[tokio::test]
async fn a_member_ends_own_tokens_only_and_one_of_somebody_else_does_not_exist() {
    let w = World::new().await;
    create(&w.app, &w.person("max"), new("max's")).await.unwrap();

    let theirs = w.refused(&w.person("mia"), "revoke_token", json!({ "id": "max's" })).await;
    let none = w.refused(&w.person("mia"), "revoke_token", json!({ "id": "no such" })).await;

    assert_eq!((theirs.code, theirs.message()), (Code::TokenNotFound, none.message()));
    let by_name = w.refused(&w.person("ada"), "revoke_token", json!({ "id": "max's" })).await;
    assert_eq!(by_name.code, Code::TokenNotFound, "an admin names those of others by their id");
    let listed = w.call(&w.person("ada"), "list_tokens", json!({ "all": true })).await.unwrap();
    let id = listed["tokens"][0]["id"].clone();
    assert!(w.call(&w.person("ada"), "revoke_token", json!({ "id": id })).await.is_ok());
    let again = w.refused(&w.person("ada"), "revoke_token", json!({ "id": id })).await;
    assert_eq!(again.code, Code::NothingToDo);
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_live_tokens() {
    let w = World::new().await;
    for n in 0..crate::model::token::MOST_LIVE {
        create(&w.app, &w.person("mia"), new(&format!("t{n}"))).await.unwrap();
    }

    let refused = create(&w.app, &w.person("mia"), new("more")).await.err().unwrap();

    assert_eq!(refused.code, Code::Quota);
    w.call(&w.person("mia"), "revoke_token", json!({ "id": "t0" })).await.unwrap();
    assert!(create(&w.app, &w.person("mia"), new("more")).await.is_ok());
    let count = w.app.store.read(|tx| tx.count::<Token>(&"acme".into())).await.unwrap();
    assert_eq!(count, crate::model::token::MOST_LIVE + 1);
}

#[tokio::test]
async fn a_name_means_the_live_token_where_others_of_that_name_have_ended() {
    let w = World::new().await;
    let mia = w.person("mia");
    create(&w.app, &mia, new("laptop")).await.unwrap();
    let rotated =
        async |overlap_ms| rotate(&w.app, &mia, "laptop", overlap_ms, None).await.map(|(row, _)| row);
    rotated(DAY_MS).await.unwrap();

    // As long as both go on, a name could mean either.
    assert_eq!(rotated(0).await.map_err(|e| e.code).unwrap_err(), Code::AmbiguousName);
    w.clock.advance_ms(DAY_MS);
    let last = rotated(0).await.unwrap();

    assert!(rotated(0).await.is_ok_and(|next| next.id != last.id));
}
