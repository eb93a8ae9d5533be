"""What a schema cannot say."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """The total of an order is the sum of its items: a request that is good otherwise must have the right one."""
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("totalAmount"), (int, float)):
        try:
            body["totalAmount"] = sum(item["quantity"] * item["price"] for item in body["items"])
        except (KeyError, TypeError):
            pass
