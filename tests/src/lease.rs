//! Stacks that go from one test to the next: a start takes seconds of both processors.

use std::ops::Deref;
use std::sync::Mutex;
use std::time::Duration;

use local_stack::{Server, Stack};
use uuid::Uuid;

use crate::world::start_stack;

/// Stacks that nobody has.
static IDLE: Mutex<Vec<Stack>> = Mutex::new(Vec::new());

/// How long a stack that a test has left may take to answer. One that the test has broken is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A stack that a test has, until it is dropped.
pub(crate) struct Lease {
    stack: Option<Stack>,
    goes_on: bool,
}

impl Lease {
    /// Of a stack with the usual settings, whose broker and registry answer.
    pub(crate) fn of_one_in_order() -> Self {
        let idle = std::iter::from_fn(|| IDLE.lock().unwrap().pop()).find(is_in_order);
        let stack = idle.unwrap_or_else(|| start_stack(&Uuid::new_v4().to_string(), &[]));
        Self { stack: Some(stack), goes_on: true }
    }

    /// Of a stack that no other test may get.
    pub(crate) fn of_a_special_one(stack: Stack) -> Self {
        Self { stack: Some(stack), goes_on: false }
    }
}

fn is_in_order(stack: &Stack) -> bool {
    [stack.broker(), stack.registry()].into_iter().all(|server: &Server| server.wait_ready(PATIENCE).is_ok())
}

impl Deref for Lease {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.stack.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What a failed test has left shows why it failed.
        if self.goes_on && !std::thread::panicking() {
            IDLE.lock().unwrap().extend(self.stack.take());
        }
    }
}
