"""Reads a topic to its end and prints one JSON object a record, with the value decoded by fastavro."""

import io
import json
import struct
import sys
import urllib.request

import fastavro
from confluent_kafka import Consumer, KafkaError, OFFSET_BEGINNING, TopicPartition

servers, registry, topic = sys.argv[1:4]


def ask(path):
    with urllib.request.urlopen(f"{registry}{path}") as answer:
        return json.load(answer)


subject_schema_id = ask(f"/subjects/{topic}-value/versions/latest")["id"]
schemas = {}


def schema(schema_id):
    if schema_id not in schemas:
        schemas[schema_id] = fastavro.parse_schema(json.loads(ask(f"/schemas/ids/{schema_id}")["schema"]))
    return schemas[schema_id]


consumer = Consumer({
    "bootstrap.servers": servers,
    "group.id": "read-topic",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
})
partitions = consumer.list_topics(topic).topics[topic].partitions
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
open_partitions = len(partitions)
while open_partitions:
    message = consumer.poll(60)
    if message is None:
        sys.exit("the broker is silent")
    if message.error():
        if message.error().code() != KafkaError._PARTITION_EOF:
            sys.exit(str(message.error()))
        open_partitions -= 1
        continue
    magic, schema_id = struct.unpack(">bI", message.value()[:5])
    body = io.BytesIO(message.value()[5:])
    print(json.dumps({
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().decode(),
        "headers": {name: value.decode() for name, value in message.headers()},
        "magic": magic,
        "schema_id": schema_id,
        "subject_schema_id": subject_schema_id,
        "event": fastavro.schemaless_reader(body, schema(schema_id), None),
    }))
consumer.close()
