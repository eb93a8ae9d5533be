//! What each service needs around its work: telemetry, an HTTP server that stops well, problem details, metrics, a health probe.
