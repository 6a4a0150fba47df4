//! What state a credential is in, why, and what to do about it. A transient failure is never told as a terminal one.
use super::credential::{Credential, Source};
use crate::clock::{DAY_MS, Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    Status {
        Active = "active",
        Expiring = "expiring",
        Expired = "expired",
        NeedsAttention = "needs_attention",
        Error = "error",
        Disconnected = "disconnected",
        Deleted = "deleted",
    }
}

words! {
    /// Why; a fixed list, to branch on.
    StatusReason {
        ValueMissing = "value_missing",
        TokenExpired = "token_expired",
        ValueExpired = "value_expired",
        ExpiresSoon = "expires_soon",
        RefreshRefused = "refresh_refused",
        RefreshUnreachable = "refresh_unreachable",
        RevokedUpstream = "revoked_upstream",
        ScopesMissing = "scopes_missing",
        ReauthRequired = "reauth_required",
        RotationDue = "rotation_due",
        RotationInProgress = "rotation_in_progress",
        ProbeRefused = "probe_refused",
        ProbeUnreachable = "probe_unreachable",
        InBin = "in_bin",
    }
}

/// Status with reasons, a sentence and the next step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct StatusReport {
    pub status: Status,
    pub reasons: Vec<StatusReason>,
    /// What it means, in a sentence.
    pub message: String,
    /// What to do; empty where nothing is to be done.
    pub next: String,
}

/// The status of `c` at `now`; `warn_days` before its end it counts as expiring.
pub fn status(c: &Credential, now: Millis, warn_days: i64, bin_days: i64) -> StatusReport {
    let report =
        |status, reasons, message: String, next: String| StatusReport { status, reasons, message, next };
    if let Some(deleted_at) = c.deleted_at {
        return report(
            Status::Deleted,
            vec![StatusReason::InBin],
            format!("in the bin since {deleted_at}; nothing can use it"),
            format!("Call restore_credential before {} to bring it back.", deleted_at.plus_days(bin_days)),
        );
    }
    if c.current_version.is_none() {
        return match c.source {
            Source::OAuth => report(
                Status::NeedsAttention,
                vec![StatusReason::ReauthRequired],
                "nobody has connected it yet".into(),
                "Connecting comes with a later version of unsaid.".into(),
            ),
            Source::Manual => report(
                Status::NeedsAttention,
                vec![StatusReason::ValueMissing],
                "no value has been entered yet".into(),
                format!("Ask the person to run `{}` in a terminal.", c.set_command()),
            ),
        };
    }
    let replace = format!("Ask the person to run `{}` with a new value.", c.set_command());
    let mut reasons = Vec::new();
    let rotation_due = c.rotation_days.zip(c.value_set_at).map(|(days, set)| set.plus_days(days));
    if rotation_due.is_some_and(|due| due <= now) {
        reasons.push(StatusReason::RotationDue);
    }
    match c.expires_at {
        Some(end) if end <= now => {
            reasons.insert(0, StatusReason::ValueExpired);
            report(Status::Expired, reasons, format!("expired at {end}"), replace)
        }
        Some(end) if end.0 - now.0 <= warn_days.saturating_mul(DAY_MS) => {
            reasons.insert(0, StatusReason::ExpiresSoon);
            report(Status::Expiring, reasons, format!("expires at {end}"), replace)
        }
        _ if !reasons.is_empty() => report(
            Status::NeedsAttention,
            reasons,
            "its value is older than its rotation policy allows".into(),
            format!("Call get_rotation_guide for {}, then replace the value.", c.name),
        ),
        _ => report(Status::Active, reasons, "in order".into(), String::new()),
    }
}
