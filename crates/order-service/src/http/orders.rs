//! `GET /orders`: the orders, page by page.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use compact_str::CompactString;
use order_events::{CreateOrderPayload, Status};
use serde::Serialize;
use service_runtime::input::Query;
use service_runtime::{Conditional, Prefer, Problem};
use utoipa::ToSchema;

use super::order_position::{self, PositionQuery};
use super::pages::Page;
use crate::http::error;
use crate::http::order_view::OrderView;
use crate::http::state::AppState;
use crate::view::View;
use crate::view::store::Store;

/// The entries of a page whose client named no limit.
const DEFAULT_LIMIT: usize = 100;

/// The most entries of a page.
const MAX_LIMIT: usize = 1000;

/// How many orders are looked at for one page. A page of a rare status is shorter than asked for, and has a
/// cursor to go on with, rather than taking seconds.
const MAX_LOOKED_AT: usize = 10_000;

/// How many items the orders of a page have together, but for the last one's: some megabytes.
const MAX_ITEMS: usize = 20_000;

/// How many ids are taken from the store at once.
const CHUNK: usize = 250;

/// One page of orders.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Orders {
    orders: Vec<OrderView>,
    count: usize,
    /// Null on the last page.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<CompactString>,
}

/// The orders, sorted by id, page by page. A page may be shorter than asked for; the last has no `nextCursor`.
#[utoipa::path(
    get, path = "/orders",
    params(
        ("status" = Option<Status>, Query, nullable = false, description = "Only orders of this status; in any case."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, nullable = false, description = "The most entries; 100 if it is missing."),
        ("cursor" = Option<String>, Query, nullable = false, description = "The `nextCursor` of the page before."),
        PositionQuery,
        ("Prefer" = Option<String>, Header, example = "wait=5", nullable = false, description = "With `position`: wait so many seconds, at most 30, for that event."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An `ETag`: 304 if nothing has changed."),
    ),
    responses(
        (status = 200, body = Orders, description = "A page.", headers(("etag" = String), ("order-position" = String))),
        (status = 304, description = "The client has it already.", headers(("etag" = String), ("order-position" = String))),
        (status = 404, description = "`unknown-partition`."),
        (status = 503, description = "`not-ready`: the orders are being restored. `not-processed`: the event at `position` is not processed yet."),
    ),
    tag = "orders",
)]
pub(super) async fn orders(
    State(state): State<AppState>,
    prefer: Prefer,
    conditional: Conditional,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = Page::read(&mut query, MAX_LIMIT);
    let status = query.optional(&["status"], |text| {
        text.parse::<Status>().map_err(|unknown| format!("{text:?} {unknown}"))
    });
    let places = order_position::read(&mut query);
    let ((page, status), places) = query.finish(page.zip(status).zip(places))?;
    order_position::reach(&state, &places, prefer).await?;
    let View { store, processed } = state.restored_view()?;
    // Before the first row is read: every row is at least that new.
    let position = order_position::header(&processed.reached());
    let mut search =
        Search { store, status, cursor: page.cursor.map(Into::into), found: Vec::new(), items: 0 };
    let next_cursor = search.page(page.limit.unwrap_or(DEFAULT_LIMIT)).await?;
    let rate = state.orders.shipping_rate;
    let view = |(id, order): (CompactString, _)| OrderView::new(id.into_string(), order, rate);
    let orders: Vec<_> = search.found.into_iter().map(view).collect();
    let applied = prefer.applied().filter(|_| !places.is_empty());
    let answer = conditional.answer(&Orders { count: orders.len(), orders, next_cursor });
    Ok((applied, position, answer).into_response())
}

struct Search<'a> {
    store: &'a Store,
    status: Option<Status>,
    /// The last id that was looked at.
    cursor: Option<CompactString>,
    found: Vec<(CompactString, CreateOrderPayload)>,
    /// How many items they have.
    items: usize,
}

impl Search<'_> {
    /// Finds at most `limit` orders; returns the cursor of the next page, if there may be one.
    async fn page(&mut self, limit: usize) -> Result<Option<CompactString>, Problem> {
        let mut looked_at = 0;
        while looked_at < MAX_LOOKED_AT {
            let ids = self.store.ids(self.cursor.as_deref(), CHUNK);
            let is_last = ids.len() < CHUNK;
            for id in ids {
                if self.found.len() == limit || self.items >= MAX_ITEMS {
                    return Ok(self.cursor.take());
                }
                looked_at += 1;
                self.look_at(id)?;
            }
            if is_last {
                return Ok(None);
            }
            // Others want to be served as well.
            tokio::task::yield_now().await;
        }
        Ok(self.cursor.take())
    }

    fn look_at(&mut self, id: CompactString) -> Result<(), Problem> {
        self.cursor = Some(id.clone());
        if let Some(order) = self.store.order(&id).map_err(error::internal)?
            && self.status.is_none_or(|status| order.status.parse() == Ok(status))
        {
            self.items += order.items.len();
            self.found.push((id, order));
        }
        Ok(())
    }
}
