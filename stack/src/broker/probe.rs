//! The question whether a broker is ready, asked as a client would.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::brokers::Node;
use crate::error::StackError;

pub(super) type Admin = AdminClient<DefaultClientContext>;

/// Asks a broker whether it is ready for work.
pub(crate) struct Probe {
    client: Admin,
    node_id: i32,
}

/// A client of the broker at that port.
pub(super) fn client(port: u16) -> Result<Admin, StackError> {
    ClientConfig::new()
        .set("bootstrap.servers", format!("127.0.0.1:{port}"))
        // It is asked before it listens: come back at once.
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .create()
        .map_err(|error| StackError::io("make", "a Kafka client")(std::io::Error::other(error)))
}

impl Probe {
    pub(crate) fn new(node: Node, port: u16) -> Result<Self, StackError> {
        Ok(Self { client: client(port)?, node_id: node.id().into() })
    }

    /// Lets the broker and the controller check the making of a topic, without making it. An open port or an
    /// answer to a metadata request comes seconds before that works.
    ///
    /// The replica is to be on this very broker: the controller agrees once the broker is unfenced, and does not mind
    /// the others (of a mere number of replicas it would count those on fenced brokers, too).
    pub(crate) fn ask(&self, patience: Duration) -> Result<(), String> {
        let replica = [self.node_id];
        let partitions: [&[i32]; 1] = [&replica];
        let topic = NewTopic::new("local-stack-readiness", 1, TopicReplication::Variable(&partitions));
        let options = AdminOptions::new()
            .validate_only(true)
            // Any broker would pass the question on.
            .broker_id(self.node_id)
            .request_timeout(Some(patience))
            .operation_timeout(Some(patience));
        match block_on(self.client.create_topics([&topic], &options)) {
            Err(error) => Err(error.to_string()),
            Ok(results) => match results.into_iter().next() {
                Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(code.to_string()),
                _ => Ok(()),
            },
        }
    }
}

/// Waits for an answer that a thread of the Kafka client brings. An async runtime would do it too, and would panic
/// where a test calls us from within its own.
fn block_on<T>(answer: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
