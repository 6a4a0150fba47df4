//! What consumers would be handed in place of a credential that goes into the bin, or that comes out of it.
//!
//! A binding says a name. Where two of that name are there, one of them going or coming sends another secret where a
//! person has agreed to the first (SECURITY.md §1 c).
use super::create::described;
use crate::error::Result;
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource};
use crate::model::credential::{Credential, Scope};
use crate::ops::{consumer, reach};
use crate::store::Reader;

/// How many consumers are named.
const NAMED: usize = 10;

/// Others of this name that bindings of anybody would resolve to where `c` is not there: a line each, then those whom
/// the caller may know of. Empty where the bin changes nothing but whether there is a value.
pub(super) fn handed_instead(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    c: &Credential,
) -> Result<Vec<String>> {
    let mut others = tx.candidates(&c.org_id, &c.name_key, &reach::places(who))?;
    others.retain(|other| other.id != c.id);
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let bindings = tx.bindings_naming(&c.org_id, &c.name_key, c.id.as_str())?;
    let by_name: Vec<_> = bindings.iter().filter(|b| b.credential != c.id.as_str()).collect();
    others.retain(|other| by_name.iter().any(|b| takes(b, c.scope) && takes(b, other.scope)));
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines: Vec<_> = described(tx, caller, &others)?
        .into_iter()
        .map(|other| format!("consumers that say {} are handed this one or {other}", c.name))
        .collect();
    for (consumer, variable) in consumer::bound_to(tx, who, c)?.into_iter().take(NAMED) {
        lines.push(format!("{} is bound to it as {variable}", consumer.name));
    }
    Ok(lines)
}

/// Whether the binding resolves to credentials of this scope at all.
fn takes(b: &Binding, scope: Scope) -> bool {
    match b.source {
        BindingSource::Auto | BindingSource::OAuth => true,
        BindingSource::OrgSecret => scope == Scope::Org,
        BindingSource::TeamSecret => scope == Scope::Team,
        BindingSource::UserSecret => scope == Scope::Personal,
        BindingSource::Static => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Code;
    use crate::ops::Confirmer;
    use crate::testing::{FormYes, PersonYes, World};
    use serde_json::{Value, json};

    /// `KEY` of the org and of mia, and a consumer of hers that is bound by `binding`.
    async fn world(binding: Value) -> (World, String) {
        let w = World::new().await;
        w.add("ada", "org", "KEY", "the org's").await;
        let mine = w.add("mia", "personal", "KEY", "mia's own").await;
        let input = json!({"name": "bot", "kind": "agent", "bindings": [binding]});
        w.call_with(&w.person("mia"), "register_consumer", input, &PersonYes).await.unwrap();
        (w, mine)
    }

    async fn delete(w: &World, id: &str, with: &dyn Confirmer) -> Result<Value, Code> {
        let input = json!({"credential": id, "reason": "tidying up"});
        w.call_with(&w.caller("mia"), "delete_credential", input, with).await.map_err(|e| e.code)
    }

    async fn restore(w: &World, id: &str, with: &dyn Confirmer) -> Result<Value, Code> {
        w.call_with(&w.caller("mia"), "restore_credential", json!({"credential": id}), with)
            .await
            .map_err(|e| e.code)
    }

    #[tokio::test]
    async fn another_value_takes_the_place_of_one_at_a_consumer_only_with_a_persons_yes() {
        for binding in [json!({"variable": "KEY"}), json!({"variable": "OTHER", "credential": "KEY"})] {
            let (w, mine) = world(binding).await;

            for client in [&FormYes as &dyn Confirmer, &crate::ops::NoOne] {
                assert_eq!(delete(&w, &mine, client).await.unwrap_err(), Code::ApprovalRequired);
            }
            delete(&w, &mine, &PersonYes).await.unwrap();
            for client in [&FormYes as &dyn Confirmer, &crate::ops::NoOne] {
                assert_eq!(restore(&w, &mine, client).await.unwrap_err(), Code::ApprovalRequired);
            }
            restore(&w, &mine, &PersonYes).await.unwrap();
        }
    }

    #[tokio::test]
    async fn where_nothing_takes_its_place_a_form_is_enough_and_bringing_it_back_asks_nobody() {
        // By its id, of one scope alone, and by another name: the org's value is never handed instead.
        for binding in [
            json!({"variable": "KEY", "source": "user_secret"}),
            json!({"variable": "ELSE"}),
            json!({"variable": "KEY", "text": "2", "source": "static"}),
        ] {
            let (w, mine) = world(binding.clone()).await;

            delete(&w, &mine, &FormYes).await.unwrap_or_else(|e| panic!("{binding}: {e:?}"));
            restore(&w, &mine, &crate::ops::NoOne).await.unwrap();
        }
        let w = World::new().await;
        let mine = w.add("mia", "personal", "KEY", "mia's own").await;
        delete(&w, &mine, &FormYes).await.unwrap();
        restore(&w, &mine, &crate::ops::NoOne).await.unwrap();
    }
}
