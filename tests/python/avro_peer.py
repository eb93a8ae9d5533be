"""The other side of the codec's interoperability test.

Reads the schema and then one event a line, {"event", "bytes"}: fastavro must read the event out of the bytes
and write it with the same bytes. Then prints as many random events of its own in the same form. Doubles are
given by their bits in hexadecimal, every NaN as "nan".
"""

import io
import json
import math
import random
import struct
import sys

import fastavro

CREATE = "com.ecommerce.order.CreateOrderPayload"
UPDATE = "com.ecommerce.order.UpdateOrderPayload"

rng = random.Random(int(sys.argv[1]))
schema = fastavro.parse_schema(json.loads(sys.stdin.readline()))


def bits(double):
    return "nan" if math.isnan(double) else struct.pack(">d", double).hex()


def encode(event):
    """The bytes of an event; says which branch is meant, as fastavro would otherwise look for one that fits."""
    branch = CREATE if event["eventType"] == "CREATE" else UPDATE
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {**event, "payload": (branch, event["payload"])})
    return out.getvalue()


def to_json(event):
    payload = dict(event["payload"])
    if "items" in payload:
        payload["totalAmount"] = bits(payload["totalAmount"])
        payload["items"] = [{**item, "price": bits(item["price"])} for item in payload["items"]]
    return {**event, "payload": payload}


def text():
    alphabet = ["", "a", "order", "é", "漢字", "\U0001f6d2", "\0", "\"\\\n", "\u202e", " "]
    return "".join(rng.choices(alphabet, k=rng.randrange(12)))


def double():
    special = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, sys.float_info.max, 0.1, 59.98]
    return rng.choice(special) if rng.random() < 0.5 else struct.unpack(">d", rng.randbytes(8))[0]


def random_event():
    if rng.random() < 0.6:
        payload = {
            "customerId": text(),
            "orderDate": text(),
            "items": [
                {"itemId": text(), "quantity": rng.choice([0, -1, 2**31 - 1, -2**31, 7]), "price": double()}
                for _ in range(rng.choice([0, 1, 3, 200]))
            ],
            "totalAmount": double(),
            "currency": text(),
            "status": text(),
        }
    else:
        payload = {"status": text()}
    kind = "CREATE" if "items" in payload else "UPDATE"
    return {"eventType": kind, "orderId": text(), "timestamp": text(), "payload": payload}


count = 0
for line in sys.stdin:
    case = json.loads(line)
    written = bytes.fromhex(case["bytes"])
    source = io.BytesIO(written)
    event = fastavro.schemaless_reader(source, schema, None)
    if source.read():
        sys.exit(f"bytes are left over: {line}")
    if to_json(event) != case["event"]:
        sys.exit(f"read {to_json(event)} from {line}")
    # A NaN has many bit patterns; fastavro keeps the one that it read.
    if encode(event) != written:
        sys.exit(f"wrote {encode(event).hex()} for {line}")
    count += 1

for _ in range(count):
    event = random_event()
    print(json.dumps({"event": to_json(event), "bytes": encode(event).hex()}))
