//! `schemas/changelog.avsc` in Rust.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::types::Value;
use order_events::codec::{AvroRecord, typed, variant_name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Checkpoints, state_bytes};

use crate::event::state::OrderState;

/// The value of a record in the changelog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChangelogEntry {
    /// All that is known of one order.
    #[serde(rename = "com.ecommerce.order.changelog.OrderState")]
    OrderState(OrderState),
    /// How far the partition is processed.
    #[serde(rename = "com.ecommerce.order.changelog.Progress")]
    Progress(Progress),
    /// What became of the events in a window of offsets.
    #[serde(rename = "com.ecommerce.order.changelog.OutcomeWindow")]
    OutcomeWindow(OutcomeWindow),
    /// Somebody took the partition over.
    #[serde(rename = "com.ecommerce.order.changelog.Barrier")]
    Barrier(Barrier),
}

/// How far a partition of the events topic is processed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The first offset that is not processed.
    pub next_offset: i64,
    /// What became of older events is not kept.
    pub outcomes_from: i64,
    /// Events that retention took before they were processed.
    pub lost: i64,
    /// Events that were processed, to know the log again. Versions before 0.2 wrote none.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// The last time that the log was another one than was processed.
    #[serde(default)]
    pub cut: Option<Cut>,
}

impl Progress {
    /// Whether the next event may have been processed before.
    pub(crate) fn is_read_again(&self) -> bool {
        self.cut.is_some_and(|cut| self.next_offset < cut.to)
    }
}

/// The log of the events had lost its end, or all of it, after that was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cut {
    /// From this offset on the events are processed again: everything before it was known to be there.
    pub from: i64,
    /// The offset up to before which they had been processed.
    pub to: i64,
    /// Events that were processed and may not be in the log any more, in this and in earlier cuts; at most so many.
    pub events: i64,
}

/// What became of the events in a window of offsets; one that is not named was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeWindow {
    /// In the order of their offsets.
    pub runs: Vec<OutcomeRun>,
}

/// Events one after the other to which the same happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRun {
    /// Offset of the first.
    pub first: i64,
    /// How many.
    pub count: i32,
    /// The name of an `Outcome`.
    pub outcome: String,
}

/// Written by an instance that takes the partition over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Barrier {
    /// The writer's.
    pub transactional_id: String,
}

impl AvroRecord for ChangelogEntry {
    const SCHEMA: &'static str = include_str!("../../../../schemas/changelog.avsc");

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the text is part of the program, and tests parse it")]
            Schema::parse_str(ChangelogEntry::SCHEMA).expect("schemas/changelog.avsc is an Avro schema")
        });
        &SCHEMA
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        let Self::OrderState(state) = self else { return false };
        // The union's first branch.
        out.push(0);
        state_bytes::order_state(state, out);
        true
    }

    fn check_written(schema: &Schema) -> Result<(), String> {
        if matches!(schema, Schema::Union(_)) { Ok(()) } else { Err("it is not a union".to_owned()) }
    }

    fn from_written(value: Value, schema: &Schema) -> Result<Self, String> {
        let name = variant_name(schema, &value).unwrap_or_default();
        let Value::Union(_, value) = value else { return Err("it is not a union".to_owned()) };
        match name.strip_prefix("com.ecommerce.order.changelog.") {
            Some("OrderState") => typed(&value).map(Self::OrderState),
            Some("Progress") => typed(&value).map(Self::Progress),
            Some("OutcomeWindow") => typed(&value).map(Self::OutcomeWindow),
            Some("Barrier") => typed(&value).map(Self::Barrier),
            _ => Err(format!("it is a {name:?}")),
        }
    }
}
