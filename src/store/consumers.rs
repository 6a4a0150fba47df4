//! Consumers, their bindings and their tokens.
use super::entity::entity;
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{ConsumerId, OrgId, TokenId};
use crate::model::Word;
use crate::model::access::Standing;
use crate::model::consumer::{Binding, Consumer, ConsumerToken};
use crate::model::credential::Scope;
use crate::model::text::shown;

entity!(kept Consumer, "consumer", 1, org_id, {
    id, org_id, name, name_key, kind, scope, owner_id, description, stack, run_by, definition, command, url, created_at,
    created_by, updated_at, deleted_at
});
entity!(kept Binding, "binding", 2, org_id, {
    consumer_id, variable, org_id, source, delivery, credential, field, account, environment, team_id, service, text,
    methods, paths, is_required, created_at, created_by
});
entity!(kept ConsumerToken, "consumer_token", 1, org_id, { token_id, org_id, consumer_id });

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    /// The undeleted consumer with this id.
    pub fn consumer(&self, org: &OrgId, id: &ConsumerId) -> Result<Consumer> {
        self.find_consumer(org, id)?.filter(|c| c.deleted_at.is_none()).ok_or_else(|| {
            Error::new(Code::ConsumerNotFound, format!("there is no consumer {}", shown(id.as_str())))
        })
    }

    /// As [`Reader::consumer`], removed ones too: the log still names them.
    pub fn find_consumer(&self, org: &OrgId, id: &ConsumerId) -> Result<Option<Consumer>> {
        Ok(self.find::<Consumer>(&[id.as_str()])?.filter(|c| c.org_id == *org))
    }

    /// Those of this name, whoever's they are.
    pub fn consumers_named(&self, org: &OrgId, key: &str) -> Result<Vec<Consumer>> {
        self.select(
            "WHERE org_id = $1 AND name_key = $2 AND deleted_at IS NULL ORDER BY id",
            &[text(org.as_str()), text(key)],
        )
    }

    /// Undeleted ones of one owner.
    pub fn consumers_owned(&self, org: &OrgId, scope: Scope, owner: &str) -> Result<Vec<Consumer>> {
        self.select(
            "WHERE org_id = $1 AND scope = $2 AND owner_id = $3 AND deleted_at IS NULL ORDER BY name_key, id",
            &[text(org.as_str()), text(scope.as_str()), text(owner)],
        )
    }

    /// The next `limit` in the order name, id that `who` may see, after `(name, id)`.
    pub fn consumers(
        &self,
        org: &OrgId,
        who: &Standing,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Consumer>> {
        let mut values = vec![text(org.as_str()), text(after.0), text(after.1), Value::Int(limit)];
        let mut place = |scope: Scope, owner: Option<&str>| {
            values.push(text(scope.as_str()));
            let term = format!("scope = ${}", values.len());
            let Some(owner) = owner else { return term };
            values.push(text(owner));
            format!("({term} AND owner_id = ${})", values.len())
        };
        let mut places = vec![place(Scope::Personal, Some(who.user.as_str())), place(Scope::Org, None)];
        match who.sees_all() {
            true => places.push(place(Scope::Team, None)),
            false => places.extend(who.teams.iter().map(|(team, _)| place(Scope::Team, Some(team.as_str())))),
        }
        let places = places.join(" OR ");
        self.select(
            &format!(
                "WHERE org_id = $1 AND deleted_at IS NULL AND (name_key, id) > ($2, $3) AND ({places}) \
                 ORDER BY name_key, id LIMIT $4"
            ),
            &values,
        )
    }

    /// In the order of their variables.
    pub fn bindings(&self, org: &OrgId, consumer: &ConsumerId) -> Result<Vec<Binding>> {
        self.select(
            "WHERE consumer_id = $2 AND org_id = $1 ORDER BY variable",
            &[text(org.as_str()), text(consumer.as_str())],
        )
    }

    /// Bindings that name this credential, by its name or its id, or whose variable is its name.
    pub fn bindings_naming(&self, org: &OrgId, name_key: &str, id: &str) -> Result<Vec<Binding>> {
        self.select(
            "WHERE org_id = $1 AND source <> 'static' AND ((credential = $3 AND $3 <> '') OR upper(credential) = $2 \
             OR (credential = '' AND upper(variable) = $2)) ORDER BY consumer_id, variable LIMIT 2000",
            &[text(org.as_str()), text(name_key), text(id)],
        )
    }

    /// When it was last handed a value.
    pub fn last_use_by(&self, org: &OrgId, consumer: &ConsumerId) -> Result<Option<Millis>> {
        let row = self
            .conn()
            .query(
                "SELECT at FROM audit WHERE consumer = $2 AND org_id = $1 AND operation = 'use' AND outcome = 'ok' \
                 ORDER BY seq DESC LIMIT 1",
                &[text(org.as_str()), text(consumer.as_str())],
            )?
            .pop();
        row.map(|mut row| row.int().map(Millis)).transpose()
    }

    /// Whose token it is, where it is a consumer's.
    pub fn consumer_of_token(&self, org: &OrgId, token: &TokenId) -> Result<Option<ConsumerToken>> {
        Ok(self.find::<ConsumerToken>(&[token.as_str()])?.filter(|t| t.org_id == *org))
    }

    pub fn tokens_of_consumer(&self, org: &OrgId, consumer: &ConsumerId) -> Result<Vec<ConsumerToken>> {
        self.select(
            "WHERE consumer_id = $2 AND org_id = $1 ORDER BY token_id",
            &[text(org.as_str()), text(consumer.as_str())],
        )
    }
}

impl Writer<'_> {
    /// Removes its bindings, and the grants that it holds.
    pub fn strip_consumer(&mut self, org: &OrgId, consumer: &ConsumerId) -> Result<()> {
        let of = [text(org.as_str()), text(consumer.as_str())];
        self.conn().execute("DELETE FROM binding WHERE org_id = $1 AND consumer_id = $2", &of)?;
        self.conn().execute(
            "DELETE FROM access_grant WHERE org_id = $1 AND grantee_kind = 'consumer' AND grantee_id = $2",
            &of,
        )?;
        Ok(())
    }
}
