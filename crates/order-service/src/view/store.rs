//! The orders in memory.
//!
//! A state is kept as the bytes that are in the changelog: a third of what it takes as Rust values, and
//! restoring needs no decoding. Reading an order decodes it, which takes a microsecond.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::iter;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use compact_str::CompactString;
use order_events::CreateOrderPayload;
use order_events::codec::{DecodeError, FRAME_LEN};
use order_events::partitioner::partition_of;
use thiserror::Error;

use crate::changelog::{ChangelogCodec, ChangelogEntry};
use crate::event::state::OrderState;

/// How many states are shown while the lock is held once; readers wait that long at the most.
const SHOWN_AT_ONCE: usize = 512;

/// The union's index of `OrderState`, then that of an order that exists, as Avro writes them (zigzag).
const STATE_OF_AN_ORDER: [u8; 2] = [0, 2];

/// A state in the store is not readable; the store is only given what was encoded here.
#[derive(Debug, Error)]
#[error("the state of order {order_id} in memory cannot be read: {reason}")]
pub struct CorruptState {
    order_id: String,
    reason: DecodeError,
}

/// The encoded state of an order id, framed, in this program's own schema.
pub type StateBytes = Box<[u8]>;

/// A handle on the orders; cheap to clone. One thread writes, any number read.
///
/// The locks are the standard library's: they are held for a look-up, never across an await, and then they
/// are faster than tokio's.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    codec: Arc<ChangelogCodec>,
    partitions: Box<[RwLock<Partition>]>,
}

#[derive(Default)]
struct Partition {
    states: BTreeMap<CompactString, StateBytes>,
    /// Those of `states` that are no orders yet, only updates that wait for one.
    early: BTreeSet<CompactString>,
    /// Of the ids and the states.
    bytes: usize,
}

impl Store {
    /// An empty store for this many partitions.
    pub fn new(codec: Arc<ChangelogCodec>, partitions: usize) -> Self {
        let partitions = (0..partitions).map(|_| RwLock::default()).collect();
        Self(Arc::new(Inner { codec, partitions }))
    }

    /// The order, if it exists.
    ///
    /// # Errors
    /// Only if memory is corrupt.
    pub fn order(&self, order_id: &str) -> Result<Option<CreateOrderPayload>, CorruptState> {
        Ok(self.locate(order_id)?.map(|(_, order)| order))
    }

    /// The order, if it exists, and the partition that it is in: [its own](Self::partition_of), or another one
    /// if a peer uses another partitioner.
    ///
    /// # Errors
    /// Only if memory is corrupt.
    pub fn locate(&self, order_id: &str) -> Result<Option<(usize, CreateOrderPayload)>, CorruptState> {
        let own = self.partition_of(order_id);
        let others = (0..self.0.partitions.len()).filter(|partition| *partition != own);
        for partition in iter::once(own).chain(others) {
            if let Some(order) = self.order_in(partition, order_id)? {
                return Ok(Some((partition, order)));
            }
        }
        Ok(None)
    }

    /// The order, if it exists in this partition.
    ///
    /// # Errors
    /// Only if memory is corrupt.
    pub fn order_in(
        &self,
        partition: usize,
        order_id: &str,
    ) -> Result<Option<CreateOrderPayload>, CorruptState> {
        Ok(self.state(partition, order_id)?.and_then(|state| state.order))
    }

    /// The partition that the services, and all peers with Java's partitioner, give an order id.
    pub fn partition_of(&self, order_id: &str) -> usize {
        let partitions = i32::try_from(self.0.partitions.len()).unwrap_or(i32::MAX);
        usize::try_from(partition_of(order_id.as_bytes(), partitions)).unwrap_or(0)
    }

    /// All that is known of an order id in one partition.
    ///
    /// # Errors
    /// Only if memory is corrupt.
    pub fn state(&self, partition: usize, order_id: &str) -> Result<Option<OrderState>, CorruptState> {
        Ok(self.sized_state(partition, order_id)?.map(|(state, _)| state))
    }

    /// The same, and how many bytes it takes here.
    ///
    /// # Errors
    /// Only if memory is corrupt.
    pub fn sized_state(
        &self,
        partition: usize,
        order_id: &str,
    ) -> Result<Option<(OrderState, usize)>, CorruptState> {
        let partition = self.read(partition);
        let Some(bytes) = partition.states.get(order_id) else { return Ok(None) };
        match self.0.codec.decode(Some(bytes)) {
            Ok(ChangelogEntry::OrderState(state)) => Ok(Some((state, bytes.len()))),
            // Unreachable: see `is_order`.
            Ok(_) => Ok(None),
            Err(reason) => Err(CorruptState { order_id: order_id.to_owned(), reason }),
        }
    }

    /// Shows the new states of order ids of one partition; `None` forgets one.
    pub fn apply(&self, partition: usize, states: Vec<(CompactString, Option<StateBytes>)>) {
        let lock = &self.0.partitions[partition];
        let mut states = states.into_iter();
        while states.len() > 0 {
            let mut partition = lock.write().unwrap_or_else(PoisonError::into_inner);
            states
                .by_ref()
                .take(SHOWN_AT_ONCE)
                .for_each(|(order_id, state)| partition.apply(order_id, state));
        }
    }

    /// Forgets all orders of a partition.
    pub fn clear(&self, partition: usize) {
        let mut partition = self.0.partitions[partition].write().unwrap_or_else(PoisonError::into_inner);
        *partition = Partition::default();
    }

    /// The ids of the orders after `cursor`, sorted, at most `limit`.
    pub fn ids(&self, cursor: Option<&str>, limit: usize) -> Vec<CompactString> {
        // All locks at once: who writes takes one at a time, so none waits for another in turn.
        let locked: Vec<_> = (0..self.0.partitions.len()).map(|partition| self.read(partition)).collect();
        let mut rest: Vec<_> = locked.iter().map(|partition| partition.ids_after(cursor)).collect();
        let heads = rest.iter_mut().enumerate();
        let mut heads: BinaryHeap<_> =
            heads.filter_map(|(partition, rest)| Some(Reverse((rest.next()?, partition)))).collect();
        let mut ids: Vec<CompactString> = Vec::new();
        while ids.len() < limit
            && let Some(Reverse((id, partition))) = heads.pop()
        {
            heads.extend(rest[partition].next().map(|next| Reverse((next, partition))));
            // A peer with another partitioner can bring one order into two partitions.
            if ids.last() != Some(id) {
                ids.push(id.clone());
            }
        }
        ids
    }

    /// Whether there is such a partition.
    pub fn has_partition(&self, partition: i32) -> bool {
        usize::try_from(partition).is_ok_and(|partition| partition < self.0.partitions.len())
    }

    /// How many orders there are.
    pub fn count(&self) -> usize {
        let partitions = 0..self.0.partitions.len();
        partitions
            .map(|partition| self.read(partition))
            .map(|states| states.states.len() - states.early.len())
            .sum()
    }

    /// How many bytes the ids and states take, those of updates that wait included.
    pub fn bytes(&self) -> usize {
        (0..self.0.partitions.len()).map(|partition| self.read(partition).bytes).sum()
    }

    /// The order ids of one partition that only have updates that wait.
    pub fn early(&self, partition: usize) -> Vec<CompactString> {
        self.read(partition).early.iter().cloned().collect()
    }

    fn read(&self, partition: usize) -> RwLockReadGuard<'_, Partition> {
        // A writer that panicked left whole states behind: each is replaced in one step.
        self.0.partitions[partition].read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partition {
    fn apply(&mut self, order_id: CompactString, state: Option<StateBytes>) {
        let id_bytes = order_id.len();
        let before = match state {
            Some(state) => {
                self.bytes += id_bytes + state.len();
                if is_order(&state) {
                    self.early.remove(&order_id);
                } else {
                    self.early.insert(order_id.clone());
                }
                self.states.insert(order_id, state)
            }
            None => {
                self.early.remove(&order_id);
                self.states.remove(&order_id)
            }
        };
        self.bytes -= before.map_or(0, |before| id_bytes + before.len());
    }

    fn ids_after(&self, cursor: Option<&str>) -> impl Iterator<Item = &CompactString> {
        let from = cursor.map_or(Unbounded, Excluded);
        let ids = self.states.range::<str, _>((from, Unbounded)).map(|(id, _)| id);
        ids.filter(|id| self.early.is_empty() || !self.early.contains(*id))
    }
}

/// Whether encoded bytes are the state of an order, and not only of updates that wait for one.
fn is_order(state: &[u8]) -> bool {
    state.get(FRAME_LEN..FRAME_LEN + 2) == Some(&STATE_OF_AN_ORDER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    const PARTITIONS: usize = 4;

    /// What tells an order from updates that wait for one.
    fn state(is_order: bool) -> StateBytes {
        let mut bytes = vec![0; FRAME_LEN];
        bytes.extend(if is_order { STATE_OF_AN_ORDER } else { [0, 0] });
        bytes.into()
    }

    proptest! {
        #[test]
        fn a_page_of_ids_is_what_sorting_all_of_them_gives(
            states in proptest::collection::vec((0..PARTITIONS, 0..30_u8, any::<bool>()), 0..80),
            cursor in proptest::option::of(0..30_u8),
            limit in 0..40_usize,
        ) {
            let store = Store::new(Arc::new(samples::changelog_codec()), PARTITIONS);
            let id = |number: u8| CompactString::from(format!("ORD-{number}"));
            let mut last = BTreeMap::new();
            for (partition, number, is_order) in states {
                store.apply(partition, vec![(id(number), Some(state(is_order)))]);
                last.insert((partition, number), is_order);
            }
            let orders = last.into_iter().filter(|(_, is_order)| *is_order);
            let orders: BTreeSet<_> = orders.map(|((_, number), _)| id(number)).collect();
            let cursor = cursor.map(id);
            let behind = orders.into_iter().filter(|id| cursor.as_ref().is_none_or(|cursor| id > cursor));
            prop_assert_eq!(store.ids(cursor.as_deref(), limit), behind.take(limit).collect::<Vec<_>>());
        }
    }
}
