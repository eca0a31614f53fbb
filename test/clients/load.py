"""Puts records without end, and prints each that was answered: shard, sequence number, payload. What fails is put again later, under another name."""

import os
import sys
import time

import boto3
from botocore.config import Config

kinesis = boto3.client("kinesis", endpoint_url=os.environ["LEAT_ENDPOINT"],
                       config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10))
n = 0
while True:
    data = ["py-%d" % i for i in range(n, n + 20)]
    n += 20
    try:
        out = kinesis.put_records(StreamName="s", Records=[{"PartitionKey": "py-%d" % (i % 7), "Data": d.encode()} for i, d in enumerate(data)])
    except Exception:
        time.sleep(0.005)
        continue
    for d, r in zip(data, out["Records"]):
        if "SequenceNumber" in r:
            print(r["ShardId"], r["SequenceNumber"], d)
    sys.stdout.flush()
