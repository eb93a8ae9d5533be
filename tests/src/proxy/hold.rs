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
    passed: oneshot::Sender<()>,
}

/// A request that is held back, until this is dropped.
pub struct Held {
    reached: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
    passed: oneshot::Receiver<()>,
}

impl Hold {
    pub(super) fn new(client: &'static str, api: Api) -> (Self, Held) {
        let ((reached, is_reached), (release, released)) = (oneshot::channel(), oneshot::channel());
        let (passed, has_passed) = oneshot::channel();
        let held = Held { reached: is_reached, release, passed: has_passed };
        (Self { client, api, reached, released, passed }, held)
    }

    pub(super) fn is_for(&self, api: i16, client: &str) -> bool {
        self.api as i16 == api && self.client == client && !self.reached.is_closed()
    }

    /// Waits until it may pass; gives whom to tell that it was answered.
    pub(super) async fn until_released(self) -> oneshot::Sender<()> {
        // Whoever dropped the other end waits no more.
        let _ = self.reached.send(());
        let _ = self.released.await;
        self.passed
    }
}

impl Held {
    /// Waits until there is such a request.
    pub async fn reached(&mut self) {
        (&mut self.reached).await.expect("the proxy runs");
    }

    /// Lets it pass, and waits until the broker has answered.
    pub async fn release(self) {
        drop(self.release);
        // The connection may have ended before.
        let _ = self.passed.await;
    }
}
