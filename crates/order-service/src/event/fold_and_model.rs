//! The fold against the model of the end-to-end tests' checker: two implementations that know nothing of each other.

use std::collections::BTreeMap;
use std::time::Duration;

use end_to_end_tests::Record;
use end_to_end_tests::checker::{Model, Outcome as Expected};
use order_events::{CreateOrderPayload, OrderEvent, OrderItem, Payload, Reason, UpdateOrderPayload};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::event::fold::{Incoming, Rules, expire, fold};
use crate::event::key::EventKey;
use crate::event::original::{OriginalHeader, OriginalRecord};
use crate::event::outcome::{Outcome, Verdict};
use crate::event::state::{HeldUpdate, OrderState};

const TOPIC: &str = "order-events";
const GRACE: i64 = 2000;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// An event of one of two orders.
    Event(Draft),
    /// So many milliseconds go by, and what has waited too long is given up.
    Time(i64),
}

#[derive(Debug, Clone)]
struct Draft {
    order: usize,
    payload: Payload,
    /// Its `ce_id`; few, so that they meet again.
    id: Option<u8>,
    has_own_key: bool,
    /// It was a dead letter and is sent again: so many events before this one it was first.
    sent_again: Option<i64>,
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let amount = prop_oneof![20 => Just(1.0), 1 => Just(f64::NAN)];
    let create = (0..3u8, 0..2u8, amount).prop_map(|(customer, date, total_amount)| {
        let item = OrderItem { item_id: "ITEM-1".into(), quantity: 1, price: 1.0 };
        Payload::Create(CreateOrderPayload {
            customer_id: format!("CUST-{customer}"),
            order_date: format!("day {date}"),
            items: vec![item],
            total_amount,
            currency: "USD".into(),
            status: "NEW".into(),
        })
    });
    let statuses = vec!["pending", " Confirmed", "SHIPPED", "delivered", "canceled", "new", "odd", " "];
    let update = prop::sample::select(statuses)
        .prop_map(|status| Payload::Update(UpdateOrderPayload { status: status.into() }));
    prop_oneof![1 => create, 4 => update]
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = prop_oneof![1 => Just(None), 8 => (0..40u8).prop_map(Some)];
    let key = prop::bool::weighted(0.95);
    let sent_again = prop_oneof![4 => Just(None), 1 => (0..12i64).prop_map(Some)];
    let event = (0..2usize, any_payload(), id, key, sent_again).prop_map(
        |(order, payload, id, has_own_key, sent_again)| {
            Step::Event(Draft { order, payload, id, has_own_key, sent_again })
        },
    );
    prop_oneof![8 => event, 1 => (0..3 * GRACE).prop_map(Step::Time)]
}

/// Both, side by side.
struct Pair {
    rules: Rules,
    now: i64,
    offset: i64,
    states: [Option<OrderState>; 2],
    outcomes: BTreeMap<i64, Expected>,
    model: Model,
    /// When each update that was held is given up.
    due: BTreeMap<i64, i64>,
}

fn order_id(order: usize) -> String {
    format!("ORD-{order}")
}

fn seen(verdict: &Verdict) -> Expected {
    match Outcome::of(verdict) {
        Outcome::Applied { .. } => Expected::Applied,
        Outcome::Duplicate => Expected::Duplicate,
        Outcome::DuplicateOf(first) => Expected::CopyOf(first),
        Outcome::Held => Expected::Held,
        Outcome::DeadLettered(reason) => Expected::Letter(reason.as_str()),
        outcome @ (Outcome::Other(_) | Outcome::NoEvent) => panic!("no verdict of the fold: {outcome:?}"),
    }
}

impl Pair {
    fn new(strict: bool) -> Self {
        let rules = Rules { strict_transitions: strict, update_grace: Duration::from_millis(2000) };
        let model = Model { strict, ..Model::default() };
        let (outcomes, due) = Default::default();
        Self { rules, now: 0, offset: 0, states: [None, None], outcomes, model, due }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Event(draft) => self.event(draft),
            Step::Time(milliseconds) => self.time(milliseconds),
        }
    }

    fn event(&mut self, Draft { order, payload, id, has_own_key, sent_again }: Draft) {
        let offset = self.offset;
        self.offset += 1;
        self.now += 1;
        let event = OrderEvent {
            event_type: payload.event_type(),
            order_id: order_id(order),
            timestamp: "t".into(),
            payload,
        };
        let origin = sent_again.map(|back| offset - 1 - back).filter(|origin| *origin >= 0);
        let headers = [
            id.map(|id| ("ce_id".to_owned(), Some(format!("event {id}").into_bytes()))),
            origin.map(|origin| ("dlq-redrive-origin".to_owned(), Some(format!("0:{origin}").into_bytes()))),
        ];
        let key = if has_own_key { event.order_id.clone() } else { "another".to_owned() };
        let record = Record {
            partition: 0,
            offset,
            key: Some(key.into_bytes()),
            value: None,
            headers: headers.into_iter().flatten().collect(),
        };
        self.model.take(&record, TOPIC, Ok(event.clone()));
        self.fold(order, event, &record, origin);
        if self.outcomes[&offset] == Expected::Held {
            self.due.insert(offset, self.now + GRACE);
        }
    }

    /// As the pipeline does.
    fn fold(&mut self, order: usize, event: OrderEvent, record: &Record, redriven_from: Option<i64>) {
        let offset = record.offset;
        if event.validate(record.key.as_deref()).is_err() {
            self.outcomes.insert(offset, Expected::Letter(Reason::InvalidEvent.as_str()));
            return;
        }
        let headers = record.headers.iter().cloned().map(|(name, value)| OriginalHeader { name, value });
        let original = OriginalRecord { value: vec![1], timestamp: 0, headers: headers.collect() };
        let id = record.header("ce_id").unwrap_or_else(|| format!("{TOPIC}/0/{offset}"));
        let incoming = Incoming {
            event,
            key: EventKey::of(&id),
            offset,
            timestamp: 0,
            redriven_from,
            may_wait: true,
            original: &|| original.clone(),
        };
        let folded = fold(self.states[order].take(), incoming, &self.rules, self.now);
        self.states[order] = folded.state;
        self.outcomes.insert(offset, seen(&folded.verdict));
        self.end(folded.released);
    }

    fn end(&mut self, ended: Vec<(HeldUpdate, Verdict)>) {
        self.outcomes.extend(ended.iter().map(|(held, outcome)| (held.event.offset, seen(outcome))));
    }

    fn time(&mut self, milliseconds: i64) {
        self.now += milliseconds;
        for order in 0..2 {
            if let Some(state) = self.states[order].take() {
                let (state, given_up) = expire(state, self.now);
                self.states[order] = state;
                self.end(given_up);
            }
            let held = self.model.orders.get(&order_id(order)).map(|order| order.held.clone());
            for (offset, _) in held.into_iter().flatten().filter(|(offset, _)| self.due[offset] <= self.now) {
                self.model.give_up(&order_id(order), (0, offset));
            }
        }
    }

    /// What the fold has made of everything, and what the model has.
    fn results(&self) -> (Value, Value) {
        let of_fold = (0..2).map(|order| {
            let state = self.states[order].clone().unwrap_or_default();
            let applied: Vec<i64> = state.applied.iter().map(|event| event.offset).collect();
            let held: Vec<i64> = state.held.iter().map(|held| held.event.offset).collect();
            json!({ "order": state.order, "applied": applied, "held": held })
        });
        let of_model = (0..2).map(|order| match self.model.orders.get(&order_id(order)) {
            None => json!({ "order": null, "applied": [], "held": [] }),
            Some(order) => {
                let held: Vec<i64> = order.held.iter().map(|(offset, _)| *offset).collect();
                json!({ "order": order.content, "applied": order.applied, "held": held })
            }
        });
        (of_fold.collect(), of_model.collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Copies, conflicts, updates that come early, too late or again, and events that are none included.
    #[test]
    fn the_fold_and_the_checkers_model_agree(
        steps in prop::collection::vec(any_step(), 1..60),
        strict in any::<bool>(),
    ) {
        let mut pair = Pair::new(strict);
        for step in steps {
            pair.take(step);
        }
        let expected: BTreeMap<i64, Expected> =
            pair.model.outcomes.iter().map(|((_, offset), outcome)| (*offset, *outcome)).collect();
        prop_assert_eq!(&pair.outcomes, &expected);
        let (of_fold, of_model) = pair.results();
        prop_assert_eq!(of_fold, of_model);
    }
}
