//! The number of partitions: what it was when the topics were made, what the settings say, what it becomes.

use std::time::Duration;

use end_to_end_tests::{Load, Service, World, eventually, murmur2, python};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::block_in_place;

const ORDERS: u32 = 100;

/// An instance of a world with so many orders, which are processed.
async fn processed(world: &World) -> Service {
    let service = world.orders().await;
    Load::new(world).await.creates(0..ORDERS).await;
    shows_all(&service).await;
    service
}

/// Waits until a service shows all orders as they were made.
async fn shows_all(service: &Service) {
    eventually("all orders are shown", async || {
        let orders = service.get("/orders?status=new&limit=1000").await;
        (orders.json["count"] == ORDERS).then_some(())
    })
    .await;
    for number in 0..ORDERS {
        assert_eq!(service.get(&format!("/orders/ORD-{number}")).await.json["status"], "new");
    }
}

/// How many members the consumer group has.
fn members(world: &World) -> usize {
    let client: BaseConsumer = world.events().client().create().unwrap();
    let groups = block_in_place(|| client.fetch_group_list(Some(&world.group()), Duration::from_secs(30)));
    groups.unwrap().groups().first().map_or(0, |group| group.members().len())
}

/// Waits until a service is not ready and says why, with all of these words.
async fn says(service: &Service, words: &[&str]) {
    eventually(&format!("it says {words:?}"), async || {
        let answer = service.get("/health/ready").await;
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        (answer.status == 503 && words.iter().all(|word| detail.contains(word))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_stop_the_writes_of_cart_service() {
    let world = World::shared().await;
    let cart = world.cart().await;
    for number in 0..20 {
        assert_eq!(cart.create(&format!("A-{number}"), 1).await.status, 201);
    }
    world.events().add_partitions(6).await;
    says(&cart, &["had 3 partitions", "has 6 now", "docs/operations.md"]).await;
    let before = block_in_place(|| world.events().read());
    for number in 0..20 {
        let answer = cart.update(&format!("A-{number}"), "confirmed").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.json["type"].as_str().unwrap().ends_with(":not-published"), "{}", answer.text);
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    assert_eq!(block_in_place(|| world.events().read()), before, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn cart_service_writes_only_into_a_topic_with_as_many_partitions_as_are_set() {
    let world = World::shared().await;
    world.events().create(3, &[]).await;
    let cart = world.fork().with("TOPIC_PARTITIONS", "4").cart_starting().await;
    says(&cart, &["has 3 partitions", "TOPIC_PARTITIONS=4"]).await;
    assert_eq!(cart.create("A", 1).await.status, 503);
    world.events().add_partitions(4).await;
    let cart = cart.ready().await;
    assert_eq!(cart.create("A", 1).await.status, 201);
    // Without the setting, any number is fine.
    let other = world.cart().await;
    assert_eq!(other.create("B", 1).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_stop_the_processing_and_not_the_reads() {
    let world = World::shared().await;
    let (one, two) = (processed(&world).await, world.orders().await);
    world.events().add_partitions(6).await;
    let told = ["has 3 partitions", "has 6", "More partitions"];
    for service in [&one, &two] {
        says(service, &told).await;
    }
    eventually("both leave the group", async || (members(&world) == 0).then_some(())).await;
    let changelog = block_in_place(|| world.changelog().read());
    Load::new(&world).await.updates(0..ORDERS).await;

    one.stop().await;
    let restarted = world.orders_starting().await;
    says(&restarted, &told).await;
    for service in [&two, &restarted] {
        shows_all(service).await;
        assert_eq!(service.get("/health/live").await.status, 200);
    }
    assert_eq!(members(&world), 0);
    assert_eq!(block_in_place(|| world.changelog().read()), changelog, "nothing is processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_with_other_partitions_is_not_processed() {
    for partitions in [2, 4] {
        let world = World::shared().await;
        world.changelog().create(partitions, &[("cleanup.policy", "compact")]).await;
        let service = world.orders_starting().await;
        says(&service, &[&format!("has {partitions} partitions"), "has 3", "More partitions"]).await;
        eventually("it serves what is there", async || {
            let orders = service.get("/orders").await;
            (orders.status == 200 && orders.json["count"] == 0).then_some(())
        })
        .await;
        says(&service, &[&format!("has {partitions} partitions")]).await;
        assert_eq!(members(&world), 0);
        assert!(block_in_place(|| world.changelog().read()).is_empty(), "nothing was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_deletes_is_processed_once_it_is_compacted() {
    for policy in ["delete", "compact,delete"] {
        let world = World::shared().await;
        processed(&world).await.stop().await;
        world.changelog().configure("cleanup.policy", policy).await;
        let service = world.orders_starting().await;
        says(&service, &[&format!("cleanup.policy={policy}"), "kafka-configs.sh"]).await;
        shows_all(&service).await;
        let changelog = block_in_place(|| world.changelog().read());
        Load::new(&world).await.updates(0..ORDERS).await;
        assert_eq!(members(&world), 0);
        assert_eq!(block_in_place(|| world.changelog().read()), changelog, "nothing is processed");

        world.changelog().configure("cleanup.policy", "compact").await;
        let service = service.ready().await;
        for number in 0..ORDERS {
            service.order(&format!("ORD-{number}"), |order| order["status"] == "confirmed").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_another_number_of_partitions_than_is_set_is_not_processed() {
    let world = World::shared().await;
    processed(&world).await.stop().await;
    let set = world.fork().with("TOPIC_PARTITIONS", "4");
    let service = set.orders_starting().await;
    let told = ["has 3 partitions", "TOPIC_PARTITIONS=4"];
    says(&service, &told).await;
    shows_all(&service).await;
    assert_eq!(members(&world), 0);
    // For a view that is new, no changelog is made.
    let group = format!("{}-2", world.group());
    let anew = set.fork().with("CONSUMER_GROUP_ID", &group).orders_starting().await;
    says(&anew, &told).await;
    assert_eq!(anew.get("/orders").await.status, 503);
    let topics: BaseConsumer = world.events().client().create().unwrap();
    let topics = block_in_place(|| topics.fetch_metadata(None, Duration::from_secs(30))).unwrap();
    assert!(topics.topics().iter().all(|topic| !topic.name().starts_with(&group)));
    // The right number is fine.
    world.fork().with("TOPIC_PARTITIONS", "3").orders().await;
}

/// As docs/operations.md has it.
fn copy_by_key(world: &World, from: &str, to: &str, group: &[&str]) -> String {
    let servers = world.stack().bootstrap_servers();
    let arguments = [&[&servers, from, to], group].concat();
    block_in_place(|| python::run("../../docs/copy_by_key.py", &arguments, ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_steps_lead_to_more_partitions() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, processed(&world).await);
    let create = async |cart: &Service| {
        let body = serde_json::json!({ "orderId": "KEPT", "itemsCount": 3 });
        let request = cart.request(reqwest::Method::POST, "/create-order").json(&body);
        request.header("idempotency-key", "k").send().await.unwrap().status()
    };
    assert_eq!(create(&cart).await, 201);
    orders.order("KEPT", |_| true).await;
    // Somebody adds partitions, and a producer that does not care goes on.
    world.events().add_partitions(6).await;
    says(&orders, &["More partitions"]).await;
    eventually("it leaves the group", async || (members(&world) == 0).then_some(())).await;
    Load::new(&world).await.updates(0..ORDERS).await;

    cart.stop().await;
    let new = world.anew().with("TOPIC_PARTITIONS", "6");
    new.events().create(6, &[]).await;
    new.changelog().create(6, &[("cleanup.policy", "compact"), ("max.message.bytes", "4194304")]).await;
    let copied = copy_by_key(&world, world.changelog().name(), new.changelog().name(), &[]);
    assert!(copied.starts_with("101 records copied"), "{copied}");
    let copied = copy_by_key(&world, world.topic(), new.topic(), &[&world.group()]);
    assert!(copied.starts_with("100 records copied"), "{copied}");
    let (cart, orders) = (new.cart().await, new.orders().await);
    for number in 0..ORDERS {
        orders.order(&format!("ORD-{number}"), |order| order["status"] == "confirmed").await;
    }
    assert_eq!(orders.get("/orders?limit=1000").await.json["count"], ORDERS + 1);
    // What was done once is known.
    assert_eq!(create(&cart).await, 201);
    assert_eq!(cart.update("KEPT", "shipped").await.status, 200);
    orders.order("KEPT", |order| order["status"] == "shipped").await;
    let letters = orders.get("/dlq/stats").await.json;
    assert_eq!(letters["total_messages"], 0, "{letters}");
    for record in block_in_place(|| new.changelog().read()) {
        let key = record.key.unwrap();
        if !key.starts_with(b"\0") {
            assert_eq!(record.partition, murmur2::partition(&key, 6));
        }
    }
}
