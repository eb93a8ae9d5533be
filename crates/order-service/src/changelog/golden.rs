//! The changelog of older versions, see `tests/golden/README.md`.

use order_events::{CreateOrderPayload, OrderItem, Reason};
use rdkafka::Message;

use super::{
    Barrier, ChangelogEntry, Checkpoint, Checkpoints, Cut, Identity, Key, OrderState, OutcomeRun,
    OutcomeWindow, Progress,
};
use crate::event::key::EventKey;
use crate::event::original::{OriginalHeader, OriginalRecord};
use crate::event::outcome::Outcome;
use crate::event::state::{HeldUpdate, RememberedEvent};
use crate::golden::{Codecs, Line, lines};
use crate::view::outcomes::Outcomes;

fn remembered(id: &str, fingerprint: i64, offset: i64) -> RememberedEvent {
    RememberedEvent { key: EventKey::of(id), fingerprint, offset }
}

fn order() -> OrderState {
    let item = |item_id: &str, quantity, price| OrderItem { item_id: item_id.into(), quantity, price };
    let order = CreateOrderPayload {
        customer_id: "CUST-é漢".into(),
        order_date: "2026-11-27T01:02:03.456Z".into(),
        items: vec![item("ITEM-1", 2, 49.99), item("", i32::MAX, 0.1)],
        total_amount: 100.08,
        currency: "USD".into(),
        status: "shipped".into(),
    };
    let applied = vec![
        remembered("800b4d27-3a20-5e4d-943c-fd39d46d6989", -7_173_728_325_766_647_136, 0),
        remembered("order-events/2/17", i64::MIN, 17),
        remembered("any other text", i64::MAX, 3_000_000_000),
    ];
    OrderState { order: Some(order), updated_at: 1_700_000_000_123, applied, held: Vec::new() }
}

fn waiting() -> OrderState {
    let header = |name: &str, value: Option<&[u8]>| OriginalHeader {
        name: name.into(),
        value: value.map(<[u8]>::to_vec),
    };
    let original = OriginalRecord {
        value: vec![0, 0, 0, 0, 5, 0xff, 0x80],
        timestamp: -1,
        headers: vec![header("ce_id", Some(b"u-1")), header("none", None), header("empty", Some(b""))],
    };
    let held = HeldUpdate {
        event: remembered("u-1", 42, 9),
        status: "gift-wrapped".into(),
        give_up_at: 1_700_000_002_000,
        original,
    };
    OrderState { order: None, updated_at: 0, applied: Vec::new(), held: vec![held] }
}

/// The reasons that there were when set 1 was written.
const REASONS: [Reason; 8] = [
    Reason::Undecodable,
    Reason::UnknownSchema,
    Reason::InvalidEvent,
    Reason::DuplicateOrder,
    Reason::UnknownOrder,
    Reason::IllegalTransition,
    Reason::IdempotencyConflict,
    Reason::ProcessingFailed,
];

/// One event of each outcome, one after the other.
fn window() -> OutcomeWindow {
    let reasons = REASONS.into_iter().map(Outcome::DeadLettered);
    let became = [Outcome::Duplicate, Outcome::Held, Outcome::NoEvent].into_iter().chain(reasons);
    let run = |(first, outcome): (i64, Outcome)| OutcomeRun {
        first,
        count: 1,
        outcome: outcome.name().into_owned(),
    };
    let mut runs: Vec<OutcomeRun> = (8192..).zip(became).map(run).collect();
    runs.push(OutcomeRun { first: 9000, count: 100, outcome: "duplicate".to_owned() });
    OutcomeWindow { runs }
}

/// A record of the changelog: what it is, its key, and what it says.
type Sample = (&'static str, Key<'static>, Option<ChangelogEntry>);

fn set_1() -> Vec<Sample> {
    let progress = Progress {
        next_offset: 3_000_000_001,
        outcomes_from: 4096,
        lost: 300,
        checkpoints: Checkpoints::default(),
        cut: None,
    };
    let barrier = Barrier { transactional_id: "order-service/instance/one".to_owned() };
    vec![
        ("an order", Key::Order("ORD-1001"), Some(ChangelogEntry::OrderState(order()))),
        ("an update that waits", Key::Order("O-漢"), Some(ChangelogEntry::OrderState(waiting()))),
        ("nothing is known any more", Key::Order("O-3"), None),
        ("how far", Key::Progress, Some(ChangelogEntry::Progress(progress))),
        ("every outcome", Key::Outcomes(8192), Some(ChangelogEntry::OutcomeWindow(window()))),
        ("all were applied", Key::Outcomes(4096), None),
        ("a takeover", Key::Barrier, Some(ChangelogEntry::Barrier(barrier))),
    ]
}

/// The offset of the update that waits in [`window`].
const HELD: i64 = 8193;
/// In set 2, a copy of it.
const COPY_OF_HELD: i64 = 8500;

/// As [`window`], with the name that set 2 adds.
fn window_of_set_2() -> OutcomeWindow {
    let mut window = window();
    let copy =
        OutcomeRun { first: COPY_OF_HELD, count: 1, outcome: Outcome::DuplicateOf(HELD).name().into_owned() };
    window.runs.insert(window.runs.len() - 1, copy);
    window
}

fn set_2() -> Vec<Sample> {
    let mut samples = set_1();
    for (_, key, entry) in &mut samples {
        if *key == Key::Outcomes(8192) {
            *entry = Some(ChangelogEntry::OutcomeWindow(window_of_set_2()));
        }
    }
    samples
}

/// As in set 2, with the fields that set 3 adds.
fn progress_of_set_3() -> Progress {
    let mut checkpoints = Checkpoints::default();
    checkpoints.note(Checkpoint {
        offset: 2_999_999_000,
        timestamp: 1_700_000_000_123,
        fingerprint: i64::MIN,
    });
    checkpoints.note(Checkpoint { offset: 3_000_000_000, timestamp: -1, fingerprint: i64::MAX });
    let cut = Some(Cut { from: 2_999_998_000, to: 2_999_999_500, events: 1_700 });
    Progress { next_offset: 3_000_000_001, outcomes_from: 4096, lost: 300, checkpoints, cut }
}

fn set_3() -> Vec<Sample> {
    vec![("how far", Key::Progress, Some(ChangelogEntry::Progress(progress_of_set_3())))]
}

fn identity_of_set_2() -> Identity {
    Identity { id: "5b2d3c0e-6a5f-4d0c-9a61-0c8f6c1f2a77".to_owned(), source: "order-events".to_owned() }
}

fn every_record_is_read(set: &str, samples: Vec<Sample>) {
    let codecs = Codecs::changelog(set);
    let today = samples.iter().map(|(about, key, entry)| {
        let value = entry.as_ref().map(|entry| {
            let mut bytes = Vec::new();
            codecs.then.encode(entry, &mut bytes).unwrap();
            bytes
        });
        Line::new(about, Some(key.as_text().as_bytes()), value.as_deref(), &[])
    });
    let lines = lines(set, "changelog.jsonl", &today.collect::<Vec<_>>());
    assert_eq!(lines.len(), samples.len());
    for (line, (about, key, entry)) in lines.iter().zip(samples) {
        let record = line.record("changelog", 0);
        assert_eq!(Key::parse(record.key()), Some(key), "{about}");
        let read = match record.payload() {
            Some(value) => Some(codecs.today.decode(Some(value)).unwrap()),
            None => None,
        };
        assert_eq!(read, entry, "{about}");
    }
}

#[test]
fn every_record_of_the_changelog_of_set_1_is_read() {
    every_record_is_read("1", set_1());
}

#[test]
fn every_record_of_the_changelog_of_set_2_is_read() {
    every_record_is_read("2", set_2());
}

#[test]
fn every_record_of_the_changelog_of_set_3_is_read() {
    every_record_is_read("3", set_3());
}

#[test]
fn the_identity_of_set_2_is_read() {
    let identity = identity_of_set_2();
    let key = Key::Identity.as_text();
    let today = Line::new("what it is called", Some(key.as_bytes()), Some(&identity.to_bytes()), &[]);
    let lines = lines("2", "identity.jsonl", &[today]);
    let [line] = lines.as_slice() else { panic!("one identity") };
    let record = line.record("changelog", 0);
    assert_eq!(Key::parse(record.key()), Some(Key::Identity));
    assert_eq!(Identity::parse(record.payload()), Some(identity));
}

#[test]
fn the_copy_of_set_2_has_the_fate_of_the_update_that_waits() {
    let mut outcomes = Outcomes::default();
    outcomes.load(8192, Some(&window_of_set_2()));
    let became = [COPY_OF_HELD - 1, COPY_OF_HELD, COPY_OF_HELD + 1].map(|offset| outcomes.get(offset));
    assert_eq!(became, [Some(Outcome::APPLIED), Some(Outcome::Held), Some(Outcome::APPLIED)]);
}

#[test]
fn every_fate_of_set_1_is_known() {
    let mut outcomes = Outcomes::default();
    outcomes.load(8192, Some(&window()));
    let known: Vec<_> =
        (8192..8203).map(|offset| outcomes.get(offset).unwrap().name().into_owned()).collect();
    let names = "duplicate held no_event undecodable unknown_schema invalid_event duplicate_order unknown_order \
                 illegal_transition idempotency_conflict processing_failed";
    assert_eq!(known, names.split_whitespace().collect::<Vec<_>>());
    assert_eq!(
        [9099, 9100].map(|offset| outcomes.get(offset)),
        [Some(Outcome::Duplicate), Some(Outcome::APPLIED)]
    );
}
