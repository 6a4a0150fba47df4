//! Whether the log is as it was written: recomputes the chain, and holds it against a checkpoint kept elsewhere.
use super::{CheckpointText, reader_of_all};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Error, Result, invalid};
use crate::model::access::Caller;
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyAuditLog {
    /// Saved earlier; shows a cut-off end.
    pub checkpoint: Option<CheckpointInput>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(deny_unknown_fields)]
pub struct CheckpointInput {
    #[schemars(range(min = 1))]
    pub seq: i64,
    pub at: Millis,
    /// Hex or base64.
    #[schemars(length(max = 200))]
    pub mac: String,
    #[schemars(length(max = 400))]
    pub signature: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification {
    pub intact: bool,
    /// How many events are in order, from the first.
    pub events: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<BadEvent>,
    /// What it means, in a sentence.
    pub message: String,
    /// Empty where nothing is to be done.
    pub next: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct BadEvent {
    pub seq: i64,
    pub why: String,
}

impl TryFrom<CheckpointInput> for Checkpoint {
    type Error = Error;
    fn try_from(c: CheckpointInput) -> Result<Self> {
        Ok(Self {
            seq: c.seq,
            at: c.at,
            mac: bytes("mac", &c.mac)?,
            signature: bytes("signature", &c.signature)?,
        })
    }
}

impl TryFrom<CheckpointText> for Checkpoint {
    type Error = Error;
    fn try_from(c: CheckpointText) -> Result<Self> {
        CheckpointInput { seq: c.seq, at: c.at, mac: c.mac, signature: c.signature }.try_into()
    }
}

/// Hex or base64; the message does not repeat the text.
fn bytes(what: &str, text: &str) -> Result<Vec<u8>> {
    use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
    let text = text.trim().as_bytes();
    let read = HEXLOWER_PERMISSIVE.decode(text).or_else(|_| BASE64.decode(text));
    read.map_err(|_| invalid(format!("the {what} of a checkpoint is hex or base64")))
}

impl Operation for VerifyAuditLog {
    const NAME: &'static str = "verify_audit_log";
    const TITLE: &'static str = "Verify the audit log";
    const ABOUT: &'static str = "Check that no event was changed, moved or removed; names the first bad one.";
    const TOOLSET: Toolset = Toolset::Audit;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::ReadAll;
    const IDEMPOTENT: bool = true;
    type Output = Verification;

    async fn run(self, app: &App, caller: &Caller) -> Result<Verification> {
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                reader_of_all(&tx.standing(&caller)?, "verify the log")?;
                let against = self.checkpoint.map(Checkpoint::try_from).transpose()?;
                if let Some(c) = &against
                    && !tx.checkpoint_ok(&caller.org, c)?
                {
                    return Err(invalid("this checkpoint was not signed by this vault for this org"));
                }
                let verified = tx.verify_audit(&caller.org, against.as_ref())?;
                Ok(match verified.first_bad {
                    None => Verification {
                        intact: true,
                        events: verified.good,
                        first_bad: None,
                        message: match against {
                            Some(c) => format!(
                                "all events are in order, also against the checkpoint of event {}",
                                c.seq
                            ),
                            None => "all events are in order".into(),
                        },
                        next: String::new(),
                    },
                    Some((seq, why)) => {
                        tracing::error!(org = caller.org.as_str(), seq, why, "the audit log does not verify");
                        Verification {
                            intact: false,
                            events: verified.good,
                            message: format!("event {seq} is the first that is not in order: {why}"),
                            first_bad: Some(BadEvent { seq, why }),
                            next: "Tell an admin. Run `unsaid doctor`, and compare with the last backup."
                                .into(),
                        }
                    }
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::Door;
    use crate::ops::audit::checkpoint;
    use crate::ops::org::fixture::Place;

    fn against(c: CheckpointText) -> VerifyAuditLog {
        let c = CheckpointInput { seq: c.seq, at: c.at, mac: c.mac, signature: c.signature };
        VerifyAuditLog { checkpoint: Some(c) }
    }

    #[tokio::test]
    async fn an_untouched_log_verifies_for_admin_and_auditor() {
        let world = Place::new().await;

        for who in ["ada", "otto"] {
            let verified = world.run(who, Door::Stdio, VerifyAuditLog::default()).await.unwrap();
            assert!(verified.intact && verified.events == 1);
        }
    }

    #[tokio::test]
    async fn a_06_a_checkpoint_is_checked_in_hex_and_base64() {
        let world = Place::new().await;
        let c = checkpoint(&world.app, &world.caller("otto", Door::Cli)).await.unwrap().unwrap();
        let mut in_base64 = c.clone();
        let decoded = data_encoding::HEXLOWER.decode(c.mac.as_bytes()).unwrap();
        in_base64.mac = data_encoding::BASE64.encode(&decoded);

        for c in [c, in_base64] {
            assert!(world.run("otto", Door::Stdio, against(c)).await.unwrap().message.contains("checkpoint"));
        }
    }

    #[tokio::test]
    async fn a_checkpoint_given_by_a_model_is_not_taken_for_a_secret() {
        let world = Place::new().await;
        let c = checkpoint(&world.app, &world.person("otto")).await.unwrap().unwrap();
        let ask = serde_json::json!({ "checkpoint": c });

        let verified =
            world.call(&world.caller("otto", Door::Stdio), VerifyAuditLog::NAME, ask).await.unwrap();

        assert_eq!(verified["intact"], true);
    }

    #[tokio::test]
    async fn members_and_other_orgs_do_not_verify_this_log() {
        let world = Place::new().await;
        let c = checkpoint(&world.app, &world.caller("ada", Door::Cli)).await.unwrap().unwrap();

        for who in ["max", "tess"] {
            let refused = world.run(who, Door::Stdio, VerifyAuditLog::default()).await.unwrap_err();
            assert_eq!(refused.code, Code::NotAllowed);
        }
        assert_eq!(
            world.run("globex/ada", Door::Stdio, against(c)).await.unwrap_err().code,
            Code::InvalidInput
        );
    }

    #[tokio::test]
    async fn a_07_a_checkpoint_that_is_not_ours_is_refused_and_not_repeated() {
        let world = Place::new().await;
        let good = checkpoint(&world.app, &world.caller("ada", Door::Cli)).await.unwrap().unwrap();
        let later = CheckpointText { seq: good.seq + 1, ..good.clone() };
        let nonsense = CheckpointText { mac: "planted!".into(), ..good.clone() };
        let unsigned = CheckpointText { signature: String::new(), ..good };

        for c in [later, nonsense, unsigned] {
            let refused = world.run("ada", Door::Stdio, against(c)).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput);
            assert!(!refused.message().contains("planted"));
        }
    }
}
