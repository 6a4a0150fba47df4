//! The log as JSON lines, with its chain, and signed checkpoints to keep elsewhere. For people, on the command line.
use super::reader_of_all;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Result, invalid};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::credential::Scope;
use crate::model::event::{AuditRow, Event};
use crate::ops::people_only;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};

/// The most events of one call.
const MOST: i64 = 10_000;

/// A checkpoint as people keep it; bytes in hex.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointText {
    pub seq: i64,
    pub at: Millis,
    pub mac: String,
    pub signature: String,
}

/// Up to `limit` events after `after_seq`, oldest first, a JSON text each. The export itself leaves an event.
///
/// An event about another person's personal credential is withheld: its number and MAC stand alone.
pub async fn export(app: &App, caller: &Caller, after_seq: i64, limit: i64) -> Result<Vec<String>> {
    people_only(caller)?;
    if after_seq < 0 || !(1..=MOST).contains(&limit) {
        return Err(invalid("an export begins at event 0 or later and has 1 to 10,000 events"));
    }
    let asking = caller.clone();
    app.store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            reader_of_all(&who, "export the log")?;
            let rows = tx.audit_after(&asking.org, after_seq, limit)?;
            let event = Event::of("export_audit_log").with("after", after_seq).with("events", rows.len());
            let lines = rows.iter().map(|row| line(row, who.user.as_str()).to_string()).collect();
            tx.record_step(event, lines)
        })
        .await
}

fn line(row: &AuditRow, reader: &str) -> Value {
    let mac = HEXLOWER.encode(&row.mac);
    if row.scope == Scope::Personal.as_str() && row.owner != reader {
        return json!({ "seq": row.seq, "withheld": true, "mac": mac });
    }
    let details: Value = serde_json::from_str(&row.details).unwrap_or_default();
    json!({
        "org": row.org, "seq": row.seq, "at": row.at, "user": row.user, "door": row.door, "client": row.client,
        "request": row.request, "consumer": row.consumer, "operation": row.operation, "outcome": row.outcome,
        "code": row.code, "object_kind": row.object_kind, "object_id": row.object_id, "object_name": row.object_name,
        "version": row.version, "revision": row.revision, "scope": row.scope, "owner": row.owner,
        "reason": row.reason, "details": details, "mac": mac,
    })
}

/// A signed checkpoint of the log's end, to keep outside the database; `None` while there is no event.
pub async fn checkpoint(app: &App, caller: &Caller) -> Result<Option<CheckpointText>> {
    people_only(caller)?;
    let caller = caller.clone();
    app.store
        .read(move |tx| {
            reader_of_all(&tx.standing(&caller)?, "take a checkpoint")?;
            Ok(tx.checkpoint_now(&caller.org)?.map(|c| CheckpointText {
                seq: c.seq,
                at: c.at,
                mac: HEXLOWER.encode(&c.mac),
                signature: HEXLOWER.encode(&c.signature),
            }))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::Door;
    use crate::ops::org::fixture::Place;

    #[tokio::test]
    async fn an_export_keeps_sequence_and_chain_and_is_itself_recorded() {
        let world = Place::new().await;
        world.credential("KEY", Scope::Org, "").await;

        let lines = export(&world.app, &world.caller("otto", Door::Cli), 0, MOST).await.unwrap();

        let rows: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (n, row) in rows.iter().enumerate() {
            assert_eq!(row["seq"], n as i64 + 1);
            assert_eq!(row["mac"].as_str().unwrap().len(), 72);
        }
        assert!(rows.iter().any(|row| row["object_name"] == "KEY"));
        assert_eq!(world.last_event().await.operation, "export_audit_log");
        let rest = export(&world.app, &world.caller("otto", Door::Cli), rows.len() as i64, 10).await.unwrap();
        assert_eq!(rest.len(), 1);
    }

    #[tokio::test]
    async fn what_is_personal_to_another_is_withheld_and_keeps_its_place() {
        let world = Place::new().await;
        world.credential("MINE", Scope::Personal, "max").await;

        let lines = export(&world.app, &world.caller("ada", Door::Cli), 0, MOST).await.unwrap();

        assert!(lines.iter().all(|line| !line.contains("MINE")));
        assert!(lines.last().unwrap().contains("\"withheld\":true"));
    }

    #[tokio::test]
    async fn only_an_admin_or_auditor_in_person_takes_the_log_out() {
        let world = Place::new().await;

        for (who, door, code) in [
            ("ada", Door::Stdio, Code::PeopleOnly),
            ("otto", Door::Http, Code::PeopleOnly),
            ("max", Door::Cli, Code::NotAllowed),
        ] {
            let caller = world.caller(who, door);
            assert_eq!(export(&world.app, &caller, 0, 10).await.unwrap_err().code, code);
            assert_eq!(checkpoint(&world.app, &caller).await.unwrap_err().code, code);
        }
        let ada = world.caller("ada", Door::Cli);
        for (after, limit) in [(-1, 10), (0, 0), (0, MOST + 1)] {
            assert_eq!(export(&world.app, &ada, after, limit).await.unwrap_err().code, Code::InvalidInput);
        }
    }
}
