"""Copies the records of a Kafka topic into another one, each into the partition that its key has there.

usage: copy_by_key.py <bootstrap servers> <from> <to> [<consumer group>]

The partition of a key is that of Java's producers and of cart-service (murmur2). Keys, values, headers and timestamps
stay as they are. Records whose key begins with a zero byte are left out: in a changelog of order-service they are about
the old partitions.

With a consumer group, only what that group has not processed is copied, in the order of its timestamps, since an order's
events may be in two partitions. It is held in memory.

Needs confluent-kafka (PyPI). A copy that was broken off can be made once more; the last record of each key is the same.
"""

import sys

from confluent_kafka import Consumer, KafkaError, OFFSET_BEGINNING, Producer, TopicPartition

TIMEOUT = 60


def starts(consumer, topic, group):
    """Where to begin in each partition."""
    metadata = consumer.list_topics(topic, TIMEOUT).topics[topic]
    if metadata.error:
        sys.exit(f"{topic}: {metadata.error}")
    partitions = [TopicPartition(topic, partition) for partition in metadata.partitions]
    if group:
        partitions = consumer.committed(partitions, TIMEOUT)
    for partition in partitions:
        if partition.offset < 0:
            partition.offset = OFFSET_BEGINNING
    return partitions


def records(consumer, partitions):
    """All committed records up to the ends of the partitions."""
    consumer.assign(partitions)
    left = len(partitions)
    while left:
        message = consumer.poll(TIMEOUT)
        if message is None:
            sys.exit("the brokers do not answer")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left -= 1
        else:
            sys.exit(str(message.error()))


def main(servers, source, target, group=None):
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": group or "copy-by-key",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
    })
    producer = Producer({
        "bootstrap.servers": servers,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "compression.type": "zstd",
        "message.max.bytes": 4194304,
        "allow.auto.create.topics": False,
    })
    failed = []

    def delivered(error, _):
        if error:
            failed.append(error)

    found = records(consumer, starts(consumer, source, group))
    if group:
        found = sorted(found, key=lambda message: message.timestamp()[1])
    count = 0
    for message in found:
        if not message.key() or message.key().startswith(b"\0"):
            continue
        while True:
            try:
                producer.produce(
                    target,
                    key=message.key(),
                    value=message.value(),
                    headers=message.headers(),
                    timestamp=message.timestamp()[1],
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(1)
        producer.poll(0)
        count += 1
    if producer.flush(TIMEOUT) or failed:
        sys.exit(f"not everything was copied: {failed[:1] or 'the brokers do not answer'}")
    consumer.close()
    print(f"{count} records copied from {source} to {target}")


main(*sys.argv[1:])
