//! What state a credential is in, why, and what to do about it. A transient failure is never told as a terminal one.
use super::Word;
use super::connection::{Connection, ConnectionState};
use super::credential::{Credential, Source};
use super::echo::Echoes;
use super::probe::Finding;
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
        OfflineAccessMissing = "offline_access_missing",
        RotationDue = "rotation_due",
        RotationInProgress = "rotation_in_progress",
        ProbeRefused = "probe_refused",
        ProbeUnreachable = "probe_unreachable",
        InBin = "in_bin",
        SuspendedForService = "suspended_for_service",
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

impl StatusReport {
    /// The same of one that some services are not sent any more; what stands in the way of every use comes before.
    pub fn with_suspensions(mut self, c: &Credential, found: &[Echoes]) -> Self {
        if found.is_empty() || self.status == Status::Deleted {
            return self;
        }
        self.reasons.push(StatusReason::SuspendedForService);
        if matches!(self.status, Status::Active | Status::Expiring) {
            let why: Vec<_> = found.iter().map(Echoes::why).collect();
            self.status = Status::NeedsAttention;
            self.message = format!("the broker does not send it any more: {}", why.join("; "));
            self.next = super::echo::next(c);
        }
        self
    }
}

/// The status of `c` at `now`, with its connection where it has one; `warn_days` before its end it counts as expiring.
pub fn status(
    c: &Credential,
    connection: Option<&Connection>,
    now: Millis,
    warn_days: i64,
    bin_days: i64,
) -> StatusReport {
    status_with(c, connection, c.expires_at, None, now, warn_days, bin_days)
}

/// As [`status`], where more is known than its own row says: `ends_at`, and what its last test found out, in words.
pub fn status_with(
    c: &Credential,
    connection: Option<&Connection>,
    ends_at: Option<Millis>,
    found: Option<(Finding, &str)>,
    now: Millis,
    warn_days: i64,
    bin_days: i64,
) -> StatusReport {
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
    if c.source == Source::OAuth
        && let Some(report) = of_connection(c, connection, now)
    {
        return report;
    }
    if c.current_version.is_none() {
        return report(
            Status::NeedsAttention,
            vec![StatusReason::ValueMissing],
            "no value has been entered yet".into(),
            format!("Ask the person to run `{}` in a terminal.", c.set_command()),
        );
    }
    let replace = format!("Ask the person to run `{}` with a new value.", c.set_command());
    let mut reasons = Vec::new();
    let rotation_due = c.rotation_days.zip(c.value_set_at).map(|(days, set)| set.plus_days(days));
    if rotation_due.is_some_and(|due| due <= now) {
        reasons.push(StatusReason::RotationDue);
    }
    if let Some((Finding::Refused, why)) = found {
        reasons.insert(0, StatusReason::ProbeRefused);
        let ended = ends_at.filter(|end| *end <= now);
        if let Some(end) = ended {
            reasons.insert(0, StatusReason::ValueExpired);
            return report(Status::Expired, reasons, format!("expired at {end}"), replace);
        }
        return report(Status::NeedsAttention, reasons, format!("its last test failed: {why}"), replace);
    }
    let unreachable = match found {
        Some((Finding::Unreachable, why)) => {
            reasons.push(StatusReason::ProbeUnreachable);
            Some(why)
        }
        _ => None,
    };
    match ends_at {
        Some(end) if end <= now => {
            reasons.insert(0, StatusReason::ValueExpired);
            report(Status::Expired, reasons, format!("expired at {end}"), replace)
        }
        Some(end) if end.0 - now.0 <= warn_days.saturating_mul(DAY_MS) => {
            reasons.insert(0, StatusReason::ExpiresSoon);
            report(Status::Expiring, reasons, format!("expires at {end}"), replace)
        }
        _ if reasons.contains(&StatusReason::RotationDue) => report(
            Status::NeedsAttention,
            reasons,
            "its value is older than its rotation policy allows".into(),
            format!("Call get_rotation_guide for {}, then replace the value.", c.name),
        ),
        // A test that cannot be done says nothing against it.
        _ => match unreachable {
            Some(why) => {
                let next = "Nothing is known to be wrong with it. Call test_credential to try again.".into();
                report(Status::Active, reasons, format!("its last tests could not be done: {why}"), next)
            }
            None => report(Status::Active, reasons, "in order".into(), String::new()),
        },
    }
}
/// What a connection is in, where it is not simply in order.
fn of_connection(c: &Credential, connection: Option<&Connection>, now: Millis) -> Option<StatusReport> {
    use StatusReason as R;
    let connect = || format!("Call connect_credential, or ask the person to run `{}`.", c.connect_command());
    let report = |status, reason, message: String, next: String| {
        Some(StatusReport { status, reasons: vec![reason], message, next })
    };
    let Some(connection) = connection else {
        return report(
            Status::NeedsAttention,
            R::ReauthRequired,
            "nobody has connected it yet".into(),
            connect(),
        );
    };
    match connection.state {
        ConnectionState::Connected if c.current_version.is_some() => {}
        ConnectionState::Connected => {
            return report(
                Status::NeedsAttention,
                R::ReauthRequired,
                "it is not connected".into(),
                connect(),
            );
        }
        ConnectionState::Broken => {
            let why = match connection.last_error.as_str() {
                "" => String::new(),
                why => format!(" ({why})"),
            };
            let message = format!("its grant is over{why}: a person has to connect it again");
            return report(
                Status::Expired,
                connection.broken_reason().unwrap_or(R::ReauthRequired),
                message,
                connect(),
            );
        }
        ConnectionState::Revoking => {
            let message =
                "disconnected here; the service has not confirmed yet that it ended the grant".to_owned();
            return report(Status::Disconnected, R::ReauthRequired, message, String::new());
        }
        ConnectionState::Disconnected => {
            let message = match connection.last_error.as_str() {
                "" => "it was disconnected".to_owned(),
                why => format!("it was disconnected here; {why}"),
            };
            return report(Status::Disconnected, R::ReauthRequired, message, connect());
        }
    }
    let is_alive = connection.is_alive(now);
    if !connection.renews()
        && let Some(end) = connection.access_expires_at
    {
        return match is_alive {
            true => report(
                Status::NeedsAttention,
                R::OfflineAccessMissing,
                format!("its provider gave no refresh token: it ends at {end}"),
                "Ask an admin whether the provider's scopes should ask for offline access, then connect it again.".into(),
            ),
            false => report(Status::Expired, R::TokenExpired, format!("its token ended at {end}"), connect()),
        };
    }
    if connection.failures > 0 {
        let reason = R::parse(&connection.reason).unwrap_or(R::RefreshUnreachable);
        let why = &connection.last_error;
        match (reason, is_alive) {
            (R::RefreshRefused, alive) => {
                let status = if alive { Status::NeedsAttention } else { Status::Error };
                return report(
                    status,
                    reason,
                    format!("the service refuses our client when it is refreshed ({why})"),
                    "Ask an admin to check the OAuth provider: its client id and its client secret.".into(),
                );
            }
            (_, false) => {
                return report(
                    Status::Error,
                    R::RefreshUnreachable,
                    format!("its token ended and could not be refreshed yet: {why}"),
                    "Nothing is lost; it is tried again by itself. Call refresh_credential to try now."
                        .into(),
                );
            }
            // A hiccup while the token lives is nobody's concern.
            (_, true) => {}
        }
    }
    if connection.reason == R::RevokedUpstream.as_str() {
        return report(Status::NeedsAttention, R::RevokedUpstream, connection.last_error.clone(), connect());
    }
    let missing = connection.scopes_missing();
    if !missing.is_empty() {
        return report(
            Status::NeedsAttention,
            R::ScopesMissing,
            format!("not granted: {}", missing.join(", ")),
            connect(),
        );
    }
    None
}
