import base64
import json
import os
import socket
import sys
import time


def handler(event, context):
    """Behaves as package functiontest says."""
    failures, seen = [], event.get("state", {}).get("seen", "")
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        number = record["kinesis"]["sequenceNumber"]
        seen += "%s\n%s\n%s\n" % (number, record["kinesis"]["data"], record["kinesis"]["partitionKey"])
        try:
            what = json.loads(data).get("do")
        except (ValueError, AttributeError):
            what = None
        if what == "report":
            failures.append({"itemIdentifier": number})
        elif what == "throw":
            raise RuntimeError("on purpose")
        elif what == "exit":
            os._exit(3)
        elif what == "hang":
            time.sleep(3600)
    answer = {"batchItemFailures": failures}
    if "window" in event:
        answer["state"] = {"seen": seen}
    return answer


def context(event, context):
    assert 0 < context.get_remaining_time_in_millis() <= 600_000
    return {"state": {
        "id": context.aws_request_id, "name": context.function_name, "version": context.function_version,
        "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn, "group": context.log_group_name,
        "stream": context.log_stream_name, "environment": dict(os.environ), "directory": os.getcwd(),
    }}


def not_json(event, context):
    return {1, 2, 3}


def number(event, context):
    return float("nan")


def leave(event, context):
    sys.exit(4)


def chatter(event, context):
    line = "x" * 1023 + "\n"
    for _ in range(64 * 1024):
        sys.stdout.write(line)


def fat(event, context):
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))


def answer(event, context):
    return json.loads(base64.b64decode(event["Records"][0]["kinesis"]["data"]))


def large(event, context):
    return "x" * (6 << 20)


def hold(event, context):
    """Holds a connection in this process, and in a child of it if there is to be one."""
    if "FORK" in os.environ:
        os.fork()
    host, port = os.environ["ADDRESS"].split(":")
    held = socket.create_connection((host, int(port)))
    held.sendall(b"x")
    time.sleep(3600)


def raises(event, context):
    def deeper():
        raise ValueError("with a stack")
    deeper()
