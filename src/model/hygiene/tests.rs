//! Each rule where it fires, and more often where it must not.
use super::where_to::{Need, advise, trade_off};
use super::*;
use crate::clock::{DAY_MS, Millis};
use crate::ids::{ConsumerId, CredentialId};
use crate::model::Word;
use crate::model::consumer::BindingSource;
use crate::model::credential::{CredentialType, Environment, Scope, Source};
use crate::model::org::SharingPlan;
use crate::model::status::Status;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const NOW: Millis = Millis(1_800_000_000_000);

fn ago(days: i64) -> Millis {
    Millis(NOW.0 - days * DAY_MS)
}

fn used(user: &str, consumer: &str, ok: i64) -> UsedFrom {
    UsedFrom { user: user.into(), consumer: consumer.into(), ok, last_at: ago(1) }
}

/// One that nothing is wrong with.
fn fine(name: &str) -> Subject {
    Subject {
        id: CredentialId::from(name),
        name: name.into(),
        kind: CredentialType::ApiKey,
        source: Source::Manual,
        scope: Scope::Org,
        owner: "acme".into(),
        service: "github".into(),
        account: name.into(),
        environment: Environment::Prod,
        has_vague_description: false,
        status: Status::Active,
        is_rotation_due: false,
        expires_at: None,
        rotation_days: None,
        value_set_at: Some(ago(100)),
        entered_by: "ada".into(),
        last_used_at: Some(ago(1)),
        uses: [used("ada", "c", 3), used("max", "c", 3)].into(),
        bound: Vec::new(),
        is_granted_to_consumer: false,
        prints: Box::default(),
        is_weak: false,
        recognised: None,
        customary: None,
        named_after: Box::default(),
        broad_scopes: Box::default(),
    }
}

fn party(name: &str) -> Party {
    Party {
        id: ConsumerId::from(name),
        name: name.into(),
        keeper: Keeper::Everybody,
        ok_lately: 5,
        failed_lately: 0,
        plain_secrets: Vec::new(),
        missing: Vec::new(),
    }
}

fn team(name: &str, members: &[&str]) -> TeamFacts {
    TeamFacts {
        name: name.into(),
        is_deleted: false,
        members: members.iter().map(|m| Arc::from(*m)).collect(),
        has_keeper: true,
    }
}

/// Teams core (ada, mia, tess) and ops (max, mia), and whoever is named gone.
fn place(credentials: Vec<Subject>) -> Inventory {
    let teams = [("core", team("core", &["ada", "mia", "tess"])), ("ops", team("ops", &["max", "mia"]))];
    Inventory {
        org: "acme".into(),
        now: NOW,
        credentials,
        consumers: Vec::new(),
        teams: teams.into_iter().map(|(id, facts)| (id.into(), facts)).collect(),
        compares: true,
        ..Inventory::default()
    }
}

fn kinds(inventory: &Inventory) -> Vec<&'static str> {
    audit(inventory).iter().map(|(_, f)| f.kind.as_str()).collect()
}

/// What is wrong with one credential that was changed so.
fn with(change: impl FnOnce(&mut Subject)) -> Vec<&'static str> {
    let mut one = fine("INVOICE_TOKEN");
    change(&mut one);
    kinds(&place(vec![one]))
}

/// Every change must give no finding of `kind`.
fn never(kind: &str, changes: &[&dyn Fn(&mut Subject)]) {
    for (n, change) in changes.iter().enumerate() {
        let found = with(change);
        assert!(!found.contains(&kind), "case {n}: {found:?}");
    }
}

#[test]
fn nothing_is_wrong_with_what_is_fine() {
    assert!(with(|_| {}).is_empty());
}

#[test]
fn what_is_over_has_expired_and_what_ends_soon_has_not() {
    assert_eq!(with(|s| s.status = Status::Expired), ["expired"]);
    never(
        "expired",
        &[&|s| s.status = Status::Expiring, &|s| s.status = Status::NeedsAttention, &|s| {
            s.expires_at = Some(ago(-5))
        }],
    );
}

#[test]
fn a_rotation_is_overdue_by_its_policy_alone() {
    let due = |s: &mut Subject| {
        s.rotation_days = Some(30);
        s.is_rotation_due = true;
    };
    assert_eq!(with(due), ["rotation_overdue"]);
    never(
        "rotation_overdue",
        &[&|s| s.rotation_days = Some(30), &|s| s.is_rotation_due = true, &|s| {
            due(s);
            s.status = Status::Expired;
        }],
    );
}

#[test]
fn a_weak_password_is_told_of_and_a_missing_one_is_not() {
    assert_eq!(with(|s| s.is_weak = true), ["weak_password"]);
    never(
        "weak_password",
        &[&|_| {}, &|s| {
            s.is_weak = true;
            s.value_set_at = None;
        }],
    );
}

fn recognised(s: &mut Subject, service: &str, is_live: Option<bool>) {
    let services = [Arc::from(service)].into();
    s.recognised = Some(Arc::new(Recognised { services, kind: "secret_key".into(), is_live }));
}

#[test]
fn a_live_key_belongs_in_production() {
    for environment in [Environment::Staging, Environment::Dev] {
        let found = with(|s| {
            recognised(s, "github", Some(true));
            s.environment = environment;
        });
        assert_eq!(found, ["live_key_outside_production"]);
    }
    let found = with(|s| {
        recognised(s, "github", Some(true));
        (s.environment, s.name) = (Environment::Any, "INVOICE_TEST_TOKEN".into());
    });
    assert_eq!(found, ["live_key_outside_production"]);
    never(
        "live_key_outside_production",
        &[
            &|s| recognised(s, "github", Some(true)),
            &|s| {
                recognised(s, "github", Some(false));
                s.environment = Environment::Dev;
            },
            &|s| {
                recognised(s, "github", None);
                s.environment = Environment::Dev;
            },
            &|s| {
                recognised(s, "github", Some(true));
                (s.environment, s.name) = (Environment::Any, "CONTEST_TOKEN".into());
            },
            &|s| {
                recognised(s, "github", Some(true));
                s.name = "INVOICE_TEST_TOKEN".into();
            },
            &|s| s.environment = Environment::Dev,
        ],
    );
}

#[test]
fn what_a_value_is_contradicts_what_is_said_of_it() {
    assert_eq!(with(|s| recognised(s, "stripe", None)), ["contradicts_value"]);
    let by_name = |s: &mut Subject, named: &str| {
        recognised(s, "stripe", None);
        s.service = "".into();
        s.named_after = [Arc::from(named)].into();
    };
    assert_eq!(with(|s| by_name(s, "github")), ["contradicts_value"]);
    assert_eq!(with(|s| recognised(s, "github", Some(false))), ["contradicts_value"]);
    // Its service was filled in from the value; the name still says another.
    let filled = |s: &mut Subject| {
        by_name(s, "github");
        s.service = "stripe".into();
    };
    assert_eq!(with(filled), ["contradicts_value"]);
    let of_kind = |kind: CredentialType, key: &'static str| {
        move |s: &mut Subject| {
            let seen = (!key.is_empty()).then(|| Recognised { kind: key.into(), ..Recognised::default() });
            (s.kind, s.recognised) = (kind, seen.map(Arc::new));
        }
    };
    assert_eq!(with(of_kind(CredentialType::ApiKey, "private_key")), ["contradicts_value"]);
    assert_eq!(with(of_kind(CredentialType::Basic, "service_account_json")), ["contradicts_value"]);
    never(
        "contradicts_value",
        &[
            &of_kind(CredentialType::File, "private_key"),
            &of_kind(CredentialType::Custom, "private_key"),
            &of_kind(CredentialType::ApiKey, ""),
        ],
    );
    never(
        "contradicts_value",
        &[
            &|s| recognised(s, "github", None),
            &|s| recognised(s, "github", Some(true)),
            &|s| {
                let services = ["google".into(), "github".into()].into();
                s.recognised = Some(Arc::new(Recognised { services, kind: "key".into(), is_live: None }));
            },
            &|s| by_name(s, "stripe"),
            &|s| {
                by_name(s, "github");
                s.named_after = Box::default();
            },
            &|s| {
                recognised(s, "github", Some(false));
                s.environment = Environment::Any;
            },
        ],
    );
}

#[test]
fn broad_scopes_are_named() {
    let found = place(vec![Subject { broad_scopes: ["admin:org".into()].into(), ..fine("INVOICE_TOKEN") }]);
    assert_eq!(kinds(&found), ["broad_oauth_scopes"]);
    assert!(audit(&found)[0].1.message.contains("admin:org"));
    never("broad_oauth_scopes", &[&|_| {}, &|s| s.source = Source::OAuth]);
}

#[test]
fn an_owner_is_gone_where_nobody_leads_or_whoever_entered_it_left() {
    let mut all = place(vec![
        Subject { scope: Scope::Team, owner: "old".into(), ..fine("A_LEDGER") },
        Subject { scope: Scope::Team, owner: "empty".into(), ..fine("B_LEDGER") },
        Subject { entered_by: "gone".into(), ..fine("C_LEDGER") },
        Subject { entered_by: "gone".into(), scope: Scope::Team, owner: "core".into(), ..fine("D_LEDGER") },
        // Not these: somebody leads, whoever entered it is there, it is their own.
        Subject { scope: Scope::Team, owner: "core".into(), ..fine("E_LEDGER") },
        fine("F_LEDGER"),
        Subject {
            entered_by: "gone".into(),
            scope: Scope::Personal,
            owner: "ada".into(),
            ..fine("G_LEDGER")
        },
        Subject { scope: Scope::Team, owner: "ops".into(), entered_by: "max".into(), ..fine("H_LEDGER") },
    ]);
    all.gone.insert("gone".into());
    all.teams.insert("old".into(), TeamFacts { is_deleted: true, ..team("old", &["ada"]) });
    all.teams.insert("empty".into(), TeamFacts { has_keeper: false, ..team("empty", &["ada"]) });

    let found: BTreeSet<_> = audit(&all)
        .into_iter()
        .filter(|(_, f)| f.kind == FindingKind::OwnerGone)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(_, f)| all.credentials[f.credentials[0] as usize].name.to_string())
        .collect();

    assert_eq!(found, ["A_LEDGER", "B_LEDGER", "C_LEDGER", "D_LEDGER"].map(String::from).into());
}

#[test]
fn a_scope_is_too_wide_where_few_really_use_it() {
    assert_eq!(with(|s| s.uses = [used("ada", "c", 5)].into()), ["scope_too_wide"]);
    assert_eq!(with(|s| s.uses = [used("ada", "c", 3), used("tess", "c", 2)].into()), ["scope_too_wide"]);
    let of_team = |s: &mut Subject| (s.scope, s.owner) = (Scope::Team, "core".into());
    assert_eq!(
        with(|s| {
            of_team(s);
            s.uses = [used("ada", "c", 9)].into();
        }),
        ["scope_too_wide"]
    );
    never(
        "scope_too_wide",
        &[
            // Too few uses to tell; people of two teams; members of the team that has it.
            &|s| s.uses = [used("ada", "c", 4)].into(),
            &|s| s.uses = [used("ada", "c", 9), used("max", "c", 9)].into(),
            &|s| {
                of_team(s);
                s.uses = [used("ada", "c", 9), used("tess", "c", 1)].into();
            },
            &|s| {
                (s.scope, s.owner) = (Scope::Personal, "ada".into());
                s.uses = [used("ada", "c", 9)].into();
            },
            // A team of two is not narrower than one person by much.
            &|s| {
                (s.scope, s.owner) = (Scope::Team, "ops".into());
                s.uses = [used("max", "c", 9)].into();
            },
            // Only refused ones by the other.
            &|s| s.uses = Box::default(),
        ],
    );
}

#[test]
fn a_consumer_of_everybody_keeps_a_scope_wide() {
    let wide = Subject { uses: [used("ada", "c", 9)].into(), bound: vec![0], ..fine("INVOICE_TOKEN") };
    for (keeper, is_found) in [
        (Keeper::Everybody, false),
        (Keeper::Team("ops".into()), false),
        (Keeper::Person("max".into()), false),
        (Keeper::Person("ada".into()), true),
        (Keeper::Team("core".into()), true),
    ] {
        let mut all = place(vec![wide.clone()]);
        all.consumers = vec![Party { keeper: keeper.clone(), ..party("c") }];
        assert_eq!(kinds(&all).contains(&"scope_too_wide"), is_found, "{keeper:?}");
    }
}

#[test]
fn unused_is_told_in_three_steps() {
    for (days, kind) in [
        (31, "unused_30"),
        (90, "unused_30"),
        (91, "unused_90"),
        (180, "unused_90"),
        (181, "unused_180"),
        (900, "unused_180"),
    ] {
        assert_eq!(with(|s| s.last_used_at = Some(ago(days))), [kind], "{days}");
    }
    for kind in ["unused_30", "unused_90", "unused_180"] {
        never(
            kind,
            &[&|s| s.last_used_at = Some(ago(30)), &|s| s.last_used_at = None, &|s| {
                (s.last_used_at, s.value_set_at) = (Some(ago(300)), None);
            }],
        );
    }
}

#[test]
fn never_used_is_told_after_a_month() {
    assert_eq!(with(|s| s.last_used_at = None), ["never_used"]);
    never(
        "never_used",
        &[&|_| {}, &|s| (s.last_used_at, s.value_set_at) = (None, Some(ago(30))), &|s| {
            (s.last_used_at, s.value_set_at) = (None, None);
        }],
    );
}

#[test]
fn unbound_is_what_no_consumer_has() {
    assert_eq!(with(|s| s.uses = [used("ada", "", 2), used("max", "", 2)].into()), ["unbound"]);
    let by_hand = |s: &mut Subject| s.uses = Box::default();
    never(
        "unbound",
        &[
            &|_| {},
            &|s| {
                by_hand(s);
                s.is_granted_to_consumer = true;
            },
            &|s| {
                by_hand(s);
                (s.scope, s.owner) = (Scope::Personal, "ada".into());
            },
            &|s| {
                by_hand(s);
                s.value_set_at = Some(ago(30));
            },
            &|s| {
                by_hand(s);
                s.value_set_at = None;
            },
        ],
    );
    let mut all = place(vec![Subject { uses: Box::default(), bound: vec![0], ..fine("INVOICE_TOKEN") }]);
    all.consumers = vec![party("c")];
    assert!(kinds(&all).is_empty());
}

#[test]
fn a_better_name_is_proposed_where_one_is_known() {
    let proposed = |change: &dyn Fn(&mut Subject)| {
        let mut one = Subject { name: "API_KEY".into(), service: "".into(), ..fine("x") };
        change(&mut one);
        let found = audit(&place(vec![one]));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].1.facts.get("better_name").cloned()
    };
    assert_eq!(
        proposed(&|s| s.customary = Some("GITHUB_TOKEN".into())).as_deref(),
        Some("GITHUB_TOKEN_PROD")
    );
    assert_eq!(proposed(&|s| s.service = "my-service".into()).as_deref(), Some("MY_SERVICE_TOKEN_PROD"));
    assert_eq!(proposed(&|s| recognised(s, "stripe", None)).as_deref(), Some("STRIPE_TOKEN_PROD"));
    assert_eq!(proposed(&|_| {}), None);
    never("vague_name", &[&|_| {}, &|s| s.name = "STRIPE_KEY".into(), &|s| s.name = "LEDGER".into()]);
}

#[test]
fn a_description_is_for_others() {
    assert_eq!(with(|s| s.has_vague_description = true), ["vague_description"]);
    never(
        "vague_description",
        &[&|_| {}, &|s| {
            (s.scope, s.owner, s.has_vague_description) = (Scope::Personal, "ada".into(), true);
        }],
    );
}

fn printed(name: &str, prints: &[u8]) -> Subject {
    Subject { prints: prints.iter().map(|p| [*p; 15]).collect(), ..fine(name) }
}

#[test]
fn equal_values_are_one_finding_however_many_hold_them() {
    let all = place(vec![
        printed("A_LEDGER", &[1]),
        printed("B_LEDGER", &[2, 2]),
        printed("C_LEDGER", &[1, 3]),
        printed("D_LEDGER", &[]),
        printed("E_LEDGER", &[4]),
        printed("F_LEDGER", &[1]),
    ]);

    let found = audit(&all);

    assert_eq!(kinds(&all), ["duplicate_value"]);
    assert_eq!(found[0].1.credentials, [0, 2, 5]);
    // Two fields in common are one finding still.
    assert_eq!(
        kinds(&place(vec![printed("A_LEDGER", &[1, 2]), printed("B_LEDGER", &[1, 2])])),
        ["duplicate_value"]
    );
    for apart in [
        vec![printed("A_LEDGER", &[1]), printed("B_LEDGER", &[2])],
        vec![printed("A_LEDGER", &[1, 1])],
        vec![printed("A_LEDGER", &[]), printed("B_LEDGER", &[])],
        Vec::new(),
    ] {
        assert!(kinds(&place(apart)).is_empty());
    }
    assert!(kinds(&Inventory { compares: false, ..all }).is_empty());
}

#[test]
fn the_same_service_twice_is_in_one_place_for_one_account() {
    let one = |name: &str| Subject { account: "me".into(), ..fine(name) };
    assert_eq!(kinds(&place(vec![one("A_LEDGER"), one("B_LEDGER")])), ["same_service_twice"]);
    let apart: [&dyn Fn(&mut Subject); 6] = [
        &|s| s.account = "you".into(),
        &|s| s.environment = Environment::Dev,
        &|s| s.service = "stripe".into(),
        &|s| (s.scope, s.owner) = (Scope::Team, "core".into()),
        &|s| s.kind = CredentialType::Basic,
        &|s| s.service = "".into(),
    ];
    for (n, change) in apart.iter().enumerate() {
        let mut other = one("B_LEDGER");
        change(&mut other);
        assert!(kinds(&place(vec![one("A_LEDGER"), other])).is_empty(), "case {n}");
    }
    let nameless = |name: &str| Subject { service: "".into(), ..one(name) };
    assert!(kinds(&place(vec![nameless("A_LEDGER"), nameless("B_LEDGER")])).is_empty());
}

fn kept_by(owner: &str, id: &str) -> Subject {
    Subject {
        id: CredentialId::from(id),
        scope: Scope::Team,
        owner: owner.into(),
        account: "".into(),
        entered_by: "ada".into(),
        ..fine("LEDGER_TOKEN")
    }
}

#[test]
fn a_scope_is_too_narrow_where_many_places_keep_their_own() {
    let mut all = place(vec![kept_by("core", "1"), kept_by("ops", "2"), kept_by("third", "3")]);
    all.teams.insert("third".into(), team("third", &["ada"]));
    assert_eq!(kinds(&all), ["scope_too_narrow"]);
    let mine = Subject { scope: Scope::Personal, owner: "ada".into(), ..kept_by("ada", "3") };
    assert_eq!(
        kinds(&place(vec![kept_by("core", "1"), kept_by("ops", "2"), mine.clone()])),
        ["scope_too_narrow"]
    );

    all.org_names.insert("LEDGER_TOKEN".into());
    assert!(kinds(&all).is_empty(), "the org has one");
    assert!(kinds(&place(vec![kept_by("core", "1"), kept_by("ops", "2")])).is_empty());
    let other = Subject { environment: Environment::Dev, ..kept_by("ops", "2") };
    assert!(kinds(&place(vec![kept_by("core", "1"), other, mine])).is_empty());
    let same_place = vec![
        kept_by("core", "1"),
        Subject { kind: CredentialType::File, ..kept_by("core", "2") },
        kept_by("ops", "3"),
    ];
    assert!(kinds(&place(same_place)).is_empty());
}

fn consumer_with(change: impl FnOnce(&mut Party)) -> Vec<&'static str> {
    let mut all = place(Vec::new());
    let mut one = party("deployer");
    change(&mut one);
    all.consumers = vec![one];
    kinds(&all)
}

#[test]
fn a_consumer_fails_where_nothing_of_it_works() {
    let failing = |ok, failed| consumer_with(|p| (p.ok_lately, p.failed_lately) = (ok, failed));
    assert_eq!(failing(0, 3), ["failing_consumer"]);
    for (ok, failed) in [(0, 2), (1, 3), (0, 0), (100, 90)] {
        assert!(failing(ok, failed).is_empty(), "{ok} {failed}");
    }
}

#[test]
fn each_plain_secret_and_each_missing_one_is_a_finding_of_its_own() {
    assert_eq!(
        consumer_with(|p| p.plain_secrets = vec!["A_KEY".into(), "B_KEY".into()]),
        ["static_binding", "static_binding"]
    );
    let missing =
        |n: usize| ("VARIABLE".into(), format!("NAME_{n}").as_str().into(), BindingSource::OrgSecret);
    assert_eq!(consumer_with(|p| p.missing = vec![missing(1)]), ["missing_credential"]);
    assert!(consumer_with(|_| {}).is_empty());
    assert!(consumer_with(|p| p.keeper = Keeper::Person("ada".into())).is_empty());
}

#[test]
fn an_id_is_of_the_kind_and_what_it_is_about_and_facts_have_their_own_hash() {
    let all = place(vec![fine("A_LEDGER"), fine("B_LEDGER")]);
    let one = |n| Finding::on(FindingKind::Expired, vec![n]);
    assert_eq!(one(0).id(&all), one(0).fact("expired_at", "x").figure("uses", "9").id(&all));
    assert_ne!(one(0).id(&all), one(1).id(&all));
    assert_ne!(one(0).id(&all), Finding::on(FindingKind::Unbound, vec![0]).id(&all));
    let other_org = Inventory { org: "globex".into(), ..place(vec![fine("A_LEDGER")]) };
    assert_ne!(one(0).id(&all), one(0).id(&other_org));

    let facts = |text: &str| one(0).fact("expired_at", text).facts_hash(&all);
    assert_eq!(facts("x"), one(0).fact("expired_at", "x").figure("uses", "9").facts_hash(&all));
    assert_ne!(facts("x"), facts("y"));
    assert_ne!(facts("x"), shown_id(one(0).id(&all)));
}

proptest! {
    #[test]
    fn the_same_facts_give_the_same_report_in_whatever_order_they_come(seed in any::<u64>(), turn in 0usize..12) {
        let bit = |n: usize| seed >> n & 1 == 1;
        let all: Vec<_> = (0..12)
            .map(|n| Subject {
                prints: if bit(n) { [[1; 15]].into() } else { Box::default() },
                is_weak: bit(n + 12),
                account: if bit(n + 24) { "me".into() } else { n.to_string().as_str().into() },
                has_vague_description: bit(n + 36),
                ..fine(&format!("LEDGER_{}", char::from(b'A' + n as u8)))
            })
            .collect();
        let mut turned = all.clone();
        turned.rotate_left(turn);
        let told = |credentials: Vec<Subject>| {
            let inventory = place(credentials);
            audit(&inventory).into_iter().map(|(id, f)| (id, f.facts_hash(&inventory), f.kind)).collect::<Vec<_>>()
        };
        // What is read comes in the order of ids.
        turned.sort_by(|a, b| a.id.cmp(&b.id));
        prop_assert_eq!(told(all.clone()), told(turned));
        prop_assert_eq!(told(all.clone()), told(all));
    }
}

fn need() -> Need {
    let members = |all: &[&str]| all.iter().map(|m| Arc::from(*m)).collect::<BTreeSet<Arc<str>>>();
    Need {
        caller: "ada".into(),
        teams: vec![
            ("core".into(), "core".into(), members(&["ada", "mia", "tess"])),
            ("ops".into(), "ops".into(), members(&["max", "mia"])),
        ],
        ..Need::default()
    }
}

fn advised(plan: SharingPlan, change: impl FnOnce(&mut Need)) -> (Scope, String) {
    let mut one = need();
    change(&mut one);
    let advice = advise(plan, &one);
    assert!(!advice.reasons.is_empty() && plan.allows(advice.scope), "{advice:?}");
    (advice.scope, advice.team.map(|(id, _)| id.to_string()).unwrap_or_default())
}

fn served(keeper: Keeper) -> impl FnOnce(&mut Need) {
    move |need| need.consumers = vec![("c".into(), keeper)]
}

#[test]
fn the_narrowest_scope_that_serves_everybody_is_recommended() {
    let multi = SharingPlan::MultiTeam;
    let (own, of_core, of_org) =
        ((Scope::Personal, String::new()), (Scope::Team, "core".to_owned()), (Scope::Org, String::new()));
    assert_eq!(advised(multi, |_| {}), own);
    assert_eq!(advised(multi, served(Keeper::Person("ada".into()))), own);
    assert_eq!(advised(multi, served(Keeper::Team("core".into()))), of_core);
    assert_eq!(advised(multi, served(Keeper::Everybody)), of_org);
    assert_eq!(advised(multi, |n| n.users = ["ada".into(), "tess".into()].into()), of_core);
    assert_eq!(advised(multi, |n| n.users = ["tess".into(), "max".into()].into()), of_org);
    assert_eq!(advised(multi, |n| n.users = ["mia".into(), "max".into()].into()).1, "ops");
    assert_eq!(
        advised(multi, |n| {
            n.users = ["ada".into()].into();
            n.consumers = vec![("c".into(), Keeper::Team("ops".into()))];
        }),
        of_org
    );
    assert_eq!(advised(multi, |n| n.purpose = "CI of the site".into()), of_core);
    assert_eq!(advised(multi, |n| n.purpose = "my own bot".into()), own);
}

#[test]
fn no_more_is_recommended_than_the_plan_allows() {
    assert_eq!(advised(SharingPlan::Workspace, served(Keeper::Team("core".into()))).0, Scope::Org);
    assert_eq!(advised(SharingPlan::SingleTeam, served(Keeper::Everybody)).0, Scope::Team);
    assert_eq!(
        advised(SharingPlan::SingleTeam, |n| {
            served(Keeper::Everybody)(n);
            n.teams.clear();
        })
        .0,
        Scope::Personal
    );
    for plan in [SharingPlan::Workspace, SharingPlan::SingleTeam] {
        assert_eq!(advised(plan, |_| {}).0, Scope::Personal);
    }
    assert!(trade_off(SharingPlan::Workspace, Scope::Team).contains("not allowed"));
}
