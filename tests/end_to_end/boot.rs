//! What stops the boot, and what does not.

use end_to_end_tests::{World, eventually};
use order_events::OrderEvent;
use order_events::codec::AvroRecord;
use serde_json::{Value, json};

#[tokio::test]
async fn a_bad_setting_stops_the_boot_with_one_line() {
    let cases = [
        ("LOG_FORMAT", "xml", "LOG_FORMAT=xml: one of text, json"),
        ("ORDER_TOPIC", "no spaces", "ORDER_TOPIC=no spaces: 1 to 249 letters, digits, dots"),
        ("SCHEMA_REGISTRY_URL", "localhost", "SCHEMA_REGISTRY_URL=localhost: "),
        (
            "SCHEMA_REGISTRY_URL",
            "http://u:hunter2@r",
            "it must not contain credentials; those of the registry go into SCHEMA_REGISTRY_BASIC_AUTH",
        ),
        (
            "SCHEMA_REGISTRY_BASIC_AUTH",
            "hunter2",
            "SCHEMA_REGISTRY_BASIC_AUTH=(not shown): user:password is expected",
        ),
        ("RUST_LOG", "info,[", "RUST_LOG=info,[: "),
        ("LOG_FILE", "/nowhere/at/all.log", "LOG_FILE=/nowhere/at/all.log: "),
        (
            "KAFKA_SECURITY_PROTOCOL",
            "tls",
            "KAFKA_SECURITY_PROTOCOL: librdkafka refuses the property security.protocol",
        ),
        (
            "KAFKA_SECURTY_PROTOCOL",
            "ssl",
            "KAFKA_SECURTY_PROTOCOL: librdkafka refuses the property securty.protocol",
        ),
        ("KAFKA_SASL_PASWORD", "hunter2", "KAFKA_SASL_PASWORD: librdkafka refuses"),
        ("REQUEST_TIMEOUT", "30s", "REQUEST_TIMEOUT=30s: more than 30s is needed"),
        ("API_TOKEN", "hunter2", "API_TOKEN=(not shown): at least 16 printable characters"),
        ("RATE_LIMIT", "0", "RATE_LIMIT=0: a whole number above 0 is expected"),
        ("PORT", "eighty", "PORT=eighty: a whole number is expected"),
        ("BIND", "localhost", "BIND=localhost: an IP address is expected"),
        ("READ_TIMEOUT", "1000000000y", "READ_TIMEOUT=1000000000y: at most 365days is allowed"),
        ("LOG_FILE", "", "LOG_FILE=: a value is expected"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example,b", "CORS_ALLOWED_ORIGINS=b: origins such as https://"),
    ];
    let of_cart = [
        ("MAX_ITEMS", "0", "MAX_ITEMS=0: 0 is not in 1..=10000"),
        ("DELIVERY_TIMEOUT", "1s", "DELIVERY_TIMEOUT=1s: 2s to 300s is allowed"),
        (
            "DELIVERY_TIMEOUT",
            "30s",
            "REQUEST_TIMEOUT=60s: more than 70.5s is needed, that is READ_TIMEOUT (10s), DELIVERY_TIMEOUT (30s)",
        ),
        ("KAFKA_ACKS", "1", "KAFKA_ACKS: this service needs acks=all; remove the setting"),
        ("KAFKA_REQUEST_REQUIRED_ACKS", "1", "KAFKA_REQUEST_REQUIRED_ACKS: this service needs acks=all"),
        ("KAFKA_DELIVERY_TIMEOUT_MS", "500", "this service needs message.timeout.ms=8800"),
    ];
    let world = World::shared().await;
    let long_group = "g".repeat(249);
    let of_orders = [
        ("DLQ_TOPIC", world.topic(), ": must be another topic than ORDER_TOPIC"),
        ("CONSUMER_GROUP_ID", long_group.as_str(), "the changelog is called g"),
        ("SHIPPING_RATE", "2", "SHIPPING_RATE=2: a number from 0 to 1 is expected"),
        ("STATUS_TRANSITIONS", "lax", "STATUS_TRANSITIONS=lax: one of warn, strict"),
        ("UPDATE_GRACE", "soon", "UPDATE_GRACE=soon: a duration is expected"),
        (
            "KAFKA_ISOLATION_LEVEL",
            "read_uncommitted",
            "KAFKA_ISOLATION_LEVEL: this service needs isolation.level=read_committed",
        ),
    ];
    let both = |program| cases.into_iter().map(move |case| (program, case));
    let all = both("cart-service")
        .chain(both("order-service"))
        .chain(of_cart.into_iter().map(|case| ("cart-service", case)))
        .chain(of_orders.into_iter().map(|case| ("order-service", case)));
    for (program, (variable, value, expected)) in all {
        let (code, said) = world.fork().with(variable, value).run_to_end(program).await;
        assert_eq!(code, Some(2), "{program} {variable}={value}: {said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{program}: {said}");
        assert_eq!(said.lines().count(), 1, "{program}: {said}");
        assert!(!said.contains("hunter2"), "{program}: {said}");
    }
}

#[tokio::test]
async fn variables_of_other_programs_do_no_harm() {
    let world = World::shared()
        .await
        .with("KAFKA_HEAP_OPTS", "-Xmx1g")
        .with("KAFKA_PORT", "tcp://10.0.0.1:9092")
        .with("KAFKA_SERVICE_HOST", "10.0.0.1")
        .with("KAFKA_UI_SERVICE_HOST", "10.0.0.2")
        .with("KAFKA_UI_SERVICE_PORT_HTTP", "8080")
        .with("KAFKA_UI_PORT", "tcp://10.0.0.2:8080")
        .with("KAFKA_UI_PORT_8080_TCP_ADDR", "10.0.0.2")
        .with("KAFKA_CLIENT_ID", "mine");
    world.cart().await.stop().await;
    world.orders().await.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_clear_error() {
    let world = World::shared().await;
    let cart = world.cart().await;
    let port = cart.port().to_string();
    for program in ["cart-service", "order-service"] {
        let (code, said) = world.fork().with("PORT", &port).run_to_end(program).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("error: cannot listen on 127.0.0.1:{port}: ")), "{said}");
        assert!(said.contains("PORT"), "{said}");
    }
}

#[tokio::test]
async fn an_incompatible_schema_stops_the_boot_with_the_registrys_reason() {
    let world = World::shared().await;
    // A team's older schema, without payload: what we would write, its readers could not read.
    let other = json!({ "type": "record", "name": "OrderEvent", "namespace": "com.ecommerce.order",
        "fields": [{ "name": "orderId", "type": "int" }] });
    register(&world, &other).await.unwrap();
    for program in ["cart-service", "order-service"] {
        let (code, said) = world.run_to_end(program).await;
        assert_eq!(code, Some(1), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: the schema registry at http://"), "{last}");
        assert!(last.contains(&format!("refuses the schema of subject {}-value: ", world.topic())), "{last}");
    }
}

#[tokio::test]
async fn our_schema_in_other_words_is_taken_and_a_third_branch_is_refused() {
    let world = World::shared().await;
    let cart = world.cart().await;
    cart.stop().await;
    let mut schema: Value = serde_json::from_str(OrderEvent::SCHEMA).unwrap();
    schema["doc"] = json!("in other words");
    assert!(register(&world, &schema).await.is_ok());
    let cancel = json!({ "type": "record", "name": "CancelOrderPayload", "fields": [] });
    schema["fields"][3]["type"].as_array_mut().unwrap().push(cancel);
    assert_eq!(register(&world, &schema).await.unwrap_err(), 409);
    world.cart().await.stop().await;
}

#[tokio::test]
async fn without_auto_registration_a_missing_schema_stops_the_boot() {
    let world = World::shared().await;
    let strict = || world.fork().with("SCHEMA_AUTO_REGISTER", "false");
    let (code, said) = strict().run_to_end("cart-service").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.lines().last().unwrap().contains("set SCHEMA_AUTO_REGISTER=true"), "{said}");
    world.cart().await.stop().await;
    strict().cart().await.stop().await;
}

#[tokio::test]
async fn services_that_start_before_everything_else_wait_for_it() {
    let world = World::own().await;
    world.stack().broker().kill().unwrap();
    world.stack().registry().kill().unwrap();
    let (cart, orders) = (world.cart_starting().await, world.orders_starting().await);
    for service in [&cart, &orders] {
        assert_eq!(service.get("/health/live").await.status, 200);
        let answer = service.get("/health/ready").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(service.get("/health").await.json["status"], "unhealthy");
    }
    let refused = cart.create("A", 1).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(orders.get("/order-details?orderId=A").await.status, 503, "not 404: nobody knows yet");

    world.stack().registry().start().unwrap();
    world.stack().broker().start().unwrap();
    let (cart, orders) = (cart.ready().await, orders.ready().await);
    let created = eventually("an order is taken", async || {
        let answer = cart.create("A", 1).await;
        (answer.status == 201).then_some(answer)
    });
    assert_eq!(created.await.json["orderId"], "A");
    orders.order("A", |_| true).await;
}

#[tokio::test]
async fn the_log_goes_to_a_file_as_well_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.log");
    let world = World::shared()
        .await
        .with("LOG_FILE", file.to_str().unwrap())
        .with("LOG_FORMAT", "json")
        .with("RUST_LOG", "trace,hyper=info")
        .with("KAFKA_SASL_PASSWORD", "hunter2")
        .with("KAFKA_SASL_USERNAME", "user")
        .with("SCHEMA_REGISTRY_BASIC_AUTH", "user:hunter2");
    for service in [world.cart().await, world.orders().await] {
        service.stop().await;
    }
    let log = std::fs::read_to_string(file).unwrap();
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(!log.contains("hunter2"), "{log}");
}

/// Registers a schema for the events; the status, if it is refused.
async fn register(world: &World, schema: &Value) -> Result<(), u16> {
    let url = format!("{}/subjects/{}-value/versions", world.stack().registry_url(), world.topic());
    let body = json!({ "schema": schema.to_string(), "schemaType": "AVRO" });
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    if answer.status().is_success() { Ok(()) } else { Err(answer.status().as_u16()) }
}
