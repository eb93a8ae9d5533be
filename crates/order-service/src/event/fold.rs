//! The fold: what an event makes of an order. Pure: no clock, no I/O, no chance.

use std::time::Duration;

use order_events::{CreateOrderPayload, OrderEvent, Payload, Reason, Status};

use super::key::{EventKey, fingerprint};
use super::original::OriginalRecord;
use super::outcome::{Outcome, Rejection, Verdict};
use super::state::{HeldUpdate, OrderState, RememberedEvent};

/// How many events an order remembers; a copy of an older one would be taken for a new event. The CREATE is
/// always remembered.
pub(crate) const MAX_REMEMBERED: usize = 64;

/// How many updates may wait for one order's CREATE.
pub(crate) const MAX_HELD: usize = 16;

/// How many bytes the records of an order's waiting updates may have: the order's state is one record.
pub(crate) const MAX_HELD_BYTES: usize = 512 << 10;

/// How many updates of one partition may wait in all; of a kilobyte each, 100 MB.
pub(crate) const MAX_HELD_IN_ALL: usize = 100_000;

/// An event, with what of its record matters to the fold.
pub(crate) struct Incoming<'a> {
    /// What happened.
    pub event: OrderEvent,
    /// The id that a second copy has too.
    pub key: EventKey,
    /// Where it is in its partition.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Where the event was first, if it was a dead letter and was sent again: an offset of the same partition.
    pub redriven_from: Option<i64>,
    /// Whether one more update may wait, see [`MAX_HELD_IN_ALL`].
    pub may_wait: bool,
    /// Copies the record; few events need it.
    pub original: &'a dyn Fn() -> OriginalRecord,
}

/// The rules that are a matter of configuration.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether an unusual change of status is refused.
    pub strict_transitions: bool,
    /// How long an update waits for its order's CREATE.
    pub update_grace: Duration,
}

/// What one event did.
#[derive(Debug, PartialEq)]
pub(crate) struct Folded {
    /// What is known of the order now; `None` while nothing is.
    pub state: Option<OrderState>,
    /// What becomes of the event.
    pub verdict: Verdict,
    /// What became of the updates that had waited for it. Empty but for a CREATE that had some waiting.
    pub released: Vec<(HeldUpdate, Verdict)>,
}

/// Applies `incoming` to what is known of its order. `now` is in milliseconds since 1970.
pub(crate) fn fold(state: Option<OrderState>, incoming: Incoming<'_>, rules: &Rules, now: i64) -> Folded {
    let Incoming { event, key, offset, timestamp, redriven_from, may_wait, original } = incoming;
    let remembered = RememberedEvent { key, fingerprint: fingerprint(&event.payload), offset };
    if let Some((seen, again)) = state.as_ref().and_then(|state| state.seen(key, offset)) {
        let verdict = if seen.fingerprint == remembered.fingerprint {
            Ok(again)
        } else {
            reject(Reason::IdempotencyConflict, "another event with the same id was processed before")
        };
        return Folded { state, verdict, released: Vec::new() };
    }
    match event.payload {
        Payload::Create(create) => apply_create(state, create, timestamp, remembered, rules),
        Payload::Update(update) => match state {
            Some(state) if redriven_from.is_some_and(|from| state.has_update_after(from)) => {
                let detail = "it was sent again, but a later update of the order was applied before it";
                let verdict = reject(Reason::IllegalTransition, detail);
                Folded { state: Some(state), verdict, released: Vec::new() }
            }
            Some(mut state) if state.order.is_some() => {
                let first = RememberedEvent { offset: redriven_from.unwrap_or(offset), ..remembered };
                let verdict = change_status(&mut state, update.status, timestamp, first, rules);
                Folded { state: Some(state), verdict, released: Vec::new() }
            }
            _ if !may_wait => {
                let verdict = reject(
                    Reason::UnknownOrder,
                    "the order does not exist, and too many other updates wait for theirs",
                );
                Folded { state, verdict, released: Vec::new() }
            }
            state => hold_update(state, update.status, remembered, original, rules, now),
        },
    }
}

/// Gives up the updates whose time is over. Returns the state without them, and them.
pub(crate) fn expire(mut state: OrderState, now: i64) -> (Option<OrderState>, Vec<(HeldUpdate, Verdict)>) {
    let given_up = state.held.extract_if(.., |held| held.give_up_at <= now).map(|held| {
        (held, reject(Reason::UnknownOrder, "no CREATE of the order came within the grace period"))
    });
    let given_up = given_up.collect();
    (state.or_nothing(), given_up)
}

impl OrderState {
    /// Whether an update behind this offset was applied: an older one would undo it.
    pub fn has_update_after(&self, offset: i64) -> bool {
        // The first one is the CREATE.
        self.applied.iter().skip(1).any(|event| event.offset > offset)
    }

    /// The event with this key, if it was applied or is held; and what becomes of one with the same key at `offset`: it is
    /// a copy, or the same record, read again, whose outcome stays.
    fn seen(&self, key: EventKey, offset: i64) -> Option<(&RememberedEvent, Outcome)> {
        let applied = self.applied.iter().map(|event| (event, Outcome::APPLIED, Outcome::Duplicate));
        let copy = |first: &RememberedEvent| Outcome::DuplicateOf(first.offset);
        let held = self.held.iter().map(|held| (&held.event, Outcome::Held, copy(&held.event)));
        let (event, itself, copy) = applied.chain(held).find(|(event, ..)| event.key == key)?;
        Some((event, if event.offset == offset { itself } else { copy }))
    }

    fn remember(&mut self, event: RememberedEvent) {
        if self.applied.len() == MAX_REMEMBERED {
            self.applied.remove(1);
        }
        self.applied.push(event);
    }

    /// Itself, unless nothing is known any more.
    fn or_nothing(self) -> Option<Self> {
        (self.order.is_some() || !self.held.is_empty()).then_some(self)
    }
}

fn apply_create(
    state: Option<OrderState>,
    mut create: CreateOrderPayload,
    timestamp: i64,
    event: RememberedEvent,
    rules: &Rules,
) -> Folded {
    if state.as_ref().is_some_and(|state| state.order.is_some()) {
        let verdict = reject(Reason::DuplicateOrder, "the order exists already");
        return Folded { state, verdict, released: Vec::new() };
    }
    create.status = canonical(create.status);
    let mut held = state.map(|state| state.held).unwrap_or_default();
    // Those that were sent again may have come in another order.
    held.sort_by_key(HeldUpdate::first_offset);
    let mut state =
        OrderState { order: Some(create), updated_at: timestamp, applied: vec![event], held: Vec::new() };
    let released = held
        .into_iter()
        .map(|held| {
            let (status, timestamp) = (held.status.clone(), held.original.timestamp);
            let first = RememberedEvent { offset: held.first_offset(), ..held.event };
            let verdict = change_status(&mut state, status, timestamp, first, rules);
            (held, verdict)
        })
        .collect();
    Folded { state: Some(state), verdict: Ok(Outcome::APPLIED), released }
}

/// Keeps an update for its order's CREATE.
fn hold_update(
    state: Option<OrderState>,
    status: String,
    event: RememberedEvent,
    original: &dyn Fn() -> OriginalRecord,
    rules: &Rules,
    now: i64,
) -> Folded {
    let mut state = state.unwrap_or_default();
    let grace = i64::try_from(rules.update_grace.as_millis()).unwrap_or(i64::MAX);
    let held = HeldUpdate { event, status, give_up_at: now.saturating_add(grace), original: original() };
    let bytes = state.held.iter().chain([&held]).map(HeldUpdate::size).sum::<usize>();
    let is_full = state.held.len() >= MAX_HELD || bytes > MAX_HELD_BYTES;
    let verdict = if is_full || rules.update_grace.is_zero() {
        reject(Reason::UnknownOrder, "the order does not exist")
    } else {
        state.held.push(held);
        Ok(Outcome::Held)
    };
    Folded { state: state.or_nothing(), verdict, released: Vec::new() }
}

/// Gives an order that exists a new status.
fn change_status(
    state: &mut OrderState,
    status: String,
    timestamp: i64,
    event: RememberedEvent,
    rules: &Rules,
) -> Verdict {
    let Some(order) = &mut state.order else {
        return reject(Reason::UnknownOrder, "the order does not exist");
    };
    let status = canonical(status);
    let unusual = !is_usual(&order.status, &status);
    if unusual && rules.strict_transitions {
        let detail = format!("an order that is {} cannot become {status}", order.status);
        return reject(Reason::IllegalTransition, detail);
    }
    order.status = status;
    state.updated_at = timestamp;
    state.remember(event);
    Ok(Outcome::Applied { unusual })
}

/// A status in its canonical spelling; one that is unknown here stays as it is.
fn canonical(status: String) -> String {
    match status.parse::<Status>() {
        Ok(known) => known.as_str().to_owned(),
        Err(_) => status,
    }
}

fn is_usual(from: &str, to: &str) -> bool {
    matches!((from.parse::<Status>(), to.parse::<Status>()), (Ok(from), Ok(to)) if from.may_become(to))
}

fn reject(reason: Reason, detail: impl Into<String>) -> Verdict {
    Err(Rejection::new(reason, detail))
}

#[cfg(test)]
mod tests {
    use order_events::{EventType, OrderItem, UpdateOrderPayload};
    use proptest::prelude::*;

    use super::*;
    use crate::event::original::OriginalHeader;

    /// An event with this id comes when too many updates wait.
    const TOO_MANY: u8 = 99;

    const LENIENT: Rules = Rules { strict_transitions: false, update_grace: Duration::from_secs(2) };
    const STRICT: Rules = Rules { strict_transitions: true, ..LENIENT };
    const APPLIED: Outcome = Outcome::APPLIED;

    /// What an event is made of in these tests: an [`Incoming`] borrows.
    #[derive(Debug, Clone)]
    struct Case {
        id: u8,
        offset: i64,
        payload: Payload,
        redriven_from: Option<i64>,
    }

    fn incoming(id: u8, offset: i64, payload: Payload) -> Case {
        Case { id, offset, payload, redriven_from: None }
    }

    fn fold_case(state: Option<OrderState>, case: Case, rules: &Rules, now: i64) -> Folded {
        let Case { id, offset, payload, redriven_from } = case;
        let event_type: EventType = payload.event_type();
        let event = OrderEvent { event_type, order_id: "ORD-1".into(), timestamp: "t".into(), payload };
        let origin = redriven_from.map(|from| OriginalHeader {
            name: "dlq-redrive-origin".to_owned(),
            value: Some(format!("0:{from}").into_bytes()),
        });
        let headers: Vec<OriginalHeader> = origin.into_iter().collect();
        let original =
            || OriginalRecord { value: vec![id], timestamp: 1000 + offset, headers: headers.clone() };
        let incoming = Incoming {
            event,
            key: EventKey([id; 16]),
            offset,
            timestamp: 1000 + offset,
            redriven_from,
            may_wait: id != TOO_MANY,
            original: &original,
        };
        fold(state, incoming, rules, now)
    }

    fn create(id: u8, offset: i64) -> Case {
        let payload = CreateOrderPayload {
            customer_id: format!("CUST-{id}"),
            order_date: "d".into(),
            items: vec![OrderItem { item_id: "ITEM-1".into(), quantity: 1, price: 1.0 }],
            total_amount: 1.0,
            currency: "USD".into(),
            status: "NEW".into(),
        };
        incoming(id, offset, Payload::Create(payload))
    }

    fn update(id: u8, offset: i64, status: &str) -> Case {
        incoming(id, offset, Payload::Update(UpdateOrderPayload { status: status.into() }))
    }

    /// Folds all of them, a millisecond apart; gives the last state and every outcome by offset.
    fn run(
        rules: &Rules,
        events: impl IntoIterator<Item = Case>,
    ) -> (Option<OrderState>, Vec<(i64, Outcome)>) {
        let mut state = None;
        let mut outcomes = Vec::new();
        for (now, event) in (0..).zip(events) {
            let offset = event.offset;
            let folded = fold_case(state, event, rules, now);
            state = folded.state;
            outcomes.push((offset, Outcome::of(&folded.verdict)));
            let released = folded.released.iter();
            outcomes.extend(released.map(|(held, verdict)| (held.event.offset, Outcome::of(verdict))));
        }
        (state, outcomes)
    }

    fn status(state: &Option<OrderState>) -> &str {
        &state.as_ref().unwrap().order.as_ref().unwrap().status
    }

    fn reason(outcome: &Outcome) -> Option<Reason> {
        match outcome {
            Outcome::DeadLettered(reason) => Some(*reason),
            _ => None,
        }
    }

    #[test]
    fn an_update_that_is_sent_again_does_not_undo_a_later_one() {
        let again =
            |id, offset, status, from| Case { redriven_from: Some(from), ..update(id, offset, status) };
        let (state, outcomes) = run(
            &LENIENT,
            [
                create(1, 7),
                // Both came before the order, in this order.
                again(2, 10, "pending", 3),
                again(3, 11, "confirmed", 4),
                update(4, 12, "shipped"),
                again(5, 13, "processing", 8),
            ],
        );
        let rejected: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.is_applied()).collect();
        assert!(matches!(rejected.as_slice(), [(13, Outcome::DeadLettered(_))]), "{rejected:?}");
        assert_eq!(state.unwrap().order.unwrap().status, "shipped");
    }

    #[test]
    fn updates_that_are_sent_again_and_wait_are_applied_in_their_first_order() {
        let again =
            |id, offset, status, from| Case { redriven_from: Some(from), ..update(id, offset, status) };
        let events = [
            again(3, 10, "shipped", 4),
            again(2, 11, "pending", 3),
            create(1, 12),
            again(4, 13, "confirmed", 2),
        ];
        let (state, outcomes) = run(&LENIENT, events);
        assert_eq!(status(&state), "shipped");
        let last = outcomes.iter().find(|(offset, _)| *offset == 13).unwrap();
        assert_eq!(reason(&last.1), Some(Reason::IllegalTransition));
    }

    #[test]
    fn what_waits_for_an_order_is_bounded_in_bytes() {
        let large =
            || OriginalRecord { value: vec![0; MAX_HELD_BYTES / 2 - 100], timestamp: 0, headers: Vec::new() };
        let mut state = None;
        for offset in 0..3 {
            let event = OrderEvent {
                event_type: EventType::Update,
                order_id: "ORD-1".into(),
                timestamp: "t".into(),
                payload: Payload::Update(UpdateOrderPayload { status: "pending".into() }),
            };
            let incoming = Incoming {
                event,
                key: EventKey([u8::try_from(offset).unwrap(); 16]),
                offset,
                timestamp: 0,
                redriven_from: None,
                may_wait: true,
                original: &large,
            };
            let folded = fold(state, incoming, &LENIENT, 0);
            assert_eq!(folded.verdict == Ok(Outcome::Held), offset < 2, "{offset}");
            state = folded.state;
        }
    }

    #[test]
    fn an_order_is_created_and_changes() {
        let (state, outcomes) =
            run(&STRICT, [create(1, 0), update(2, 1, "Confirmed"), update(3, 2, "shipped")]);
        assert_eq!(status(&state), "shipped");
        assert_eq!(state.unwrap().updated_at, 1002);
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == APPLIED), "{outcomes:?}");
    }

    #[test]
    fn a_second_copy_is_ignored_and_a_second_order_is_refused() {
        let (state, outcomes) = run(&STRICT, [create(1, 0), create(1, 1), create(2, 2)]);
        assert_eq!(outcomes[1].1, Outcome::Duplicate);
        assert_eq!(reason(&outcomes[2].1), Some(Reason::DuplicateOrder));
        assert_eq!(state.unwrap().order.unwrap().customer_id, "CUST-1");
    }

    #[test]
    fn the_same_id_with_another_content_is_a_conflict() {
        let (state, outcomes) = run(
            &LENIENT,
            [create(1, 0), update(2, 1, "pending"), update(2, 2, "cancelled"), update(1, 3, "shipped")],
        );
        assert_eq!(reason(&outcomes[2].1), Some(Reason::IdempotencyConflict));
        assert_eq!(reason(&outcomes[3].1), Some(Reason::IdempotencyConflict));
        assert_eq!(status(&state), "pending");
    }

    #[test]
    fn an_update_before_its_create_waits_and_is_applied_in_order() {
        let (state, outcomes) = run(
            &STRICT,
            [update(2, 0, "confirmed"), update(3, 1, "shipped"), update(2, 2, "confirmed"), create(1, 3)],
        );
        assert_eq!(
            outcomes,
            [
                (0, Outcome::Held),
                (1, Outcome::Held),
                (2, Outcome::DuplicateOf(0)),
                (3, APPLIED),
                (0, APPLIED),
                (1, APPLIED)
            ]
        );
        assert_eq!(status(&state), "shipped");
        let state = state.unwrap();
        assert!(state.held.is_empty());
        assert_eq!(state.applied.iter().map(|event| event.offset).collect::<Vec<_>>(), [3, 0, 1]);
        assert_eq!(state.updated_at, 1001);
    }

    #[test]
    fn an_update_that_waited_too_long_is_given_up() {
        let (state, _) = run(&LENIENT, [update(2, 0, "confirmed"), update(3, 1, "shipped")]);
        let (state, given_up) = expire(state.unwrap(), 2000);
        assert_eq!(given_up.len(), 1);
        assert_eq!(given_up[0].0.event.offset, 0);
        assert_eq!(reason(&Outcome::of(&given_up[0].1)), Some(Reason::UnknownOrder));
        let (state, given_up) = expire(state.unwrap(), 2001);
        assert_eq!((state, given_up.len()), (None, 1));
    }

    #[test]
    fn when_too_many_wait_an_early_update_is_refused_and_no_other() {
        let (state, outcomes) =
            run(&LENIENT, [update(2, 0, "confirmed"), update(TOO_MANY, 1, "shipped"), create(1, 2)]);
        assert_eq!(reason(&outcomes[1].1), Some(Reason::UnknownOrder));
        assert_eq!(status(&state), "confirmed");
        let (state, outcomes) = run(&LENIENT, [create(1, 0), update(TOO_MANY, 1, "shipped")]);
        assert_eq!((status(&state), &outcomes[1].1), ("shipped", &APPLIED));
    }

    #[test]
    fn without_grace_or_room_an_early_update_is_refused_at_once() {
        let rules = Rules { update_grace: Duration::ZERO, ..LENIENT };
        let (state, outcomes) = run(&rules, [update(2, 0, "confirmed")]);
        assert_eq!((state, reason(&outcomes[0].1)), (None, Some(Reason::UnknownOrder)));

        let many = (0..=u8::try_from(MAX_HELD).unwrap()).map(|id| update(id, id.into(), "confirmed"));
        let (state, outcomes) = run(&LENIENT, many);
        assert_eq!(state.unwrap().held.len(), MAX_HELD);
        assert_eq!(reason(&outcomes[MAX_HELD].1), Some(Reason::UnknownOrder));
    }

    #[test]
    fn an_unusual_change_is_counted_or_refused() {
        for (from, to) in [("shipped", "pending"), ("delivered", "cancelled"), ("confirmed", "gift-wrapped")]
        {
            let events = || [create(1, 0), update(2, 1, from), update(3, 2, to)];
            let (state, outcomes) = run(&LENIENT, events());
            assert_eq!((status(&state), &outcomes[2].1), (to, &Outcome::Applied { unusual: true }));
            let (state, outcomes) = run(&STRICT, events());
            assert_eq!((status(&state), reason(&outcomes[2].1)), (from, Some(Reason::IllegalTransition)));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_keeps_the_create() {
        let updates = (2..=250).map(|id| update(id, id.into(), "pending"));
        let (state, _) = run(&LENIENT, std::iter::once(create(1, 1)).chain(updates));
        let state = state.unwrap();
        assert_eq!(state.applied.len(), MAX_REMEMBERED);
        assert_eq!((state.applied[0].offset, state.applied.last().unwrap().offset), (1, 250));
    }

    fn any_incoming(offset: i64) -> impl Strategy<Value = Case> {
        let status = prop::sample::select(vec!["pending", "shipped", "cancelled", "odd"]);
        prop_oneof![
            (0u8..6).prop_map(move |id| create(id, offset)),
            (0u8..6, status).prop_map(move |(id, status)| update(id, offset, status)),
        ]
    }

    proptest! {
        /// What was applied or is held changes nothing when it is read again, and has the outcome that it had; nor does a
        /// copy of it. Of what was rejected nothing is remembered: a copy of that is a new event.
        #[test]
        fn folding_again_what_was_applied_or_held_changes_nothing(
            events in (0..30_i64).map(any_incoming).collect::<Vec<_>>(),
            strict in any::<bool>(),
        ) {
            let rules = if strict { STRICT } else { LENIENT };
            let (once, outcomes) = run(&rules, events.clone());
            let mut again = once.clone();
            for event in events {
                let last = outcomes.iter().rfind(|(offset, _)| *offset == event.offset);
                let Some((_, outcome @ (Outcome::Applied { .. } | Outcome::Held))) = last else { continue };
                let itself = fold_case(again, event.clone(), &rules, 0);
                let is_applied = itself.verdict.as_ref().is_ok_and(Outcome::is_applied);
                prop_assert_eq!(is_applied, outcome.is_applied());
                prop_assert_eq!(itself.verdict == Ok(Outcome::Held), *outcome == Outcome::Held);
                let copy = fold_case(itself.state, Case { offset: 1000, ..event }, &rules, 0);
                prop_assert!(matches!(copy.verdict, Ok(Outcome::Duplicate | Outcome::DuplicateOf(_))));
                again = copy.state;
            }
            prop_assert_eq!(again, once);
        }

        /// Every event that was held is either still held or has come to an end.
        #[test]
        fn nothing_held_is_forgotten(events in (0..30_i64).map(any_incoming).collect::<Vec<_>>()) {
            let (state, outcomes) = run(&LENIENT, events);
            let held = |(offset, outcome): &(i64, Outcome)| (*outcome == Outcome::Held).then_some(*offset);
            for offset in outcomes.iter().filter_map(held) {
                let ended = outcomes.iter().any(|(o, outcome)| *o == offset && *outcome != Outcome::Held);
                let waits = state.as_ref().is_some_and(|state| state.held.iter().any(|held| held.event.offset == offset));
                prop_assert!(ended != waits);
            }
        }
    }
}
