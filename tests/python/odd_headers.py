"""Writes a record with a header whose name is not UTF-8, which Kafka's format allows and clients do not offer.

usage: odd_headers.py <bootstrap servers> <topic> <key>; the value comes from standard input.
"""

import ctypes
import glob
import os
import sys

import confluent_kafka

servers, topic, key = (argument.encode() for argument in sys.argv[1:])
value = bytes.fromhex(sys.stdin.read())
folder = os.path.dirname(confluent_kafka.__file__)
[library] = glob.glob(os.path.join(folder, "..", "confluent_kafka.libs", "librdkafka*"))
kafka = ctypes.CDLL(library)
for function in (kafka.rd_kafka_conf_new, kafka.rd_kafka_new):
    function.restype = ctypes.c_void_p
words = ctypes.create_string_buffer(512)
configuration = ctypes.c_void_p(kafka.rd_kafka_conf_new())
assert kafka.rd_kafka_conf_set(configuration, b"bootstrap.servers", servers, words, 512) == 0, words.value
producer = ctypes.c_void_p(kafka.rd_kafka_new(0, configuration, words, 512))
assert producer.value, words.value
END, TOPIC, VALUE, KEY, HEADER = 0, 1, 4, 5, 9
size = ctypes.c_size_t
arguments = [
    (TOPIC, topic),
    (KEY, key, size(len(key))),
    (VALUE, value, size(len(value))),
    (HEADER, b"fine", b"1", ctypes.c_ssize_t(1)),
    (HEADER, b"h\xff", b"2", ctypes.c_ssize_t(1)),
]
error = kafka.rd_kafka_producev(producer, *(part for argument in arguments for part in argument), END)
assert error == 0, error
assert kafka.rd_kafka_flush(producer, 10_000) == 0
