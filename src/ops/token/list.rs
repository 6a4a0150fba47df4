//! The tokens there are, without anything of the tokens themselves.
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::TokenId;
use crate::model::access::{Caller, Standing};
use crate::model::org::Role;
use crate::model::token::{Purpose, Token};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTokens {
    /// Those of everybody in the org; for admins
    pub all: Option<bool>,
    /// Revoked and expired ones too
    pub ended: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenRow {
    pub id: TokenId,
    pub label: String,
    pub user: String,
    pub purpose: Purpose,
    /// Of a consumer's token: whose it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    /// Empty: all.
    pub toolsets: Vec<String>,
    pub read_only: bool,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    pub created_at: Millis,
    pub expires_at: Millis,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenList {
    pub tokens: Vec<TokenRow>,
}

impl TokenRow {
    pub(super) fn of(tx: &Reader<'_>, who: &Standing, t: &Token, user: String) -> Result<Self> {
        let now = tx.now();
        let consumer = match tx.consumer_of_token(&t.org_id, &t.id)? {
            Some(held) => crate::ops::consumer::name_of(tx, who, &t.org_id, held.consumer_id.as_str())?,
            None => String::new(),
        };
        let state = match t.revoked_at {
            Some(_) => "revoked",
            None if now >= t.expires_at => "expired",
            None => "live",
        };
        Ok(Self {
            id: t.id.clone(),
            consumer,
            label: t.label.clone(),
            user,
            purpose: t.purpose,
            toolsets: t.toolsets.clone(),
            read_only: t.read_only,
            state: state.into(),
            created_at: t.created_at,
            expires_at: t.expires_at,
        })
    }
}

impl Operation for ListTokens {
    const NAME: &'static str = "list_tokens";
    const TITLE: &'static str = "List tokens";
    const ABOUT: &'static str = "See your tokens; as an admin, everybody's.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = TokenList;

    async fn run(self, app: &App, caller: &Caller) -> Result<TokenList> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let everybody = self.all == Some(true) && who.role == Role::Admin;
                let now = tx.now();
                let mut tokens = Vec::new();
                for token in tx.tokens(&asking.org, (!everybody).then_some(&who.user))? {
                    if token.is_live(now) || self.ended == Some(true) {
                        let user = tx.user(&asking.org, &token.user_id).map(|u| u.login).unwrap_or_default();
                        tokens.push(TokenRow::of(tx, &who, &token, user)?);
                    }
                }
                Ok(TokenList { tokens })
            })
            .await
    }
}
