//! What a new order consists of, and how it is read from a whole order that a client sends: `POST /orders`.

use order_events::{OrderItem, money};
use rust_decimal::Decimal;
use service_runtime::input::{Fields, Json, text, whole_number};

use crate::request::parse_id;

/// The names under which a customer id comes; the first is the canonical one.
pub(crate) const CUSTOMER_ID: &[&str] = &["customerId", "customer_id"];
const ITEMS: &[&str] = &["items"];
/// The names under which an item id comes.
pub(crate) const ITEM_ID: &[&str] = &["itemId", "item_id", "productId", "product_id"];
const QUANTITY: &[&str] = &["quantity"];
const PRICE: &[&str] = &["price"];
/// The names under which the total comes.
pub(crate) const TOTAL_AMOUNT: &[&str] = &["totalAmount", "total_amount"];
const CURRENCY: &[&str] = &["currency"];

/// The most pieces of one item.
pub(crate) const MAX_QUANTITY: i32 = 1_000_000;

/// The highest price of one piece.
pub(crate) const MAX_PRICE: u32 = 1_000_000_000;

/// The currency of an order that names none.
pub(crate) const DEFAULT_CURRENCY: &str = "USD";

/// A new order but for its id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewOrder {
    /// Who orders.
    pub customer_id: String,
    /// What is ordered; at least one.
    pub items: Vec<OrderItem>,
    /// Quantity times price, over all items.
    pub total: Decimal,
    /// ISO 4217, upper case.
    pub currency: String,
}

impl NewOrder {
    /// Reads the fields of an order of at most `max_items`; `None` if anything is wrong with them.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, max_items: u32) -> Option<Self> {
        let customer_id = fields.required(CUSTOMER_ID, parse_id);
        let items = fields.list(ITEMS, max_items as usize, item);
        let sum = items.as_deref().map(sum);
        let agrees = fields.optional(TOTAL_AMOUNT, |value| same_amount(amount(value)?, sum));
        let currency = fields.optional(CURRENCY, currency);
        agrees?;
        Some(Self {
            customer_id: customer_id?,
            items: items?,
            total: sum?,
            currency: currency?.unwrap_or_else(|| DEFAULT_CURRENCY.to_owned()),
        })
    }
}

fn item(fields: &mut Fields<'_, '_>) -> Option<OrderItem> {
    let item_id = fields.required(ITEM_ID, parse_id);
    let quantity = fields.required(QUANTITY, |value| whole_number(value, 1..=MAX_QUANTITY));
    let price = fields.required(PRICE, |value| {
        let price = amount(value)?;
        let in_range = (Decimal::ZERO..=Decimal::from(MAX_PRICE)).contains(&price);
        if in_range { Ok(price) } else { Err(format!("must be from 0 to {MAX_PRICE}, this is {value}")) }
    });
    Some(OrderItem { item_id: item_id?, quantity: quantity?, price: money::to_wire(price?) })
}

fn sum(items: &[OrderItem]) -> Decimal {
    let prices = items.iter().map(|item| (money::from_wire(item.price).unwrap_or_default(), item.quantity));
    prices.map(|(price, quantity)| price * Decimal::from(quantity)).sum()
}

/// Clients add in doubles: to the cent is close enough, and for large amounts what a double holds of them.
/// Nothing to compare with is no fault of the amount.
fn same_amount(given: Decimal, sum: Option<Decimal>) -> Result<(), String> {
    let Some(sum) = sum else { return Ok(()) };
    let tolerance = (sum * Decimal::new(1, 12)).max(Decimal::new(5, 3));
    if given.checked_sub(sum).is_some_and(|difference| difference.abs() <= tolerance) {
        return Ok(());
    }
    let sum = sum.normalize();
    Err(format!("must be the sum of quantity times price, {sum}; this is {given}; or leave it out"))
}

fn amount(value: &Json) -> Result<Decimal, String> {
    let amount = match value {
        Json::Number(number) => number.as_f64().and_then(money::from_wire),
        _ => return Err(format!("must be a number, this is {value}")),
    };
    amount.ok_or_else(|| format!("is too large: {value}"))
}

fn currency(value: &Json) -> Result<String, String> {
    let code = text(value)?.trim().to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code { Ok(code) } else { Err(format!("must be three letters (ISO 4217), this is {value}")) }
}

#[cfg(test)]
mod tests {
    use service_runtime::input::Body;

    use super::*;

    fn read(body: &str) -> Result<NewOrder, Vec<String>> {
        let mut body = Body::parse(body.as_bytes()).unwrap();
        let order = NewOrder::read(&mut body.fields(), 3);
        body.finish(order).map_err(|problem| {
            problem.errors().iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect()
        })
    }

    #[test]
    fn both_spellings_are_read() {
        let snake =
            read(r#"{"customer_id": 7, "items": [{"product_id": "p", "quantity": 2, "price": 29.99}]}"#);
        assert_eq!(snake.unwrap_err(), ["#/customer_id must be a string, this is 7"]);
        let camel = read(
            r#"{"customerId": " c ", "items": [{"productId": "p", "quantity": 2, "price": 29.99}],
                "totalAmount": 59.98, "currency": "eur"}"#,
        );
        let camel = camel.unwrap();
        assert_eq!((camel.total.to_string().as_str(), camel.currency.as_str()), ("59.98", "EUR"));
        assert_eq!((camel.customer_id.as_str(), camel.items[0].item_id.as_str()), ("c", "p"));
    }

    #[test]
    fn the_total_must_be_the_sum_to_the_cent() {
        let order = |total: &str| {
            read(&format!(
                r#"{{"customer_id": "c", "total_amount": {total}, "items": [
                    {{"product_id": "p", "quantity": 3, "price": 0.1}}, {{"product_id": "q", "quantity": 1, "price": 1}}]}}"#
            ))
        };
        assert_eq!(order("1.3").unwrap().total.to_string(), "1.3");
        assert!(order("1.3000000000000003").is_ok(), "as a double adds it up");
        let large = |total: &str| {
            read(&format!(
                r#"{{"customer_id": "c", "total_amount": {total}, "items": [
                    {{"product_id": "p", "quantity": 996, "price": 108399934.47519183}}]}}"#
            ))
        };
        assert!(large("107966334737.29106").is_ok() && large("107966334738.29106").is_err());
        let fault = &order("1.31").unwrap_err()[0];
        assert_eq!(
            fault,
            "#/total_amount must be the sum of quantity times price, 1.3; this is 1.31; or leave it out"
        );
        assert!(order("\"1.3\"").is_err());
        assert!(order("-7.922816251426433e28").is_err(), "its difference to the sum is beyond a decimal");
    }

    #[test]
    fn every_fault_has_its_place() {
        let faults = read(
            r#"{"customer_id": "", "currency": "dollar", "total_amount": 1, "items": [
                {"product_id": "p", "quantity": 0, "price": -1}, 7, {"quantity": 1, "quantity": 2}]}"#,
        );
        let faults = faults.unwrap_err();
        let places: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
        let expected = [
            "#/customer_id",
            "#/items/0/quantity",
            "#/items/0/price",
            "#/items/1",
            "#/items/2/itemId",
            "#/items/2/quantity",
            "#/items/2/price",
            "#/currency",
        ];
        assert_eq!(places, expected, "{faults:?}");
        assert_eq!(read(r#"{"customer_id": "c", "items": []}"#).unwrap_err().len(), 1);
    }
}
