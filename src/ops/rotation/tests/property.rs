//! Any order of steps, crashes and jumps of the clock, against a simulated service.
//!
//! Where old and new work side by side, we hold a value that the service takes, at any time. Where they do not, one can be
//! lost only between the service's answer and our commit, and that is told.
use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Clone, Debug)]
enum Op {
    Start,
    Enter,
    EnterWrong,
    OtherAccount,
    Step(&'static str),
    Word(&'static str),
    /// Whatever comes next, with a reason.
    Next,
    /// The step is cut off in the middle of its call, and the process with it.
    CutOff(&'static str),
    EndOldOnThePage,
    Abort,
    Report(&'static str),
    Hours(i64),
    Pass,
    Reopen,
    Down(bool),
}

const STEPS: [&str; 8] =
    ["enter", "make", "verify", "promote", "confirm", "revoke_old", "close", "roll_back"];

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Start),
        4 => Just(Op::Enter),
        1 => Just(Op::EnterWrong),
        1 => Just(Op::OtherAccount),
        14 => prop::sample::select(&STEPS[..]).prop_map(Op::Step),
        8 => prop::sample::select(vec!["verify", "promote", "confirm", "revoke_old", "close"]).prop_map(Op::Step),
        4 => prop::sample::select(vec!["confirm", "revoke_old", "promote"]).prop_map(Op::Word),
        2 => prop::sample::select(vec!["make", "revoke_old"]).prop_map(Op::CutOff),
        12 => Just(Op::Next),
        2 => Just(Op::EndOldOnThePage),
        1 => Just(Op::Abort),
        2 => prop::sample::select(vec!["ok", "failed"]).prop_map(Op::Report),
        3 => (-30i64..40).prop_map(Op::Hours),
        2 => Just(Op::Pass),
        1 => Just(Op::Reopen),
        1 => any::<bool>().prop_map(Op::Down),
    ]
}

impl Rig {
    /// Does it, whatever comes of it. What is refused changes nothing that matters here.
    async fn do_it(&mut self, op: &Op) {
        match op {
            Op::Start => drop(self.start().await),
            Op::Enter => {
                // Who makes one on the page enters it: what they lose on the way is not ours to keep.
                let text = self.service.make("acme");
                self.enter(&text).await.unwrap();
            }
            Op::EnterWrong => self.enter_if_waiting("mistyped").await,
            Op::OtherAccount if self.service.overlaps => {
                let text = self.service.make("somebody else's");
                self.enter_if_waiting(&text).await;
                self.service.end(&text);
            }
            Op::OtherAccount => {}
            Op::Step(step) => drop(self.step(step).await),
            Op::Word(step) => drop(self.word(step).await),
            Op::Next => {
                let wanted = json!({ "rotation": self.id, "reason": "it is time" });
                drop(self.call("advance_rotation", wanted).await);
            }
            Op::CutOff(step) => {
                self.service.cut_off(true);
                let _ = tokio::time::timeout(std::time::Duration::from_millis(60), self.step(step)).await;
                self.service.cut_off(false);
                self.reopen();
            }
            Op::EndOldOnThePage => self.end_old_on_the_page().await,
            Op::Abort => drop(self.call("abort_rotation", json!({ "rotation": self.id })).await),
            Op::Report(outcome) => {
                let _ = self.run("deploy").await;
                // Programs fail for other reasons too; none says that it works with what the service does not take.
                let works = !self.service.with(|s| s.is_down) && self.service.takes(&self.served().await);
                if *outcome == "failed" || works {
                    self.report("deploy", outcome).await;
                }
            }
            Op::Hours(hours) => self.hours(*hours),
            Op::Pass => drop(self.pass().await),
            Op::Reopen => self.reopen(),
            Op::Down(is_down) => self.service.is_down(*is_down),
        }
    }

    /// A wrong value that would take the old one's place at once is no step of a rotation.
    async fn enter_if_waiting(&self, text: &str) {
        let found = self.call("get_rotation", json!({ "rotation": self.id })).await;
        let is_waiting = found.is_ok_and(|found| {
            ["awaiting_value", "staged", "verified"].iter().any(|stage| found["stage"] == *stage)
        });
        if is_waiting {
            self.enter(text).await.unwrap();
        }
    }

    /// A person ends the old one there once the new one is confirmed, and it works.
    async fn end_old_on_the_page(&self) {
        let Ok(found) = self.call("get_rotation", json!({ "rotation": self.id })).await else { return };
        let served = self.served().await;
        if found["stage"] == "confirmed" && self.service.takes(&served) {
            for text in self.kept(Stage::Previous).await {
                self.service.end(&text);
            }
        }
    }

    async fn holds_one_that_works(&self) -> bool {
        self.held().await.iter().any(|(_, text)| self.service.takes(text))
    }

    async fn is_told(&self) -> bool {
        let found = self.call("get_rotation", json!({ "rotation": self.id })).await;
        found.is_ok_and(|found| found["unknown_calls"].as_array().is_some_and(|all| !all.is_empty()))
    }
}

fn cases(default: u32) -> u32 {
    std::env::var("UNSAID_ROTATION_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Who makes new values, besides the person who enters one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Hand,
    Service,
    Us,
}

/// One case a vault: crashes reopen it.
fn run(overlaps: bool, by: By, number: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: cases(number), failure_persistence: None, ..Config::default() };
    let ops = prop::collection::vec(any_op(), 1..40);
    TestRunner::new(config)
        .run(&ops, |ops| {
            runtime.block_on(async {
                let mut rig = Rig::new(overlaps, by == By::Hand).await;
                if by == By::Us {
                    rig.service.is_told(Hears::Takes);
                }
                rig.bind("deploy").await;
                let (mut was_cut_off, mut last) = (false, Vec::new());
                for op in &ops {
                    rig.do_it(op).await;
                    last.push(format!("{op:?}"));
                    was_cut_off |= matches!(op, Op::CutOff("make")) && !overlaps && by == By::Service;
                    // Exactly one is served, whatever happens.
                    rig.served().await;
                    if rig.holds_one_that_works().await {
                        continue;
                    }
                    prop_assert!(!overlaps, "nothing that we hold works any more, after {last:?}");
                    prop_assert!(was_cut_off, "lost without a crash, after {last:?}");
                    prop_assert!(rig.is_told().await, "lost and not told, after {last:?}");
                    // Nobody has it: the person makes another.
                    return Ok(());
                }
                prop_assert!(rig.w.chain_is_whole().await);
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn side_by_side_we_always_hold_a_value_that_works_by_hand() {
    run(true, By::Hand, 20);
}

#[test]
fn side_by_side_we_always_hold_a_value_that_works_by_its_driver() {
    run(true, By::Service, 20);
}

#[test]
fn without_overlap_a_value_is_lost_between_answer_and_commit_alone_and_told() {
    run(false, By::Service, 20);
}

#[test]
fn without_overlap_nothing_is_lost_by_hand() {
    run(false, By::Hand, 20);
}

#[test]
fn side_by_side_we_always_hold_a_value_that_works_where_we_make_it() {
    run(true, By::Us, 20);
}

#[test]
fn without_overlap_nothing_is_lost_where_we_make_it_whatever_is_cut_off() {
    run(false, By::Us, 20);
}
