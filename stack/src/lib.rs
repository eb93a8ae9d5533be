//! A real Kafka broker and schema registry on this machine, without Docker.
