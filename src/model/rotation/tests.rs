use super::*;
use RotationStage as S;

/// What leads where, written by hand: `.` is refused. A row a stage, a column a transition.
///
/// await, stage, test (valid), test (refused), promote, confirm, old revoked, close, abort, roll back, shelve.
const TABLE: &str = "
  planned         awaiting_value staged .        .      .        .         .           .      aborted .           .
  awaiting_value  awaiting_value staged .        .      .        .         .           .      aborted .           planned
  staged          .              staged verified staged promoted .         .           .      aborted .           .
  verified        .              staged verified staged promoted .         .           .      aborted .           .
  promoted        .              .      .        .      .        confirmed .           .      .       rolled_back .
  confirmed       .              .      .        .      .        .         old_revoked .      .       rolled_back .
  old_revoked     .              .      .        .      .        .         .           closed .       .           .
  closed          .              .      .        .      .        .         .           .      .       .           .
  aborted         .              .      .        .      .        .         .           .      .       .           .
  rolled_back     .              .      .        .      .        .         .           .      .       .           .
";
const TRANSITIONS: usize = 11;

fn table() -> Vec<(S, Vec<Option<S>>)> {
    let stage = |word: &str| S::parse(word);
    TABLE
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let from = stage(words.next().unwrap()).unwrap();
            let to: Vec<_> = words.map(stage).collect();
            assert_eq!(to.len(), TRANSITIONS, "{line}");
            (from, to)
        })
        .collect()
}

fn fresh() -> Rotation {
    Rotation {
        id: "r".into(),
        org_id: "o".into(),
        credential_id: "c".into(),
        campaign: String::new(),
        rank: 0,
        way: Way::Overlap,
        stage: S::Planned,
        is_open: true,
        old_version: Some(1),
        new_version: None,
        finding: Finding::Untested,
        old_finding: Finding::Untested,
        trouble: String::new(),
        started_by: "u".into(),
        owner: "u".into(),
        started_at: Millis(0),
        changed_at: Millis(0),
        due_at: None,
        promoted_at: None,
        ended_at: None,
        revision: 1,
    }
}

fn step(r: Rotation, which: usize, now: Millis) -> Result<Rotation> {
    match which {
        0 => r.awaiting(now),
        1 => r.staged(2, now),
        2 => r.tested(Finding::Valid, String::new(), now),
        3 => r.tested(Finding::Refused, "no".into(), now),
        4 => r.promoted(now),
        5 => r.confirmed(now),
        6 => r.old_revoked(now),
        7 => r.closed(now),
        8 => r.aborted(now),
        9 => r.rolled_back(now),
        _ => r.shelved(now),
    }
}

/// Repeats itself: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn f_10_a_hundred_thousand_orders_of_steps_go_as_the_table_says() {
    let table = table();
    let (mut dice, mut taken, mut refused) = (Dice(1), 0, 0);
    for _ in 0..100_000 {
        let (mut r, mut now) = (fresh(), Millis(0));
        for _ in 0..12 {
            let which = dice.throw(TRANSITIONS);
            now = now.plus_ms(dice.throw(1000) as i64);
            let (from, to) = table.iter().find(|(from, _)| *from == r.stage).unwrap();
            match (step(r.clone(), which, now), to[which]) {
                (Ok(next), Some(expected)) => {
                    assert_eq!(next.stage, expected, "{from} by {which}");
                    assert_eq!(next.is_open, expected.is_open());
                    assert_eq!(next.ended_at.is_some(), !next.is_open);
                    assert_eq!(next.next_step().is_some(), next.is_open);
                    assert!(next.promoted_at.is_some() || !matches!(expected, S::Promoted | S::Confirmed));
                    r = next;
                    taken += 1;
                }
                (Err(e), None) => {
                    assert_eq!(e.code, Code::WrongStage);
                    refused += 1;
                }
                (done, expected) => panic!("{from} by {which}: {done:?}, not {expected:?}"),
            }
        }
    }
    assert!(taken > 100_000 && refused > 100_000, "{taken} {refused}");
}

#[test]
fn a_value_is_taken_from_the_moment_it_is_waited_for_until_it_is_served() {
    let taking: Vec<_> = table()
        .into_iter()
        .map(|(stage, _)| stage)
        .filter(|stage| Rotation { stage: *stage, ..fresh() }.takes_value())
        .collect();

    assert_eq!(taking, [S::AwaitingValue, S::Staged, S::Verified]);
    let connection = Rotation { stage: S::AwaitingValue, way: Way::Reconnect, ..fresh() };
    assert!(!connection.takes_value());
}

#[test]
fn another_value_is_untested_and_a_failed_test_takes_the_yes_back() {
    let r = fresh().staged(2, Millis(0)).unwrap().tested(Finding::Valid, String::new(), Millis(0)).unwrap();
    assert!(!r.lacks_test());

    let another = r.clone().staged(3, Millis(1)).unwrap();
    let failed = r.tested(Finding::CouldNotCheck, "down".into(), Millis(1)).unwrap();

    assert!(another.lacks_test() && another.finding == Finding::Untested);
    assert!(failed.lacks_test() && failed.next_step() == Some(Step::Promote));
}

#[test]
fn a_failure_counts_for_the_new_version_while_the_window_lasts_and_never_for_a_connection() {
    let r = fresh().staged(2, Millis(0)).unwrap().promoted(Millis(0)).unwrap();
    let end = Millis(CONFIRM_WINDOW_MS);

    assert!(r.falls_back_on(2, Millis(1)) && !r.falls_back_on(1, Millis(1)) && !r.falls_back_on(2, end));
    let confirmed = r.clone().confirmed(Millis(5)).unwrap();
    assert!(confirmed.falls_back_on(2, Millis(6)));
    assert!(!confirmed.old_revoked(Millis(7)).unwrap().falls_back_on(2, Millis(8)));
    let connection = Rotation { way: Way::Reconnect, ..r };
    assert!(!connection.falls_back_on(2, Millis(1)));
    assert_eq!(connection.rolled_back(Millis(1)).unwrap_err().code, Code::WrongStage);
}

#[test]
fn the_narrowest_policy_counts_and_never_is_one() {
    assert_eq!(effective_days(Some(5), Some(30), Some(90)), Some(5));
    assert_eq!(effective_days(None, Some(30), Some(90)), Some(30));
    assert_eq!(effective_days(None, None, Some(90)), Some(90));
    assert_eq!(effective_days(Some(0), Some(30), Some(90)), None);
    assert_eq!(effective_days(None, None, None), None);
}
