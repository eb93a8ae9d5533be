//! Takes orders over HTTP and publishes them as Kafka events.

fn main() {}
