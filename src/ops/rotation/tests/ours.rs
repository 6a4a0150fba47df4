//! Values that we make and tell the service: sealed first, told once, and what went wrong is said.
use super::*;
use crate::error::Code;
use crate::model::credential::Scope;
use crate::testing::FormYes;
use std::time::Duration;

impl Rig {
    /// Its service is told values of ours, and the rotation waits for one.
    async fn told(overlaps: bool, hears: Hears) -> Self {
        let rig = Self::new(overlaps, false).await;
        rig.service.is_told(hears);
        rig.start().await.unwrap();
        rig
    }

    /// One more credential, with whose rights its service is told; of `login` alone where it is personal.
    async fn administered_by(&self, login: &str, scope: Scope) -> String {
        let new =
            CreateCredential { name: "ADMIN".into(), scope: Some(scope), ..CreateCredential::default() };
        let values = vec![("value".to_owned(), SecretBytes::copied(b"of-the-admin"))];
        let caller = self.w.person(login);
        let made = enter_value(&self.w.app, &caller, Target::New(Box::new(new)), values, String::new()).await;
        let id = made.unwrap().id;
        self.service.with(|s| s.admin = Some(id.as_str().into()));
        id
    }

    async fn unknown_calls(&self) -> usize {
        self.look().await["unknown_calls"].as_array().map_or(0, Vec::len)
    }

    /// Nothing was told, nothing is kept of it, and nothing stands in the way of another try.
    async fn expect_untouched(&self, what: &str) {
        assert!(self.service.told_by().is_empty(), "{what}: its service was told");
        assert_eq!(self.held().await, [(Stage::Current, self.first.clone())], "{what}");
        assert_eq!(
            (self.stage().await.as_str(), self.unknown_calls().await),
            ("awaiting_value", 0),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_value_of_ours_is_kept_told_tested_and_served_and_the_log_has_intent_and_outcome() {
    let rig = Rig::told(true, Hears::Takes).await;
    assert_eq!(rig.look().await["next_step"], "make");

    let told = rig.call("advance_rotation", json!({ "rotation": rig.id })).await.unwrap();

    assert_eq!(told["rotation"]["stage"], "staged");
    let new = rig.kept(Stage::Pending).await.remove(0);
    assert!(rig.service.takes(&new) && rig.service.takes(&rig.first));
    assert_eq!(rig.served().await, rig.first);
    let log = rig.w.log().await;
    let at = |line: &str| log.iter().position(|l| l == line).unwrap_or_else(|| panic!("{line}: {log:?}"));
    assert!(
        at("use started") < at("rotation_call started")
            && at("rotation_call started") < at("rotation_call ok")
    );
    for step in ["verify", "promote"] {
        rig.step(step).await.unwrap();
    }
    rig.word("confirm").await.unwrap();
    rig.step("revoke_old").await.unwrap();
    rig.step("close").await.unwrap();
    assert_eq!(rig.held().await, [(Stage::Current, new)]);
    assert!(!rig.service.takes(&rig.first) && rig.w.chain_is_whole().await);
}

#[tokio::test]
async fn a_lost_answer_of_a_value_that_arrived_is_settled_by_its_test() {
    for overlaps in [true, false] {
        let rig = Rig::told(overlaps, Hears::Loses { but_takes: true }).await;

        let told = rig.step("make").await.unwrap();

        assert!(told["done"].as_str().unwrap().contains("not known"), "{told}");
        assert!(told["rotation"]["trouble"].as_str().unwrap().contains("a test of it tells"), "{told}");
        assert_eq!(rig.unknown_calls().await, 1);
        assert_eq!(rig.step("verify").await.unwrap()["rotation"]["stage"], "verified");
        assert_eq!(rig.unknown_calls().await, 0);
    }
}

#[tokio::test]
async fn what_a_test_has_told_before_the_answer_is_lost_stays_told() {
    let rig = Rig::told(true, Hears::TakesLong).await;

    let slow = async {
        while rig.service.told_by().is_empty() {
            tokio::task::yield_now().await;
        }
        let verified = rig.step("verify").await.unwrap();
        rig.service.answers.notify_one();
        verified
    };
    let (made, verified) = tokio::join!(rig.step("make"), slow);

    assert_eq!(verified["rotation"]["stage"], "verified");
    made.unwrap();
    let shown = rig.look().await;
    assert_eq!((shown["stage"].as_str(), shown["trouble"].as_str()), (Some("verified"), None));
    assert_eq!(rig.unknown_calls().await, 0);
    rig.step("promote").await.unwrap();
}

#[tokio::test]
async fn the_administrating_credential_is_used_under_the_rules_of_any_use() {
    let rig = Rig::told(true, Hears::Takes).await;
    let admin = rig.administered_by("ada", Scope::Org).await;

    rig.step("make").await.unwrap();

    assert_eq!(rig.service.told_by(), [Some("of-the-admin".to_owned())]);
    let found = rig.call("search_audit_log", json!({ "credential": admin })).await.unwrap().to_string();
    assert!(found.contains("rotation set") && !found.contains("of-the-admin"), "{found}");
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
}

#[tokio::test]
async fn a_value_that_its_service_refuses_ends_and_another_may_be_made() {
    for overlaps in [true, false] {
        let rig = Rig::told(overlaps, Hears::Refuses).await;

        let refused = rig.step("make").await.unwrap_err();

        assert_eq!(refused.code, Code::Unreachable);
        assert!(refused.message().contains("its service refused it"), "{refused}");
        assert_eq!(rig.held().await, [(Stage::Current, rig.first.clone())]);
        assert_eq!((rig.stage().await.as_str(), rig.unknown_calls().await), ("awaiting_value", 0));
        assert!(rig.w.log().await.contains(&"rotation_call failed".to_owned()));
        rig.service.is_told(Hears::Takes);
        rig.step("make").await.unwrap();
        assert_eq!(rig.step("verify").await.unwrap()["rotation"]["stage"], "verified");
    }
}

#[tokio::test]
async fn what_its_driver_says_went_wrong_is_told_to_the_person() {
    let rig = Rig::told(true, Hears::Fails { with_value: false }).await;

    let refused = rig.step("make").await.unwrap_err();

    assert!(refused.message().contains("role app_b is not there (42704)"), "{refused}");
    let trouble = rig.look().await["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("role app_b is not there (42704)"), "{trouble}");
}

#[tokio::test]
async fn words_of_a_driver_that_have_a_value_in_them_are_not_shown() {
    let rig = Rig::told(true, Hears::Fails { with_value: true }).await;

    let refused = rig.step("make").await.unwrap_err();

    let shown = format!("{} {} {}", refused.message(), refused.next_step(), rig.look().await);
    assert!(shown.contains("is not shown") && !shown.contains("ours-"), "{shown}");
    let rig = Rig::told(true, Hears::Cannot).await;
    let refused = rig.step("make").await.unwrap_err();
    let shown = format!("{} {} {}", refused.message(), refused.next_step(), rig.look().await);
    assert!(shown.contains("is not shown") && !shown.contains(&rig.first), "{shown}");
}

#[tokio::test]
async fn what_fails_before_the_call_leaves_no_call_and_blocks_nothing() {
    let rig = Rig::told(true, Hears::Cannot).await;

    assert_eq!(rig.step("make").await.unwrap_err().code, Code::InvalidInput);

    rig.expect_untouched("no value could be made").await;
    assert!(!rig.w.log().await.contains(&"rotation_call started".to_owned()));
    rig.service.is_told(Hears::Takes);
    rig.step("make").await.unwrap();
}

#[tokio::test]
async fn a_service_that_is_down_is_told_nothing_and_may_be_told_later() {
    let rig = Rig::told(false, Hears::Takes).await;
    rig.service.is_down(true);

    let refused = rig.step("make").await.unwrap_err();

    assert!(refused.message().contains("it is down"), "{refused}");
    rig.expect_untouched("down").await;
    rig.service.is_down(false);
    rig.step("make").await.unwrap();
}

#[tokio::test]
async fn a_value_that_may_still_arrive_is_told_once_and_outlives_its_refusal() {
    let rig = Rig::told(false, Hears::Loses { but_takes: false }).await;
    rig.step("make").await.unwrap();
    let new = rig.kept(Stage::Pending).await.remove(0);
    assert_eq!(rig.step("verify").await.unwrap()["rotation"]["tested"], "refused");

    let again = rig.step("make").await.unwrap_err();

    assert_eq!(again.code, Code::WrongStage);
    assert!(again.message().contains("is not known"), "{again}");
    assert_eq!(rig.service.told_by().len(), 1);
    rig.hours(30);
    rig.pass().await;
    assert_eq!(rig.kept(Stage::Pending).await, std::slice::from_ref(&new));
    let aborted = rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    assert!(aborted["done"].as_str().unwrap().contains("kept unserved"), "{aborted}");
    assert_eq!(rig.kept(Stage::Pending).await, std::slice::from_ref(&new));
    // It arrives after all.
    rig.service.end(&rig.first);
    rig.service.with(|s| s.alive.insert(new.clone(), "acme".into()));
    rig.start().await.unwrap();
    assert_eq!(rig.step("verify").await.unwrap()["rotation"]["stage"], "verified");
}

#[tokio::test]
async fn a_crash_between_intent_and_outcome_loses_nothing_and_tells_nothing_twice() {
    for overlaps in [true, false] {
        let mut rig = Rig::told(overlaps, Hears::Takes).await;
        rig.service.cut_off(true);
        let cut = tokio::time::timeout(Duration::from_millis(300), rig.step("make")).await;
        assert!(cut.is_err(), "the process is gone in the middle of the call");
        rig.service.cut_off(false);
        rig.reopen();

        let refused = rig.step("make").await.unwrap_err();

        assert_eq!((refused.code, rig.service.told_by().len()), (Code::WrongStage, 1));
        assert_eq!((rig.unknown_calls().await, rig.stage().await.as_str()), (1, "staged"));
        let new = rig.kept(Stage::Pending).await.remove(0);
        assert!(rig.service.takes(&new), "we hold what the service takes");
        rig.step("verify").await.unwrap();
        assert_eq!(rig.unknown_calls().await, 0);
        rig.step("promote").await.unwrap();
        assert_eq!(rig.served().await, new);
    }
}

#[tokio::test]
async fn who_may_not_use_the_administrating_credential_changes_nothing_with_it() {
    let rig = Rig::told(true, Hears::Takes).await;
    let of_mia = rig.administered_by("mia", Scope::Personal).await;

    let refused = rig.step("make").await.unwrap_err();

    assert_eq!(refused.code, Code::NotAllowed);
    assert!(!refused.message().contains("ADMIN") && !refused.next_step().contains(&of_mia), "{refused}");
    rig.expect_untouched("another's").await;
    assert!(rig.w.log().await.contains(&"advance_rotation refused not_allowed".to_owned()));
    // Somebody who may use both goes on.
    let grant = json!({ "credential": rig.id, "user": "mia", "level": "manage", "reason": "she helps" });
    rig.call("share_credential", grant).await.unwrap();
    let wanted = json!({ "rotation": rig.id, "step": "make" });
    rig.w.call_with(&rig.w.caller("mia"), "advance_rotation", wanted, &PersonYes).await.unwrap();
    assert_eq!(rig.service.told_by(), [Some("of-the-admin".to_owned())]);
}

#[tokio::test]
async fn an_administrating_credential_that_is_none_is_told_and_changes_nothing() {
    let rig = Rig::told(true, Hears::Takes).await;
    for (what, id, code) in [
        ("unknown", "01ARZ3NDEKTSV4RRFFQ69G5FAV", Code::NotAllowed),
        ("by its name, which could be anybody's own", "KEY", Code::NotAllowed),
        ("the one that is rotated", rig.id.as_str(), Code::InvalidInput),
    ] {
        rig.service.with(|s| s.admin = Some(id.into()));
        assert_eq!(rig.step("make").await.unwrap_err().code, code, "{what}");
        rig.expect_untouched(what).await;
    }
    let admin = rig.administered_by("ada", Scope::Org).await;
    let ends = (rig.w.app.now().plus_days(1)).to_string();
    rig.call("update_credential", json!({ "credential": admin, "expires_at": ends })).await.unwrap();
    rig.hours(30);
    rig.step("enter").await.unwrap();
    assert_eq!(rig.step("make").await.unwrap_err().code, Code::CredentialExpired);
    rig.expect_untouched("expired").await;
    let gone = json!({ "credential": admin, "reason": "a test" });
    rig.call("delete_credential", gone).await.unwrap();
    assert_eq!(rig.step("make").await.unwrap_err().code, Code::Deleted);
    rig.expect_untouched("in the bin").await;
}

#[tokio::test]
async fn what_ends_the_old_value_at_once_needs_a_person() {
    let rig = Rig::told(false, Hears::Takes).await;
    let wanted = json!({ "rotation": rig.id, "step": "make" });

    let asked = rig.w.refused(&rig.w.caller("ada"), "advance_rotation", wanted.clone()).await;
    let form = rig.w.call_with(&rig.w.caller("ada"), "advance_rotation", wanted, &FormYes).await.unwrap_err();

    assert_eq!((asked.code, form.code), (Code::ApprovalRequired, Code::ApprovalRequired));
    rig.expect_untouched("nobody agreed").await;
    let id = asked.details()[0].1.clone();
    crate::ops::approval::approve(&rig.w.app, &rig.w.person("ada"), &id).await.unwrap();
    assert_eq!((rig.stage().await.as_str(), rig.service.told_by().len()), ("staged", 1));
}

#[tokio::test]
async fn what_a_service_may_have_made_and_not_said_is_told_and_not_asked_for_again() {
    let rig = Rig::new(true, false).await;
    rig.service.with(|s| s.hears = Hears::Loses { but_takes: true });
    rig.start().await.unwrap();

    let refused = rig.step("make").await.unwrap_err();

    assert!(refused.message().contains("is not known"), "{refused}");
    assert_eq!(rig.unknown_calls().await, 1);
    assert_eq!(rig.step("make").await.unwrap_err().code, Code::WrongStage);
    assert_eq!(rig.service.with(|s| s.made), 2, "one for the beginning, and one that nobody has");
    rig.make_and_enter().await;
    assert_eq!(rig.stage().await, "staged");
}

#[tokio::test]
async fn where_the_service_takes_neither_value_nothing_is_given_up() {
    let rig = Rig::new(false, true).await;
    rig.start().await.unwrap();
    let good = rig.make_and_enter().await;
    rig.enter("mistyped").await.unwrap();
    rig.word("promote").await.unwrap();
    rig.word("confirm").await.unwrap();

    let refused = rig.step("revoke_old").await.unwrap_err();

    assert_eq!(refused.code, Code::WrongStage);
    assert!(refused.message().contains("neither"), "{refused}");
    assert!(rig.kept(Stage::Pending).await.contains(&good));
}

#[tokio::test]
async fn a_value_that_its_service_was_told_outlives_what_the_service_says_later() {
    for ending in ["abort", "time", "delete"] {
        let rig = Rig::told(false, Hears::Takes).await;
        rig.step("make").await.unwrap();
        let new = rig.kept(Stage::Pending).await.remove(0);
        // Locked out for an hour, it takes neither.
        rig.service.end(&new);
        assert_eq!(rig.step("verify").await.unwrap()["rotation"]["tested"], "refused");

        match ending {
            "abort" => drop(rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap()),
            "time" => {
                rig.hours(30);
                rig.pass().await;
            }
            _ => {
                let wanted = json!({ "credential": rig.id, "reason": "a test" });
                rig.w.call_with(&rig.w.person("ada"), "delete_credential", wanted, &PersonYes).await.unwrap();
            }
        }

        assert_eq!(rig.kept(Stage::Pending).await, [new], "{ending}");
    }
}

#[tokio::test]
async fn what_was_served_once_outlives_a_refusal_in_the_next_rotation() {
    let rig = Rig::new(true, true).await;
    let new = rig.promoted().await;
    rig.call("advance_rotation", json!({ "rotation": rig.id, "step": "roll_back" })).await.unwrap();
    rig.start().await.unwrap();
    rig.service.end(&new);
    assert_eq!(rig.step("verify").await.unwrap()["rotation"]["tested"], "refused");

    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();

    assert_eq!(rig.kept(Stage::Pending).await, [new]);
}

#[tokio::test]
async fn what_was_kept_because_it_may_be_the_only_one_stays_that_whatever_the_service_is_called_later() {
    let rig = Rig::new(false, true).await;
    rig.start().await.unwrap();
    let new = rig.make_and_enter().await;
    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    let wanted = json!({ "credential": rig.id, "service": "github" });
    rig.w.call_with(&rig.w.person("ada"), "update_credential", wanted, &PersonYes).await.unwrap();
    rig.start().await.unwrap();
    assert_eq!(rig.look().await["way"], "overlap");

    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();

    assert_eq!(rig.kept(Stage::Pending).await, [new]);
}

#[tokio::test]
async fn where_the_service_has_ended_the_old_one_no_failure_brings_it_back_by_itself() {
    let rig = Rig::told(false, Hears::Takes).await;
    rig.bind("deploy").await;
    for step in ["make", "verify", "promote"] {
        rig.step(step).await.unwrap();
    }
    let new = rig.served().await;
    rig.run("deploy").await;

    assert_eq!(rig.report("deploy", "failed").await["rotations"][0]["result"], "noted");

    assert_eq!(rig.served().await, new);
    // A person may.
    rig.step("roll_back").await.unwrap();
    assert_eq!(rig.served().await, rig.first);
}
