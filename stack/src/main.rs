//! `local-stack`: a real Kafka broker and schema registry on this machine, without Docker.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::cli::main()
}
