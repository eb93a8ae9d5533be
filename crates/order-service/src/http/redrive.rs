//! `POST /dlq/.../redrive`: dead letters go back to the events topic.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use order_events::{OrderId, Reason};
use serde::Serialize;
use serde_json::Value;
use service_runtime::Problem;
use service_runtime::input::{Body, Fields, Path, Query, flag, text, whole_number};
use service_runtime::observe::REQUEST_ID;
use utoipa::ToSchema;

use super::ORDER_ID;
use super::dead_letters::{parse_category, parse_offset, parse_reason};
use crate::dead_letters::{Category, Filter, RedriveNote, RedriveRequest, Report, Selection};
use crate::http::error;
use crate::http::state::AppState;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: u16 = 1000;
const MAX_NAME: usize = 128;

const UNAVAILABLE: &str = "`not-ready`: the orders are being restored, or the dead letters read. `redrive-failed`: nothing \
    was sent; Kafka or the registry does not answer, or another instance does the same. `redrive-unknown`: it may have \
    been sent; look at the letter.";

/// The fields of a request about any letters.
const ASKER_FIELDS: &[&str] = &["force", "requestedBy"];
/// The other fields of a request about several.
const SOME_FIELDS: &[&str] = &["category", "reason", "after", "limit", "dryRun"];

/// How one letter is sent again. Everything may be missing, and so may the body.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RedriveOne {
    /// Also if it was sent again already, or if a later update of its order was applied.
    #[schema(nullable = true, example = false)]
    force: Option<bool>,
    #[schema(nullable = true)]
    requested_by: Option<Requester>,
}

/// Which letters are sent again, and how. Everything may be missing, and so may the body.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RedriveSome {
    /// Only those of this category.
    #[schema(nullable = true, example = "NO_RETRY_DLQ")]
    category: Option<Category>,
    /// Only those with this reason.
    #[schema(nullable = true, example = "unknown_order")]
    reason: Option<Reason>,
    /// Only those of this order.
    #[schema(nullable = true, value_type = Option<OrderId>)]
    order_id: Option<String>,
    /// Another name of `orderId`.
    #[schema(nullable = true, value_type = Option<OrderId>)]
    #[serde(rename = "order_id")]
    order_id_too: Option<String>,
    /// Only those behind this `dlq_offset`.
    #[schema(nullable = true, minimum = 0)]
    after: Option<i64>,
    /// The most; 100 if it is missing. Fewer if they are large.
    #[schema(nullable = true, minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
    /// Only tells what would be done.
    #[schema(nullable = true, example = true)]
    dry_run: Option<bool>,
    /// Also those that were sent again already, or whose orders have later updates.
    #[schema(nullable = true, example = false)]
    force: Option<bool>,
    #[schema(nullable = true)]
    requested_by: Option<Requester>,
}

/// Who asks, for the record.
#[derive(Serialize, ToSchema)]
#[schema(max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", example = "ada")]
struct Requester(String);

/// What was sent again, and where it is now.
#[derive(Serialize, ToSchema)]
pub(super) struct Redriven {
    dlq_offset: i64,
    attempt: u32,
    /// RFC 3339.
    at: String,
    by: Option<String>,
    forced: bool,
    topic: String,
    partition: i32,
    offset: i64,
    /// `<partition>:<offset>`.
    position: String,
    /// Where to see what becomes of it.
    follow: String,
}

impl Redriven {
    fn new(redrive: RedriveNote, topic: &str) -> Self {
        let RedriveNote { dlq_offset, attempt, partition, offset, .. } = redrive;
        let position = redrive.place().to_string();
        Self {
            dlq_offset,
            attempt,
            at: redrive.at_text(),
            by: redrive.by,
            forced: redrive.forced,
            topic: topic.to_owned(),
            partition,
            offset,
            position,
            follow: format!("/events/{topic}/{partition}/{offset}"),
        }
    }
}

/// What was done with several letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bulk {
    dry_run: bool,
    /// In a dry run what would be sent, with the place of the old record.
    redriven: Vec<Redriven>,
    refused: Vec<Refused>,
    /// How many more there are.
    remaining: usize,
    /// Where to go on: the `after` of the next request. Null if there are no more.
    next: Option<i64>,
}

/// A letter that was not sent again.
#[derive(Serialize, ToSchema)]
struct Refused {
    dlq_offset: i64,
    /// As the answer for this letter alone would tell it.
    #[schema(value_type = Object)]
    problem: Value,
}

/// Sends one dead letter again: its bytes go back to the events topic, and a note of it is kept.
#[utoipa::path(
    post, path = "/dlq/messages/{dlq_offset}/redrive",
    params(("dlq_offset" = i64, Path, minimum = 0, example = 0)),
    request_body(content = Option<RedriveOne>, description = "May be missing."),
    responses(
        (status = 200, body = Redriven, description = "It is in the events topic again."),
        (status = 404, description = "`unknown-dead-letter`."),
        (status = 409, description = "`already-redriven`, `superseded`: unless forced. `too-many-redrives`."),
        (status = 422, description = "`not-redrivable`: it is no event of this topic, or too large."),
        (status = 503, description = UNAVAILABLE),
    ),
    tag = "dead letters",
)]
pub(super) async fn redrive_one(
    State(state): State<AppState>,
    Path(dlq_offset): Path<String>,
    headers: HeaderMap,
    query: Query,
    body: Option<Body>,
) -> Result<Json<Redriven>, Problem> {
    let mut body = body.unwrap_or_default();
    body.blame(query.unexpected());
    let dlq_offset = body.checked(parse_offset(&dlq_offset));
    body.only(&[ASKER_FIELDS]);
    let asker = Asker::read(&mut body.fields());
    let (dlq_offset, Asker { force, by }) = body.finish(dlq_offset.zip(asker))?;
    let (selection, request_id) = (Selection::One(dlq_offset), request_id(&headers));
    let request = RedriveRequest { selection, force, dry_run: false, by, request_id };
    let Report { redriven, refused, .. } = redrive(&state, request).await?;
    match (redriven.into_iter().next(), refused.first()) {
        (Some(redrive), _) => Ok(Json(Redriven::new(redrive, &state.topic))),
        (None, Some((_, refusal))) => Err(error::refused(dlq_offset, refusal)),
        (None, None) => Err(error::unknown_dead_letter(dlq_offset)),
    }
}

/// Sends dead letters again that were not sent again yet, the oldest first, all in one transaction.
#[utoipa::path(
    post, path = "/dlq/redrive",
    request_body(content = Option<RedriveSome>, description = "May be missing."),
    responses(
        (status = 200, body = Bulk, description = "What was sent, and what was not and why."),
        (status = 422, description = "`not-redrivable`: one of them is larger than the events topic takes; nothing was sent."),
        (status = 503, description = UNAVAILABLE),
    ),
    tag = "dead letters",
)]
pub(super) async fn redrive_some(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Query,
    body: Option<Body>,
) -> Result<Json<Bulk>, Problem> {
    let mut body = body.unwrap_or_default();
    body.blame(query.unexpected());
    body.only(&[SOME_FIELDS, ORDER_ID, ASKER_FIELDS]);
    let mut fields = body.fields();
    let (selection, asker) = (some(&mut fields, &state), Asker::read(&mut fields));
    let dry_run = fields.optional(&["dryRun"], flag);
    let ((selection, asker), dry_run) = body.finish(selection.zip(asker).zip(dry_run))?;
    let (Asker { force, by }, dry_run) = (asker, dry_run.unwrap_or_default());
    let request = RedriveRequest { selection, force, dry_run, by, request_id: request_id(&headers) };
    let Report { redriven, refused, remaining, next } = redrive(&state, request).await?;
    let redriven = redriven.into_iter().map(|redrive| Redriven::new(redrive, &state.topic)).collect();
    let refused = refused.iter().map(|(dlq_offset, refusal)| Refused {
        dlq_offset: *dlq_offset,
        problem: error::refused(*dlq_offset, refusal).to_json(),
    });
    Ok(Json(Bulk { dry_run, redriven, refused: refused.collect(), remaining, next }))
}

/// The letters of a request about several.
fn some(fields: &mut Fields<'_, '_>, state: &AppState) -> Option<Selection> {
    let category = fields.optional(&["category"], |value| parse_category(text(value)?));
    let reason = fields.optional(&["reason"], |value| parse_reason(text(value)?));
    let order_id = fields.optional(ORDER_ID, |value| state.order_id(text(value)?));
    let after = fields.optional(&["after"], |value| whole_number(value, 0..));
    let limit = fields.optional(&["limit"], |value| whole_number(value, 1..=MAX_LIMIT));
    Some(Selection::Some {
        filter: Filter { category: category?, reason: reason?, order_id: order_id? },
        after: after?,
        limit: limit?.map_or(DEFAULT_LIMIT, usize::from),
    })
}

/// Who asks, and whether they insist.
struct Asker {
    force: bool,
    by: Option<String>,
}

impl Asker {
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let force = fields.optional(&["force"], flag);
        let by = fields.optional(&["requestedBy"], |value| match text(value)?.trim() {
            name if name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control) => {
                Ok(name.to_owned())
            }
            _ => Err(format!("must be at most {MAX_NAME} characters, none of them a control character")),
        });
        Some(Self { force: force?.unwrap_or_default(), by: by? })
    }
}

async fn redrive(state: &AppState, request: RedriveRequest) -> Result<Report, Problem> {
    // Only with all orders is it known whether an update is superseded.
    state.restored_view()?;
    state.letters()?.redriver.redrive(request).await.map_err(|error| error::redrive_failed(&error))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned)
}
