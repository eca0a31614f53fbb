"""The scenario of this directory with boto3. Prints a line of JSON, or fails with the reason."""

import json
import os
import time

import boto3
import botocore

kinesis = boto3.client("kinesis", endpoint_url=os.environ["LEAT_ENDPOINT"])
name = os.environ["LEAT_STREAM"]
put = 0


def check(ok, *what):
    if not ok:
        raise SystemExit("wrong: %s" % (what,))


def wait_active():
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def put_many(n):
    global put
    entries = [{"PartitionKey": "key-%d" % (i % 17), "Data": b"%d" % i} for i in range(put, put + n)]
    out = kinesis.put_records(StreamName=name, Records=entries)
    check(out["FailedRecordCount"] == 0 and len(out["Records"]) == n, out)
    put += n


def put_one():
    global put
    out = kinesis.put_record(StreamName=name, PartitionKey="key-%d" % (put % 17), Data=b"%d" % put)
    check(out["ShardId"] and out["SequenceNumber"], out)
    put += 1


def shards():
    found, more = [], {"StreamName": name}
    while more:
        out = kinesis.list_shards(MaxResults=2, **more)
        found += out["Shards"]
        more = {"NextToken": out["NextToken"]} if "NextToken" in out else None
    return found


def read_shard(shard):
    token = kinesis.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
    got = []
    while True:
        out = kinesis.get_records(ShardIterator=token, Limit=70)
        got += out["Records"]
        token = out.get("NextShardIterator")
        if token is None:
            check(closed and out["ChildShards"], shard, out.get("ChildShards"))
            return got
        if not closed and not out["Records"] and out["MillisBehindLatest"] == 0:
            return got


def read_all():
    """Reads parents before their children, and checks that nothing is missing, doubled or out of order."""
    waiting, done, got = shards(), set(), []
    ids = {s["ShardId"] for s in waiting}
    while waiting:
        for shard in waiting:
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & ids
            if parents <= done:
                break
        waiting.remove(shard)
        done.add(shard["ShardId"])
        got += read_shard(shard)
    last = {}
    for r in got:
        n = int(r["Data"])
        check(r["PartitionKey"] == "key-%d" % (n % 17) and n > last.get(r["PartitionKey"], -1), r, last)
        check(abs(time.time() - r["ApproximateArrivalTimestamp"].timestamp()) < 3600, r)
        last[r["PartitionKey"]] = n
    check(sorted(int(r["Data"]) for r in got) == list(range(put)), len(got), put)


kinesis.create_stream(StreamName=name, ShardCount=2)
wait_active()
put_many(300)
for _ in range(20):
    put_one()
read_all()

kinesis.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
wait_active()
put_many(100)
kinesis.merge_shards(StreamName=name, ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003")
wait_active()
put_many(100)
kinesis.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
wait_active()
put_many(100)
summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
check(summary["OpenShardCount"] == 4, summary)
read_all()

arn = summary["StreamARN"]
consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="py")["Consumer"]["ConsumerARN"]
while kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
    time.sleep(0.1)
busy = max((s for s in shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"]), key=lambda s: len(read_shard(s)))
want = [int(r["Data"]) for r in read_shard(busy)]
check(want, busy)
stream = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=busy["ShardId"], StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
pushed = []
for event in stream:
    pushed += [int(r["Data"]) for r in event["SubscribeToShardEvent"]["Records"]]
    if len(pushed) >= len(want):
        break
stream.close()
check(pushed == want, pushed, want)
ended = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition={"Type": "LATEST"})["EventStream"]
last = [event["SubscribeToShardEvent"] for event in ended][-1]
check(len(last["ChildShards"]) == 2 and "ContinuationSequenceNumber" not in last, last)

check([c["ConsumerName"] for c in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]] == ["py"])
kinesis.deregister_stream_consumer(ConsumerARN=consumer)
kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)  # the consumer may be DELETING
kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
try:
    kinesis.describe_stream(StreamName=name)
    check(False, "the stream is still there")
except kinesis.exceptions.ResourceNotFoundException as e:
    check(e.response["Error"]["Message"] == "Stream %s under account 000000000000 not found." % name, e)
print(json.dumps({"client": "boto3 %s, botocore %s" % (boto3.__version__, botocore.__version__), "records": put}))
