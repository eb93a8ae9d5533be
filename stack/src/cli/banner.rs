//! What a newcomer reads when everything is up.

use std::path::Path;
use std::time::Duration;

use super::output::shown;
use crate::stack::Stack;

/// The addresses, and three commands that work when pasted.
pub(super) fn everything_is_up(
    stack: &Stack,
    cart_port: u16,
    order_port: u16,
    logs: &Path,
    took: Duration,
) -> String {
    let (kafka, registry, logs) = (stack.bootstrap_servers(), stack.registry_url(), shown(logs));
    let seconds = took.as_secs_f32();
    format!(
        "
Everything is up ({seconds:.1} s). Ctrl-C stops it; the data is kept.

  cart-service     http://localhost:{cart_port}        to try it: http://localhost:{cart_port}/docs
  order-service    http://localhost:{order_port}        to try it: http://localhost:{order_port}/docs
  Kafka            {kafka}
  schema registry  {registry}
  logs             {logs}

In another terminal, create an order, update it and read it:

  curl -X POST http://localhost:{cart_port}/create-order -H 'Content-Type: application/json' -d '{{\"orderId\": \"1001\", \"itemsCount\": 3}}'
  curl -X PUT http://localhost:{cart_port}/update-order -H 'Content-Type: application/json' -d '{{\"orderId\": \"1001\", \"status\": \"confirmed\"}}'
  curl 'http://localhost:{order_port}/order-details?orderId=1001'
"
    )
}
