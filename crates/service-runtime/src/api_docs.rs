//! `/docs` for people and `/openapi.json` for programs. The pages are in the binary: they need no network.

use axum::Router;
use serde_json::Value;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The routes that show a service's description.
pub fn routes<S: Clone + Send + Sync + 'static>(openapi: Value) -> Router<S> {
    // The page's own validator would be a service on the Internet.
    let config = Config::new(["/openapi.json"]).validator_url("none").try_it_out_enabled(true);
    SwaggerUi::new("/docs").config(config).external_url_unchecked("/openapi.json", openapi).into()
}
