//! The description of the HTTP interface (OpenAPI), and the shapes in it that are read field by field
//! (`request.rs`, `new_order.rs`) and so have no type of their own.

use order_events::OrderId;
use serde_json::{Value, json};
use service_runtime::openapi;
use utoipa::openapi::OpenApi as Description;
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::error::PROBLEMS;
use crate::new_order::{CUSTOMER_ID, ITEM_ID, TOTAL_AMOUNT};
use crate::request::{ITEMS_COUNT, ORDER_ID};

/// The part of the description that is not about one operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "cart-service",
        description = "Takes orders and publishes them as Kafka events. An answer of 2xx means that the event is in \
                   Kafka's log. Errors are problem details (RFC 9457)."
    ),
    components(schemas(OrderId))
)]
pub(crate) struct Api;

/// The whole description; `max_items` is `MAX_ITEMS`.
pub(crate) fn describe(operations: &Description, max_items: u32) -> Value {
    let mut api = openapi::complete(operations, &PROBLEMS);
    let schemas = &mut api["components"]["schemas"];
    schemas["CreateOrderRequest"]["properties"]["itemsCount"]["maximum"] = max_items.into();
    schemas["NewOrderRequest"]["properties"]["items"]["maxItems"] = max_items.into();
    for (schema, spellings) in [
        ("CreateOrderRequest", &[ORDER_ID, ITEMS_COUNT][..]),
        ("UpdateOrderRequest", &[ORDER_ID]),
        ("NewOrderRequest", &[ORDER_ID, CUSTOMER_ID, TOTAL_AMOUNT]),
        ("NewItem", &[ITEM_ID]),
    ] {
        spellings.iter().for_each(|names| allow_spellings(&mut schemas[schema], names));
    }
    api
}

/// Lets an object have a field under one of several names, of which the first is described. What is written here is
/// what `Fields` accepts, but for two names that agree.
fn allow_spellings(schema: &mut Value, names: &[&str]) {
    let [canonical, others @ ..] = names else { return };
    let mut field = schema["properties"][*canonical].clone();
    field["description"] = format!("Another name of `{canonical}`.").into();
    for other in others {
        schema["properties"][*other] = field.clone();
    }
    let required = schema["required"].as_array_mut();
    let is_required = required.is_some_and(|required| {
        let before = required.len();
        required.retain(|name| name != canonical);
        required.len() < before
    });
    let one = names.iter().map(|name| json!({ "required": [name] }));
    let none = (!is_required).then(|| json!({ "not": { "anyOf": one.clone().collect::<Value>() } }));
    let exactly_one = json!({ "oneOf": one.chain(none).collect::<Value>() });
    match schema["allOf"].as_array_mut() {
        Some(rules) => rules.push(exactly_one),
        None => schema["allOf"] = json!([exactly_one]),
    }
}

/// A new order whose content is made up.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "camelCase")]
#[schema(example = json!({ "orderId": "1001", "itemsCount": 3 }))]
pub(crate) struct CreateOrderRequest {
    /// White space around it goes; digits only get the prefix `ORD-`. No control characters.
    #[schema(value_type = OrderId)]
    order_id: String,
    /// At most `MAX_ITEMS`.
    #[schema(minimum = 1, maximum = 1000)]
    items_count: u32,
}

/// A new status of an order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "camelCase")]
#[schema(example = json!({ "orderId": "1001", "status": "confirmed" }))]
pub(crate) struct UpdateOrderRequest {
    /// White space around it goes; digits only get the prefix `ORD-`. No control characters.
    #[schema(value_type = OrderId)]
    order_id: String,
    /// In any case; also `canceled`.
    status: NewStatus,
}

/// A new status of the order in the path.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(example = json!({ "status": "shipped" }))]
pub(crate) struct PatchOrderRequest {
    /// In any case; also `canceled`.
    status: NewStatus,
}

/// A status that an update may give. `new` is for orders that are made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "lowercase")]
pub(crate) enum NewStatus {
    Pending,
    Confirmed,
    Processing,
    Shipped,
    Delivered,
    Cancelled,
}

/// A whole new order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "camelCase")]
#[schema(example = json!({ "customerId": "customer123", "totalAmount": 59.98,
    "items": [{ "itemId": "product456", "quantity": 2, "price": 29.99 }] }))]
pub(crate) struct NewOrderRequest {
    /// As for `/create-order`; made up if it is missing, from the `Idempotency-Key` if there is one.
    #[schema(value_type = Option<OrderId>, nullable = true)]
    order_id: Option<String>,
    /// Who orders; the rules of an order id.
    #[schema(value_type = OrderId)]
    customer_id: String,
    /// At most `MAX_ITEMS`.
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<NewItem>,
    /// Quantity times price over all items, to the cent. Added up if it is missing.
    #[schema(nullable = true)]
    total_amount: Option<f64>,
    /// ISO 4217, in any case. `USD` if it is missing.
    #[schema(pattern = "^[A-Za-z]{3}$", nullable = true)]
    currency: Option<String>,
}

/// One line of a new order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewItem {
    /// The rules of an order id.
    #[schema(value_type = OrderId)]
    item_id: String,
    /// How many pieces.
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: u32,
    /// Of one piece, in the order's currency.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    price: f64,
}

/// The headers that every write understands.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described; routes/write.rs reads them")]
pub(crate) struct WriteParameters {
    /// Also `x-idempotency-key`. The same request with the same key is applied once. Belongs to one order.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 128,
        pattern = "^[ -~]*[!-~][ -~]*$",
        nullable = false,
        required = false
    )]
    idempotency_key: Option<String>,
    /// `wait=5`: wait so many seconds, at most 30, for what becomes of the event.
    #[param(rename = "Prefer", example = "wait=5", nullable = false, required = false)]
    prefer: Option<String>,
}
