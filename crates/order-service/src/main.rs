//! Consumes order events from Kafka and serves the orders over HTTP.

fn main() {}
