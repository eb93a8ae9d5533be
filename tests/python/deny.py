"""Takes a permission from everybody; what is not denied is allowed.

usage: deny.py <bootstrap servers> <resource> <operation>

A resource is: cluster, group:<a group>, transactions:<the start of transactional ids>, a topic, or * for all topics.
"""

import sys

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

servers, resource, operation = sys.argv[1:]
pattern = ResourcePatternType.LITERAL
if resource == "cluster":
    kind, name = ResourceType.BROKER, "kafka-cluster"
elif resource.startswith("group:"):
    kind, name = ResourceType.GROUP, resource.removeprefix("group:")
elif resource.startswith("transactions:"):
    kind, name = ResourceType.TRANSACTIONAL_ID, resource.removeprefix("transactions:")
    pattern = ResourcePatternType.PREFIXED
else:
    kind, name = ResourceType.TOPIC, resource
# A resource that has an ACL is closed to whom it does not name.
rules = [(AclOperation.ALL, AclPermissionType.ALLOW), (AclOperation[operation], AclPermissionType.DENY)]
everybody = [
    AclBinding(kind, name, pattern, "User:ANONYMOUS", "*", what, whether)
    for what, whether in rules
]
admin = AdminClient({"bootstrap.servers": servers})
for created in admin.create_acls(everybody).values():
    created.result(30)
