//! Ends a token: what is open under it ends within a second.
use super::TokenRow;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::org::Role;
use crate::model::token::Token;
use crate::ops::org::{about, named};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeToken {
    /// Id, or the name it was given
    #[schemars(length(min = 1, max = 80))]
    pub id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Revoked {
    #[serde(flatten)]
    pub token: TokenRow,
}

impl Operation for RevokeToken {
    const NAME: &'static str = "revoke_token";
    const TITLE: &'static str = "Revoke a token";
    const ABOUT: &'static str = "End a token at once, with every session that is open under it.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Revoked;

    async fn run(self, app: &App, caller: &Caller) -> Result<Revoked> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let mut token = theirs(tx, &asking, &named(&self.id)?)?;
                if token.revoked_at.is_some() {
                    return Err(Error::new(Code::NothingToDo, format!("{} is revoked already", token.label)));
                }
                token.revoked_at = Some(tx.now());
                tx.save(&mut token)?;
                let user = tx.user(&asking.org, &token.user_id).map(|u| u.login).unwrap_or_default();
                let event = about(Self::NAME, "token", token.id.as_str(), &token.label, token.revision)
                    .with("user", token.user_id.0.clone());
                let token = TokenRow::of(tx, &tx.standing(&asking)?, &token, user)?;
                tx.record(event, Revoked { token })
            })
            .await
    }
}

/// The token of this id or name that the caller may end; a live one before one that has ended.
pub(super) fn theirs(tx: &Reader<'_>, asking: &Caller, wanted: &str) -> Result<Token> {
    let who = tx.standing(asking)?;
    // Somebody else's does not exist for a member.
    let own = (who.role != Role::Admin).then_some(&who.user);
    let mut found = tx.tokens(&asking.org, own)?;
    // By its name only one's own: an admin may not know that somebody else has one of that name.
    found.retain(|t| t.id.as_str() == wanted || (t.label == wanted && t.user_id == who.user));
    let now = tx.now();
    let live = found.iter().filter(|t| t.is_live(now)).count();
    if live > 1 {
        return Err(Error::new(Code::AmbiguousName, format!("{live} tokens have this name"))
            .next("Name it by its id, as `unsaid token list` shows it."));
    }
    found.sort_by_key(|t| (!t.is_live(now), t.revoked_at.is_some()));
    let none = || Error::new(Code::TokenNotFound, "there is no such token of yours");
    found.into_iter().next().ok_or_else(none)
}
