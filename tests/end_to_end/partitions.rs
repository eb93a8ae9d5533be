//! The number of partitions: what it was when the topics were made, what the settings say, what it becomes.

use end_to_end_tests::{Service, World, eventually};
use tokio::task::block_in_place;

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
