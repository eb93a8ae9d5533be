//! `POST /dlq/.../redrive`: dead letters go back to the events topic.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use order_events::OrderId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service_runtime::media_type::check_json;
use service_runtime::{Fault, Problem};
use utoipa::ToSchema;

use super::dead_letters::{
    CategoryName, ReasonName, parse_category, parse_offset, parse_order_id, parse_reason,
};
use crate::dead_letters::{Filter, Redrive, RedriveRequest, Report, Which};
use crate::error;
use crate::state::AppState;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
const MAX_NAME: usize = 128;

/// How one letter is sent again. Everything may be missing, and so may the body.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it is read field by field, to tell every fault; this is its description")]
pub(super) struct RedriveOne {
    /// Also if it was sent again already, or if a later update of its order was applied.
    #[schema(nullable = true, example = false)]
    force: Option<bool>,
    /// Who asks, for the record.
    #[schema(
        nullable = true,
        max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "ada"
    )]
    requested_by: Option<String>,
}

/// Which letters are sent again, and how. Everything may be missing, and so may the body.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it is read field by field, to tell every fault; this is its description")]
pub(super) struct RedriveSome {
    /// Only those of this category.
    #[schema(nullable = true, example = "NO_RETRY_DLQ")]
    category: Option<CategoryName>,
    /// Only those with this reason.
    #[schema(nullable = true, example = "unknown_order")]
    reason: Option<ReasonName>,
    /// Only those of this order.
    #[schema(nullable = true, value_type = Option<OrderId>)]
    order_id: Option<String>,
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
    /// Who asks, for the record.
    #[schema(
        nullable = true,
        max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "ada"
    )]
    requested_by: Option<String>,
}

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
    fn new(redrive: Redrive, topic: &str) -> Self {
        let Redrive { dlq_offset, attempt, partition, offset, .. } = redrive;
        Self {
            dlq_offset,
            attempt,
            at: redrive.at_text(),
            by: redrive.by,
            forced: redrive.forced,
            topic: topic.to_owned(),
            partition,
            offset,
            position: format!("{partition}:{offset}"),
            follow: format!("/events/{topic}/{partition}/{offset}"),
        }
    }
}

/// What was done with several letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bulk {
    dry_run: bool,
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
        (status = 422, description = "`not-redrivable`: it is no event of this topic."),
        (status = 503, description = "`not-ready`: Kafka or the registry does not answer, or another instance does the same."),
    ),
    tag = "dead letters",
)]
pub(super) async fn redrive_one(
    State(state): State<AppState>,
    Path(dlq_offset): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Redriven>, Problem> {
    let dlq_offset = parse_offset(&dlq_offset)?;
    let mut body = Body::parse(&headers, &body)?;
    let (force, by) = (body.flag("force"), body.name("requestedBy"));
    body.finish(&["force", "requestedBy"])?;
    let request = RedriveRequest {
        which: Which::One(dlq_offset),
        force,
        dry_run: false,
        by,
        request_id: request_id(&headers),
    };
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
        (status = 503, description = "`not-ready`: Kafka or the registry does not answer, or another instance does the same."),
    ),
    tag = "dead letters",
)]
pub(super) async fn redrive_some(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Bulk>, Problem> {
    let mut body = Body::parse(&headers, &body)?;
    let filter = Filter {
        category: body.text("category", parse_category),
        reason: body.text("reason", parse_reason),
        order_id: body.text("orderId", |id| parse_order_id(id, &state)),
    };
    let (after, limit) = (body.after(), body.limit());
    let (force, dry_run) = (body.flag("force"), body.flag("dryRun"));
    let by = body.name("requestedBy");
    body.finish(&["category", "reason", "orderId", "after", "limit", "force", "dryRun", "requestedBy"])?;
    let which = Which::Some { filter, after, limit };
    let request = RedriveRequest { which, force, dry_run, by, request_id: request_id(&headers) };
    let Report { redriven, refused, remaining, next } = redrive(&state, request).await?;
    let redriven = redriven.into_iter().map(|redrive| Redriven::new(redrive, &state.topic)).collect();
    let refused = refused.iter().map(|(dlq_offset, refusal)| Refused {
        dlq_offset: *dlq_offset,
        problem: error::refused(*dlq_offset, refusal).to_json(),
    });
    Ok(Json(Bulk { dry_run, redriven, refused: refused.collect(), remaining, next }))
}

async fn redrive(state: &AppState, request: RedriveRequest) -> Result<Report, Problem> {
    // Whether an update is superseded can only be told with all orders.
    let view = state.restored_view()?;
    state.letters()?;
    view.redriver.redrive(request).await.map_err(|error| error::redrive_failed(&error))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned)
}

/// An optional JSON object, read so that every fault is told at once.
struct Body {
    fields: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Body {
    fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self { fields: Map::new(), faults: Vec::new() });
        }
        check_json(headers)?;
        let fields = match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(Value::Null) => Map::new(),
            Ok(_) => return Err(Problem::invalid(vec![Fault::body("", "must be a JSON object")])),
            Err(error) => {
                return Err(Problem::invalid(vec![Fault::body("", format!("is not JSON: {error}"))]));
            }
        };
        Ok(Self { fields, faults: Vec::new() })
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.fields.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => self.fault(name, "must be true or false").unwrap_or_default(),
        }
    }

    fn text<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match parse(text) {
                Ok(value) => Some(value),
                Err(detail) => self.fault(name, detail),
            },
            Some(_) => self.fault(name, "must be text"),
        }
    }

    fn name(&mut self, name: &str) -> Option<String> {
        self.text(name, |text| match text.trim() {
            text if text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control) => {
                Ok(text.to_owned())
            }
            _ => Err(format!("must be at most {MAX_NAME} characters, none of them a control character")),
        })
    }

    fn after(&mut self) -> Option<i64> {
        let value = self.fields.get("after").filter(|value| !value.is_null())?;
        let after = value.as_i64().filter(|after| *after >= 0);
        after.or_else(|| self.fault("after", "must be a whole number from 0"))
    }

    fn limit(&mut self) -> usize {
        let Some(value) = self.fields.get("limit").filter(|value| !value.is_null()) else {
            return DEFAULT_LIMIT;
        };
        let limit = value.as_u64().and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit
            .or_else(|| self.fault("limit", format!("must be a whole number from 1 to {MAX_LIMIT}")))
            .unwrap_or_default()
    }

    fn fault<T>(&mut self, name: &str, detail: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::body(name, detail));
        None
    }

    /// # Errors
    /// A 400 with every fault; a field that nobody knows is one, since it may be a filter with a typing mistake.
    fn finish(mut self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.fields.keys().filter(|name| !known.contains(&name.as_str()));
        let expected = format!("is not known; expected are {}", known.join(", "));
        self.faults.extend(unknown.map(|name| Fault::body(name, expected.clone())));
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
