//! The contract between the services: event models, the Avro codec, topics and Kafka client settings.
