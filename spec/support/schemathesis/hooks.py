"""What OpenAPI cannot say and schemathesis cannot know.

A key that was used with another body is refused (422), so each request that has a valid
Idempotency-Key gets one of its own. A whole number of more than 64 bits is refused (400), while 1e300
is fine; to JSON Schema both are the same.
"""

import re
import uuid

import schemathesis


# Just before the call: what is generated once is sent with several bodies.
@schemathesis.hook
def before_call(context, case, kwargs):
    headers = case.headers or {}
    for name in list(headers):
        value = headers[name]
        if name.lower() == "idempotency-key" and isinstance(value, str) and re.fullmatch("[!-~]{1,255}", value):
            headers[name] = value[:200] + uuid.uuid4().hex


def has_huge(value):
    if isinstance(value, dict):
        return any(has_huge(item) for item in value.values())
    if isinstance(value, list):
        return any(has_huge(item) for item in value)
    return isinstance(value, int) and not -(2**63) <= value < 2**63


@schemathesis.hook
def filter_body(context, body):
    return not has_huge(body)
