//! An order as clients see it.

use order_events::{CreateOrderPayload, money};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

/// An order with what is derived from it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderView {
    order_id: String,
    #[serde(flatten)]
    order: CreateOrderPayload,
    /// The total times the shipping rate, rounded half up to cents.
    shipping_cost: f64,
}

impl OrderView {
    /// The view of `order`; `shipping_rate` is a part of the total, 0.02 for 2 %.
    pub(crate) fn new(order_id: String, order: CreateOrderPayload, shipping_rate: Decimal) -> Self {
        Self { order_id, shipping_cost: shipping_cost(order.total_amount, shipping_rate), order }
    }
}

fn shipping_cost(total: f64, rate: Decimal) -> f64 {
    let exact = money::from_wire(total).and_then(|total| total.checked_mul(rate));
    match exact {
        Some(cost) => money::to_wire(money::round_to_cents(cost)),
        // Beyond what a decimal holds, cents are beyond what a double holds.
        None => total * money::to_wire(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipping_is_rounded_half_up_to_cents() {
        let rate = "0.02".parse().unwrap();
        assert_eq!(shipping_cost(99.98, rate), 2.0);
        assert_eq!(shipping_cost(150.0, rate), 3.0);
        assert_eq!(shipping_cost(0.25, rate), 0.01);
        assert_eq!(shipping_cost(0.24, rate), 0.0);
        // In doubles, 1.005 is a little less, and would be rounded down.
        assert_eq!(shipping_cost(50.25, rate), 1.01);
        assert_eq!(shipping_cost(1e300, rate), 1e300 * 0.02);
    }
}
