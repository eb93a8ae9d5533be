//! The orders in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use order_events::CreateOrderPayload;

use crate::fold::OrderState;

/// A handle on the orders; cheap to clone. One thread writes, any number read.
///
/// The lock is the standard library's: it is held for a look-up, never across an await, and then it is faster
/// than tokio's.
#[derive(Clone, Default)]
pub struct Store(Arc<RwLock<Orders>>);

#[derive(Default)]
struct Orders {
    states: BTreeMap<String, OrderState>,
    /// How many of `states` are orders and not only held updates.
    count: usize,
}

impl Store {
    /// The order, if it exists.
    pub fn order(&self, order_id: &str) -> Option<CreateOrderPayload> {
        self.read().states.get(order_id)?.order.clone()
    }

    /// All that is known of an order id.
    pub fn state(&self, order_id: &str) -> Option<OrderState> {
        self.read().states.get(order_id).cloned()
    }

    /// Shows the new state of an order id; `None` forgets it.
    pub fn apply(&self, order_id: String, state: Option<OrderState>) {
        let mut orders = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_order = state.as_ref().is_some_and(|state| state.order.is_some());
        let before = match state {
            Some(state) => orders.states.insert(order_id, state),
            None => orders.states.remove(&order_id),
        };
        let was_order = before.is_some_and(|state| state.order.is_some());
        orders.count = orders.count + usize::from(is_order) - usize::from(was_order);
    }

    /// The ids of the orders after `cursor`, sorted, at most `limit`.
    pub fn ids(&self, cursor: Option<&str>, limit: usize) -> Vec<String> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = cursor.map_or(Unbounded, Excluded);
        let orders = self.read();
        let after = orders.states.range::<str, _>((from, Unbounded));
        after.filter(|(_, state)| state.order.is_some()).take(limit).map(|(id, _)| id.clone()).collect()
    }

    /// How many orders there are.
    pub fn count(&self) -> usize {
        self.read().count
    }

    fn read(&self) -> RwLockReadGuard<'_, Orders> {
        // A writer that panicked left whole states behind: each is replaced in one step.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(exists: bool) -> Option<OrderState> {
        let order = CreateOrderPayload {
            customer_id: "CUST-1".into(),
            order_date: "d".into(),
            items: Vec::new(),
            total_amount: 1.0,
            currency: "USD".into(),
            status: "new".into(),
        };
        Some(OrderState {
            order: exists.then_some(order),
            updated_at: "t".into(),
            applied: Vec::new(),
            held: Vec::new(),
        })
    }

    #[test]
    fn ids_are_sorted_and_paged_and_only_of_orders() {
        let store = Store::default();
        for id in ["C", "A", "D", "B"] {
            store.apply(id.into(), state(id != "C"));
        }
        assert_eq!(store.ids(None, usize::MAX), ["A", "B", "D"]);
        assert_eq!(store.ids(Some("A"), 1), ["B"]);
        assert_eq!(store.ids(Some("AA"), 9), ["B", "D"]);
        assert_eq!(store.ids(Some("D"), 9), [""; 0]);
    }

    #[test]
    fn the_count_follows_what_is_shown() {
        let store = Store::default();
        store.apply("A".into(), state(false));
        assert_eq!((store.count(), store.order("A")), (0, None));
        store.apply("A".into(), state(true));
        store.apply("A".into(), state(true));
        assert_eq!(store.count(), 1);
        store.apply("A".into(), None);
        assert_eq!((store.count(), store.state("A")), (0, None));
    }
}
