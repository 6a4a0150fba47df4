//! Services that send a credential back: counted, and after the third answer it goes there no more (B-25).
//!
//! It goes there again when its value was replaced, or when a person said so.
use crate::error::Result;
use crate::ids::{CredentialId, OrgId};
use crate::model::credential::{Credential, Source};
use crate::model::echo::Echoes;
use crate::store::{Reader, Writer};

/// Which value `c` has. The tokens of a connection are replaced all the time, and that alone mends nothing.
fn generation(tx: &Reader<'_>, c: &Credential) -> Result<i64> {
    Ok(match c.source {
        Source::OAuth => tx.connection(&c.org_id, &c.id)?.map_or(0, |connection| connection.connected_at.0),
        Source::Manual => c.current_version.unwrap_or_default(),
    })
}

/// The services that `c` is not sent to any more.
pub fn suspensions(tx: &Reader<'_>, c: &Credential) -> Result<Vec<Echoes>> {
    let mut found = tx.echoes(&c.id)?;
    if !found.is_empty() {
        let generation = generation(tx, c)?;
        found.retain(|echoes| echoes.suspends(generation));
    }
    Ok(found)
}

/// Fails with `credential_suspended` where `service` has sent `c` back too often.
pub fn expect_kept(tx: &Reader<'_>, c: &Credential, service: &str) -> Result<()> {
    match suspensions(tx, c)?.iter().find(|echoes| echoes.service == service) {
        Some(echoes) => Err(echoes.refusal(c)),
        None => Ok(()),
    }
}

/// One more answer of `service` with this `version` in it. Says whether it goes there no more.
pub fn count(
    tx: &mut Writer<'_>,
    org: &OrgId,
    id: &CredentialId,
    version: i64,
    service: &str,
) -> Result<bool> {
    // It may be gone by now, or have another value, which was not sent back.
    let Some(c) = tx.find_credential(org, id)? else { return Ok(false) };
    if c.source == Source::Manual && c.current_version != Some(version) {
        return Ok(false);
    }
    let generation = generation(tx, &c)?;
    tx.count_echo(&c.id, service, generation)?;
    Ok(suspensions(tx, &c)?.iter().any(|echoes| echoes.service == service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::event::Event;
    use crate::testing::World;

    async fn echoed(w: &World, id: &str, version: i64, times: usize) -> bool {
        let (org, id) = (w.org.clone(), CredentialId::from(id));
        w.app
            .store
            .write(&w.person("ada"), move |tx| {
                let mut is_over = false;
                for _ in 0..times {
                    is_over = count(tx, &org, &id, version, "acme")?;
                }
                tx.record_step(Event::of("use"), is_over)
            })
            .await
            .unwrap()
    }

    async fn kept(w: &World, id: &str, service: &'static str) -> Result<()> {
        let (org, id) = (w.org.clone(), CredentialId::from(id));
        w.app.store.read(move |tx| expect_kept(tx, &tx.find_credential(&org, &id)?.unwrap(), service)).await
    }

    #[tokio::test]
    async fn b_25_an_answer_that_comes_late_counts_for_the_value_that_it_has_in_it() {
        let w = World::new().await;
        let id = w.add("ada", "org", "KEY", "first").await;
        assert!(!echoed(&w, &id, 1, 2).await);

        // An earlier version, and one that is not there: neither is what would be sent now.
        assert!(!echoed(&w, &id, 0, 5).await && !echoed(&w, &id, 2, 5).await);
        assert!(kept(&w, &id, "acme").await.is_ok());
        assert!(!echoed(&w, "01J00000000000000000000000", 1, 5).await);

        assert!(echoed(&w, &id, 1, 1).await);
        assert_eq!(kept(&w, &id, "acme").await.unwrap_err().code, Code::CredentialSuspended);
        assert!(kept(&w, &id, "other").await.is_ok());
    }
}
