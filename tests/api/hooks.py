"""What a schema cannot say."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """The total of an order is the sum of its items: a request that is good otherwise must have the right one."""
    body = case.body
    if not isinstance(body, dict):
        return
    for name in ("totalAmount", "total_amount"):
        if isinstance(body.get(name), (int, float)):
            try:
                body[name] = sum(item["quantity"] * item["price"] for item in body["items"])
            except (KeyError, TypeError):
                pass
