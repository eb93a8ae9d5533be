//! What an operator does to topics.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Topic;
use crate::wait::eventually;

impl Topic {
    /// Makes it.
    pub async fn create(&self, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(self.name(), partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        // The name is free only a moment after a topic of that name was deleted.
        eventually("the topic is made", async || {
            let made = self.admin().create_topics([&topic], &options()).await.unwrap();
            made[0].is_ok().then_some(())
        })
        .await;
    }

    /// Gives it more partitions.
    pub async fn add_partitions(&self, count: usize) {
        let more = NewPartitions::new(self.name(), count);
        let made = self.admin().create_partitions([&more], &options()).await.unwrap();
        made.into_iter().next().unwrap().unwrap();
    }

    /// Deletes it, with everything in it.
    pub async fn delete(&self) {
        let deleted = self.admin().delete_topics(&[self.name()], &options()).await.unwrap();
        deleted.into_iter().next().unwrap().unwrap();
    }

    /// Deletes the records before these offsets, as retention does.
    pub async fn truncate(&self, before: &[(i32, i64)]) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in before {
            list.add_partition_offset(self.name(), *partition, Offset::Offset(*offset)).unwrap();
        }
        let truncated = self.admin().delete_records(&list, &options()).await.unwrap();
        for element in truncated.elements() {
            element.error().unwrap();
        }
    }

    /// Sets one of its settings; the others stay.
    pub async fn configure(&self, name: &str, value: &str) {
        let described =
            self.admin().describe_configs([&ResourceSpecifier::Topic(self.name())], &options()).await;
        let described = described.unwrap().remove(0).unwrap();
        // The request replaces all that were set for this topic.
        let own = described.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own = own.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)));
        let config = AlterConfig::new(ResourceSpecifier::Topic(self.name()));
        let config = own.fold(config, |config, (name, value)| config.set(name, value)).set(name, value);
        let altered = self.admin().alter_configs([&config], &options()).await.unwrap();
        altered.into_iter().next().unwrap().unwrap();
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))
}
