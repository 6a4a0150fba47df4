//! The kinds of findings there are, and the exact rule of each. The page in docs/ is made from this table.
use Severity::{High, Info, Low, Medium};

words! {
    /// How much it matters, the worst first.
    Severity { High = "high", Medium = "medium", Low = "low", Info = "info" }
}

words! {
    FindingKind {
        Expired = "expired",
        WeakPassword = "weak_password",
        DuplicateValue = "duplicate_value",
        LiveOutsideProduction = "live_key_outside_production",
        FailingConsumer = "failing_consumer",
        MissingCredential = "missing_credential",
        RotationOverdue = "rotation_overdue",
        ContradictsValue = "contradicts_value",
        BroadScopes = "broad_oauth_scopes",
        OwnerGone = "owner_gone",
        ScopeTooWide = "scope_too_wide",
        StaticBinding = "static_binding",
        Unused180 = "unused_180",
        Unused90 = "unused_90",
        NeverUsed = "never_used",
        Unbound = "unbound",
        SameServiceTwice = "same_service_twice",
        ScopeTooNarrow = "scope_too_narrow",
        VagueName = "vague_name",
        VagueDescription = "vague_description",
        Unused30 = "unused_30",
    }
}

/// One row of the table.
pub struct Rule {
    pub kind: FindingKind,
    pub severity: Severity,
    /// When it fires, exactly.
    pub statement: &'static str,
}

const fn rule(kind: FindingKind, severity: Severity, statement: &'static str) -> Rule {
    Rule { kind, severity, statement }
}

/// How many days a credential is new: before that nobody can have used it, or bound it.
pub const NEW_DAYS: i64 = 30;
/// How far back uses are counted.
pub const WINDOW_DAYS: i64 = 90;
/// How many successful uses tell who really uses a credential.
pub const ENOUGH_USES: i64 = 5;
/// How many failures within [`LATELY_DAYS`] make a consumer a failing one.
pub const ENOUGH_FAILURES: i64 = 3;
pub const LATELY_DAYS: i64 = 7;
/// How many copies in narrower places ask for one in a wider.
pub const ENOUGH_COPIES: usize = 3;

/// Every kind with its rule, in the order of reports.
pub const RULES: &[Rule] = &[
    rule(
        FindingKind::DuplicateValue,
        High,
        "Two or more credentials hold the same value in a secret field (equal keyed fingerprints; text without the blanks around it; files with files, text with text). User names are no secret fields, connections are left out, and so is every value that fewer than 10^10 guesses reach.",
    ),
    rule(
        FindingKind::Expired,
        High,
        "Its status is expired: its end has come, or the grant of its connection is over.",
    ),
    rule(
        FindingKind::FailingConsumer,
        High,
        "Within the last 7 days the log has at least 3 failed or refused uses through the consumer, and no successful one.",
    ),
    rule(
        FindingKind::LiveOutsideProduction,
        High,
        "Its value was recognised as a live key when it was stored, and its environment is staging or dev; or its environment is any and its name has a part DEV, DEVELOPMENT, TEST, TESTING, STAGING, STAGE, SANDBOX, LOCAL or QA.",
    ),
    rule(
        FindingKind::MissingCredential,
        High,
        "A required binding of a consumer finds no credential of that name, source and place. What is personal counts only where it is the caller's; a user_secret binding is each person's own affair and is not looked at; neither is a team_secret of a team that the caller is not in, unless they see all teams.",
    ),
    rule(
        FindingKind::WeakPassword,
        High,
        "It holds a password (the password of a login; a field or api_key whose name says PASSWORD, PASSWD, PASSPHRASE, PASS or PWD) that fewer than 10^8 guesses reach, as judged by zxcvbn when it was stored.",
    ),
    rule(
        FindingKind::BroadScopes,
        Medium,
        "Its connection was granted a scope that the catalogue marks as admin, or one that was not asked for (openid, profile, email and offline_access aside).",
    ),
    rule(
        FindingKind::ContradictsValue,
        Medium,
        "Its value was recognised when it was stored, and none of the services that issue such values is the one in its service field; or its name is customary for other services only; or it is a test key and its environment is prod. Or it is a private key or a service account as JSON, and its type is api_key or basic.",
    ),
    rule(
        FindingKind::OwnerGone,
        Medium,
        "It is a team's, and the team was deleted or has no enabled owner or admin; or it is the org's or a team's, and whoever entered its value (its creator, where it has none) is disabled.",
    ),
    rule(
        FindingKind::RotationOverdue,
        Medium,
        "Its value was set longer ago than its rotation policy allows, and it has not expired.",
    ),
    rule(
        FindingKind::ScopeTooWide,
        Medium,
        "It is the org's, and its successful uses of the last 90 days, 5 or more, were all by members of one same team, or by one person; or it is a team's of 3 or more members, and they were all by one person. No consumer of anybody else is bound to it (the org's own consumers count as everybody).",
    ),
    rule(
        FindingKind::StaticBinding,
        Medium,
        "A binding of a consumer is plain text (static), and a part of its variable's name says that it holds a secret: KEY, APIKEY, TOKEN, SECRET, PASSWORD, PASSWD, PASSPHRASE, PASS, PWD, CREDENTIAL or CREDENTIALS; and its text is no path, address, number or switch.",
    ),
    rule(
        FindingKind::Unused180,
        Medium,
        "It has a value and was used, the last time more than 180 days ago.",
    ),
    rule(FindingKind::NeverUsed, Low, "It has had a value for more than 30 days and was never used."),
    rule(
        FindingKind::SameServiceTwice,
        Low,
        "Two or more credentials of one type in one place (the same person, team or org) have the same service, account and environment.",
    ),
    rule(
        FindingKind::ScopeTooNarrow,
        Low,
        "Three or more credentials of one name, account and environment are kept by different teams, or by teams and the caller themselves, and the org has none of that name. What others keep for themselves is not counted, for nobody else may know of it.",
    ),
    rule(
        FindingKind::Unbound,
        Low,
        "It is a team's or the org's and has had a value for more than 30 days, no consumer is bound to it or was granted it, and no use of the last 90 days went through a consumer.",
    ),
    rule(
        FindingKind::Unused90,
        Low,
        "It has a value and was used, the last time more than 90 days ago and not more than 180.",
    ),
    rule(
        FindingKind::VagueName,
        Low,
        "No part of its name says what it opens: every part is a number, a single letter, or a word such as KEY, TOKEN, SECRET, API, MY, NEW, TEST or PROD.",
    ),
    rule(
        FindingKind::Unused30,
        Info,
        "It has a value and was used, the last time more than 30 days ago and not more than 90.",
    ),
    rule(
        FindingKind::VagueDescription,
        Info,
        "It is a team's or the org's, and its description is empty, or has no word besides its own name, its service and words such as key, token, secret, the, for, test or todo.",
    ),
];

impl FindingKind {
    fn rule(self) -> &'static Rule {
        RULES.iter().find(|rule| rule.kind == self).expect("a test holds the table against the kinds")
    }
    pub fn severity(self) -> Severity {
        self.rule().severity
    }
    pub fn statement(self) -> &'static str {
        self.rule().statement
    }
}

/// The page of the kinds, as it stands in docs/findings.md.
pub fn page() -> String {
    use crate::model::Word;
    let mut text = String::from(PAGE);
    for rule in RULES {
        text.push_str(&format!("| `{}` | {} | {} |\n", rule.kind.as_str(), rule.severity, rule.statement));
    }
    text
}

const PAGE: &str = "\
# What the hygiene report finds

`audit_credentials`, `unsaid audit` and their prompt make one report out of what the vault knows: no value is opened for it, \
nothing is sent anywhere, and the same facts give the same findings with the same ids. This page is made from the rules \
themselves (`src/model/hygiene/kinds.rs`); a test holds one against the other.

- A report is about the credentials whose configuration its caller may see, and the consumers they may know of: members \
their own, those of teams they lead and what was granted to them; admins and auditors all of the org and its teams. Nobody's \
report counts what others keep for themselves.
- What a value is was recognised when it was stored: the service, the kind of key, live or test, whether it is a weak \
password, and a keyed fingerprint. The fingerprint lies under a mask of its own row, is deleted with its version, and is made \
anew after a new org key.
- Which values are equal is told of at most four differing sets of values an hour to one person; beyond that, a report says \
everything else. Pages of a report are free.
- Uses are those of the last 90 days, and of the latest 500,000 events of the log: in an org that has more in that time, what the \
older ones say of who uses a credential is not seen. When each was used last is kept apart, and always known.
- A finding can be accepted for a while, by whoever manages what it is about or by an admin: `unsaid audit accept ID --reason \
TEXT --until DATE`. It comes back when the date passes or its facts change.
- A report says which findings are new since the last differing one, and which are gone.

| kind | severity | when |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Word;

    #[test]
    fn every_kind_has_one_rule_and_the_worst_come_first() {
        for (word, kind) in FindingKind::WORDS {
            assert_eq!(RULES.iter().filter(|rule| rule.kind == *kind).count(), 1, "{word}");
        }
        assert_eq!(RULES.len(), FindingKind::WORDS.len());
        assert!(RULES.is_sorted_by_key(|rule| (rule.severity, rule.kind.as_str())));
    }

    #[test]
    fn the_page_says_what_the_rules_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, page()).expect("the page is written");
        }

        let kept = std::fs::read_to_string(path).expect("the page is there");

        assert!(
            kept == page(),
            "the rules changed: run the tests with UPDATE_SNAPSHOTS=1 and commit docs/findings.md"
        );
    }
}
