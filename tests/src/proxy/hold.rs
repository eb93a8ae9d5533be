//! Requests that are held back.

use tokio::sync::oneshot;

/// A kind of request, by its number in Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Api {
    /// Records.
    Produce = 0,
    /// The partitions of a transaction's records, before these.
    AddPartitionsToTxn = 24,
    /// The group whose offsets belong to a transaction.
    AddOffsetsToTxn = 25,
    /// The end of a transaction.
    EndTxn = 26,
    /// Its offsets.
    TxnOffsetCommit = 28,
}

/// Where a request is to be held back.
pub(super) struct Hold {
    client: &'static str,
    api: Api,
    reached: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// A request that is held back, until this is dropped.
pub struct Held {
    reached: oneshot::Receiver<()>,
    _released: oneshot::Sender<()>,
}

impl Hold {
    pub(super) fn new(client: &'static str, api: Api) -> (Self, Held) {
        let ((reached, is_reached), (release, released)) = (oneshot::channel(), oneshot::channel());
        (Self { client, api, reached, released }, Held { reached: is_reached, _released: release })
    }

    pub(super) fn is_for(&self, api: i16, client: &str) -> bool {
        self.api as i16 == api && self.client == client && !self.reached.is_closed()
    }

    pub(super) async fn until_released(self) {
        // Whoever dropped the other end waits no more.
        let _ = self.reached.send(());
        let _ = self.released.await;
    }
}

impl Held {
    /// Waits until there is such a request.
    pub async fn reached(&mut self) {
        (&mut self.reached).await.expect("the proxy runs");
    }
}
