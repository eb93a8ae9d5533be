//! The fields of requests: their names, and the rules of each.

use order_events::{OrderId, Status};
use service_runtime::input::{Fields, Json, text, whole_number};

/// The names under which an order id may come; the first is the canonical one.
pub(crate) const ORDER_ID: &[&str] = &["orderId", "order_id"];
/// The names under which the number of items may come.
pub(crate) const ITEMS_COUNT: &[&str] =
    &["itemsCount", "itemsNum", "numberOfItems", "number_of_items", "numItems", "numOfItems"];
/// The name under which a status comes.
pub(crate) const STATUS: &[&str] = &["status"];

/// The statuses that an update may give.
const USABLE: &str = "pending, confirmed, processing, shipped, delivered or cancelled";

/// The id of the order, under any of its names.
pub(crate) fn order_id(fields: &mut Fields<'_, '_>, prefix: &str) -> Option<OrderId> {
    fields.required(ORDER_ID, |value| parse_order_id(value, prefix))
}

/// The id that the client chose for the order, if it did.
pub(crate) fn chosen_order_id(fields: &mut Fields<'_, '_>, prefix: &str) -> Option<Option<OrderId>> {
    fields.optional(ORDER_ID, |value| parse_order_id(value, prefix))
}

/// The number of items, under any of its names.
pub(crate) fn items_count(fields: &mut Fields<'_, '_>, max: u32) -> Option<u32> {
    fields.required(ITEMS_COUNT, |value| whole_number(value, 1..=max))
}

/// The status of an update; `new` is for orders that are made.
pub(crate) fn status(fields: &mut Fields<'_, '_>) -> Option<Status> {
    fields.required(STATUS, |value| match text(value)?.parse() {
        Ok(Status::New) => Err(format!("new is reserved for orders that are created; use {USABLE}")),
        Ok(status) => Ok(status),
        Err(_) => Err(format!("must be {USABLE}, this is {value}")),
    })
}

/// Reads an order id.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn parse_order_id(value: &Json, prefix: &str) -> Result<OrderId, String> {
    OrderId::parse(text(value)?, prefix).map_err(|error| error.to_string())
}

/// Reads the id of something else than an order, which keeps the same rules and has no prefix.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn parse_id(value: &Json) -> Result<String, String> {
    parse_order_id(value, "").map(OrderId::into_string)
}

#[cfg(test)]
mod tests {
    use service_runtime::input::Body;

    use super::*;

    #[test]
    fn every_alias_is_read() {
        for name in ITEMS_COUNT {
            let mut body = Body::parse(format!(r#"{{"order_id": " 12 ", "{name}": 3}}"#).as_bytes()).unwrap();
            assert_eq!(order_id(&mut body.fields(), "ORD").unwrap().as_str(), "ORD-12");
            assert_eq!(items_count(&mut body.fields(), 1000), Some(3));
        }
    }

    #[test]
    fn statuses_are_known_and_new_is_reserved() {
        let read = |text: &str| {
            let mut body = Body::parse(format!(r#"{{"status": {text}}}"#).as_bytes()).unwrap();
            let status = status(&mut body.fields());
            body.finish(status).map_err(|problem| problem.errors()[0].detail.clone())
        };
        assert_eq!(read("\"Confirmed\""), Ok(Status::Confirmed));
        assert!(read("\"NEW\"").unwrap_err().contains("reserved"));
        assert_eq!(read("\"done\"").unwrap_err(), format!("must be {USABLE}, this is \"done\""));
        assert_eq!(read("1").unwrap_err(), "must be a string, this is 1");
    }
}
