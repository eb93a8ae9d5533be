//! Settings of topics that the promises rest on: they are told at boot, and never end a service.

use end_to_end_tests::{ACLS, World, eventually};

use crate::permissions::deny;

/// The lines of a log that have all of these words.
fn lines(log: &str, words: &[&str]) -> usize {
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_settings_of_topics_are_told_once_at_boot() {
    let world = World::shared().await;
    world.events().create(3, &[("cleanup.policy", "compact,delete")]).await;
    world.changelog().create(3, &[("cleanup.policy", "compact"), ("max.message.bytes", "1000000")]).await;
    let letters = [("unclean.leader.election.enable", "true"), ("max.message.bytes", "4194304")];
    world.dead_letters().create(1, &letters).await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let (events, changelog, letters) = (world.events(), world.changelog(), world.dead_letters());
    let weak = [
        (&cart, events.name(), "cleanup.policy=compact,delete"),
        (&orders, events.name(), "cleanup.policy=compact,delete"),
        (&orders, changelog.name(), "max.message.bytes=1000000"),
        (&orders, letters.name(), "unclean.leader.election.enable=true"),
        (&orders, "__transaction_state", "1 copy"),
        (&orders, "__consumer_offsets", "1 copy"),
    ];
    for (service, topic, setting) in weak {
        eventually(&format!("{setting} of {topic} is told"), async || {
            (lines(&service.log(), &["WARN", topic, setting]) == 1).then_some(())
        })
        .await;
    }
    assert_eq!(lines(&orders.log(), &["WARN", letters.name(), "max.message.bytes"]), 0);
    // Both work all the same.
    assert_eq!(cart.create("A", 1).await.status, 201);
    orders.order("A", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_to_see_settings_they_are_not_checked() {
    let world = World::own_with(&ACLS).await;
    world.orders().await.stop().await;
    deny(&world, "*", "DESCRIBE_CONFIGS");
    let orders = world.orders().await;
    let changelog = world.changelog();
    for topic in [world.topic(), changelog.name(), "__transaction_state"] {
        let named = format!("topic=\"{topic}\"");
        eventually(&format!("{topic} is not checked"), async || {
            (lines(&orders.log(), &["INFO", &named, "not checked", "DESCRIBE_CONFIGS"]) == 1).then_some(())
        })
        .await;
    }
}
