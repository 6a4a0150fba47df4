//! What would be handed over now, for whoever waits for it to change. Nothing is handed over here.
use super::{Asked, HandOver, Handed, choose};
use crate::app::App;
use crate::error::Result;
use crate::ids::{ConsumerId, CredentialId};
use crate::model::access::Caller;
use crate::model::credential::Scope;

/// Which version of what each variable would hold now. Nothing is handed over, so nothing is recorded.
pub type Holding = Vec<(String, CredentialId, i64)>;

/// What `handed` is, to be held against what would be handed over later.
pub fn holding(handed: &[Handed]) -> Holding {
    let mut all: Holding =
        handed.iter().map(|h| (h.variable.clone(), h.credential.clone(), h.version)).collect();
    all.sort();
    all
}

/// As [`hand_over`](super::hand_over()) and [`hand_over_to`](super::hand_over_to) would do it now. Fails as they do.
pub async fn would_hand(app: &App, caller: &Caller, wanted: &Wanting) -> Result<Holding> {
    let asked = match wanted {
        Wanting::Names(wanted) => Asked::Names(wanted.clone()),
        Wanting::Consumer(id) => Asked::Consumer {
            id: id.clone(),
            scope: Scope::Personal,
            owner: String::new(),
            command: String::new(),
        },
    };
    let asking = caller.clone();
    app.store
        .read_here(move |tx| {
            let who = tx.standing(&asking)?;
            let mut all: Holding = Vec::new();
            for wish in asked.wishes(tx, &asking, &who)? {
                let Some(one) = choose(tx, &asking, &who, wish)? else { continue };
                for field in &one.fields {
                    all.push((one.variable(&field.name), one.credential.id.clone(), one.version.number));
                }
            }
            all.sort();
            all.dedup();
            Ok(all)
        })
        .await
}

/// What somebody goes on wanting.
#[derive(Clone)]
pub enum Wanting {
    Names(HandOver),
    Consumer(ConsumerId),
}
