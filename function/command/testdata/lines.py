"""Behaves as package functiontest says."""
import base64
import json
import os
import sys
import time


def answer(record):
    try:
        what = json.loads(base64.b64decode(record["data_base64"])).get("do")
    except (ValueError, AttributeError):
        what = None
    if what == "report":
        return {"error": "reported"}
    if what == "throw":
        print("on purpose", file=sys.stderr)
        return {"on purpose": 1}
    if what == "exit":
        os._exit(3)
    if what == "hang":
        time.sleep(3600)
    return {}


def say(value):
    print(json.dumps(value), flush=True)


seen, left = None, 0
for line in sys.stdin:
    read = json.loads(line)
    if "window" in read:
        seen, left = read["state"].get("seen", ""), read["records"]
    else:
        if seen is not None:
            seen += "%s\n%s\n%s\n" % (read["sequence"], read["data_base64"], read["key"])
            left -= 1
        say(answer(read))
    if seen is not None and left == 0:
        say({"state": {"seen": seen}})
        seen = None
