//! `GET /getAllOrderIdsFromTopic`: the ids of the orders.
//!
//! All ids of a large topic are tens of megabytes. They are sent as they are read from the store, a few at a
//! time, and as fast as the client takes them; so `count` comes behind them.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use compact_str::CompactString;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use service_runtime::input::Query;
use service_runtime::{Prefer, Problem};
use utoipa::ToSchema;

use super::order_position::{self, PositionQuery};
use super::pages::Page;
use crate::http::error;
use crate::http::state::AppState;
use crate::view::View;
use crate::view::store::Store;

const TOPIC: &[&str] = &["topic", "topicName", "topic_name"];

/// The most ids of a page; without a limit, all of them are sent.
const MAX_LIMIT: usize = 1_000_000;

/// How many ids are taken from the store and sent at once.
const CHUNK: usize = 1000;

/// The ids of the orders of a topic, sorted, without repeats; sent while they are read.
#[utoipa::path(
    get, path = "/getAllOrderIdsFromTopic",
    params(
        ("topic" = String, Query, pattern = r"\S", example = "order-events", description = "Also `topicName`, `topic_name`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, nullable = false, description = "The most ids; all if it is missing."),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the page before."),
        PositionQuery,
        ("Prefer" = Option<String>, Header, example = "wait=5", nullable = false, description = "With `position`: wait so many seconds, at most 30, for that event."),
    ),
    responses(
        (status = 200, body = OrderIds, description = "The ids.", headers(("order-position" = String))),
        (status = 404, description = "`unknown-topic`, `unknown-partition`."),
        (status = 503, description = "`not-ready`: the orders are being restored. `not-processed`: the event at `position` is not processed yet."),
    ),
    tag = "orders",
)]
pub(super) async fn all_order_ids(
    State(state): State<AppState>,
    prefer: Prefer,
    mut query: Query,
) -> Result<Response, Problem> {
    let topic = query.required(TOPIC, |topic| match topic.trim() {
        "" => Err("must not be blank".to_owned()),
        topic => Ok(topic.to_owned()),
    });
    let page = Page::read(&mut query, MAX_LIMIT);
    let places = order_position::read(&mut query);
    let ((topic, page), places) = query.finish(topic.zip(page).zip(places))?;
    if *topic != *state.topic {
        return Err(error::unknown_topic(&topic, &state.topic));
    }
    order_position::reach(&state, &places, prefer).await?;
    let View { store, processed } = state.restored_view()?;
    // Before the first id is read: what is sent is at least that new.
    let position = order_position::header(&processed.reached());
    let applied = prefer.applied().filter(|_| !places.is_empty());
    let ids = Ids {
        store: store.clone(),
        topic,
        left: page.limit.unwrap_or(usize::MAX),
        cursor: page.cursor.map(Into::into),
        count: 0,
        part: Part::Head,
    };
    let parts = stream::unfold(ids, |mut ids| async {
        if ids.count > 0 {
            // What there is already goes out now, and others are served in between.
            tokio::task::yield_now().await;
        }
        Some((Ok::<_, Infallible>(ids.next()?), ids))
    });
    // Compression asks once more behind the end.
    let parts = Body::from_stream(parts.fuse());
    Ok((applied, position, [(header::CONTENT_TYPE, "application/json")], parts).into_response())
}

/// What of the answer comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Ids,
    Nothing,
}

/// The rest of an answer.
struct Ids {
    store: Store,
    topic: String,
    /// How many ids the client still wants.
    left: usize,
    /// The last id that was sent.
    cursor: Option<CompactString>,
    count: usize,
    part: Part,
}

/// The whole answer, which is written in parts.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "only described")]
pub(super) struct OrderIds {
    order_ids: Vec<String>,
    count: usize,
    /// Null when there are no more.
    #[schema(required = true)]
    next_cursor: Option<String>,
    topic: String,
    topic_name: String,
}

/// What comes behind the ids. The topic has two names, since clients look for either.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tail<'a> {
    count: usize,
    next_cursor: Option<&'a str>,
    topic: &'a str,
    topic_name: &'a str,
}

impl Ids {
    fn next(&mut self) -> Option<Bytes> {
        let mut text = Vec::new();
        match self.part {
            Part::Nothing => return None,
            Part::Head => {
                text.extend_from_slice(br#"{"orderIds":["#);
                self.part = Part::Ids;
            }
            Part::Ids => {}
        }
        // One more than is sent tells whether there are more.
        let mut ids = self.store.ids(self.cursor.as_deref(), self.left.min(CHUNK).saturating_add(1));
        let has_more = ids.len() > self.left.min(CHUNK);
        ids.truncate(self.left.min(CHUNK));
        for id in &ids {
            if self.count > 0 {
                text.push(b',');
            }
            write_json(&mut text, id);
            self.count += 1;
        }
        self.left -= ids.len();
        if let Some(last) = ids.pop() {
            self.cursor = Some(last);
        }
        if self.left == 0 || !has_more {
            self.finish(&mut text, has_more);
        }
        Some(text.into())
    }

    fn finish(&mut self, text: &mut Vec<u8>, has_more: bool) {
        let next_cursor = self.cursor.as_deref().filter(|_| has_more);
        let (topic, count) = (self.topic.as_str(), self.count);
        let mut tail = Vec::new();
        write_json(&mut tail, &Tail { count, next_cursor, topic, topic_name: topic });
        text.extend_from_slice(b"],");
        // Without its opening brace, an object is the rest of another.
        text.extend_from_slice(&tail[1..]);
        self.part = Part::Nothing;
    }
}

/// Writing text and numbers to memory does not fail.
fn write_json(text: &mut Vec<u8>, value: &impl Serialize) {
    let written = serde_json::to_writer(text, value);
    debug_assert!(written.is_ok());
}
