// The scenario of this directory with the AWS SDK for JavaScript, version 3. Prints a line of JSON, or fails with the reason.

import { readFileSync } from "node:fs";
import {
  CreateStreamCommand, DeleteStreamCommand, DeregisterStreamConsumerCommand, DescribeStreamCommand, DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand, GetRecordsCommand, GetShardIteratorCommand, KinesisClient, ListStreamConsumersCommand, MergeShardsCommand,
  PutRecordCommand, PutRecordsCommand, RegisterStreamConsumerCommand, SplitShardCommand, SubscribeToShardCommand, UpdateShardCountCommand,
  paginateListStreams, ListShardsCommand, waitUntilStreamExists, waitUntilStreamNotExists,
} from "@aws-sdk/client-kinesis";

const kinesis = new KinesisClient({ endpoint: process.env.LEAT_ENDPOINT });
const StreamName = process.env.LEAT_STREAM;
const text = (bytes) => new TextDecoder().decode(bytes);
let put = 0;

function check(ok, ...what) {
  if (!ok) {
    console.error("wrong:", ...what.map((w) => JSON.stringify(w)));
    process.exit(1);
  }
}

const send = (Command, input) => kinesis.send(new Command(input));
const active = () => waitUntilStreamExists({ client: kinesis, maxWaitTime: 30, minDelay: 1 }, { StreamName });

async function putMany(n) {
  const Records = Array.from({ length: n }, (_, i) => ({
    PartitionKey: `key-${(put + i) % 17}`, Data: new TextEncoder().encode(String(put + i)),
  }));
  const out = await send(PutRecordsCommand, { StreamName, Records });
  check(out.FailedRecordCount === 0 && out.Records.length === n, out);
  put += n;
}

async function putOne() {
  const out = await send(PutRecordCommand, {
    StreamName, PartitionKey: `key-${put % 17}`, Data: new TextEncoder().encode(String(put)),
  });
  check(out.ShardId && out.SequenceNumber, out);
  put++;
}

async function shards() {
  const found = [];
  for (let more = { StreamName }; more; ) {
    const out = await send(ListShardsCommand, { MaxResults: 2, ...more });
    found.push(...out.Shards);
    more = out.NextToken && { NextToken: out.NextToken };
  }
  return found;
}

async function readShard(shard) {
  const start = await send(GetShardIteratorCommand, { StreamName, ShardId: shard.ShardId, ShardIteratorType: "TRIM_HORIZON" });
  const closed = shard.SequenceNumberRange.EndingSequenceNumber !== undefined;
  const got = [];
  for (let token = start.ShardIterator; ; ) {
    const out = await send(GetRecordsCommand, { ShardIterator: token, Limit: 70 });
    got.push(...out.Records);
    token = out.NextShardIterator;
    if (!token) {
      check(closed && out.ChildShards.length > 0, shard, out.ChildShards);
      return got;
    }
    if (!closed && out.Records.length === 0 && out.MillisBehindLatest === 0) {
      return got;
    }
  }
}

// readAll reads parents before their children, and checks that nothing is missing, doubled or out of order.
async function readAll() {
  const waiting = await shards();
  const ids = new Set(waiting.map((s) => s.ShardId));
  const done = new Set();
  const got = [];
  while (waiting.length > 0) {
    const i = waiting.findIndex((s) => [s.ParentShardId, s.AdjacentParentShardId].every((p) => !p || !ids.has(p) || done.has(p)));
    const [shard] = waiting.splice(i, 1);
    got.push(...(await readShard(shard)));
    done.add(shard.ShardId);
  }
  const last = {};
  for (const r of got) {
    const n = Number(text(r.Data));
    check(r.PartitionKey === `key-${n % 17}` && !(n <= last[r.PartitionKey]), r, last);
    check(Math.abs(Date.now() - r.ApproximateArrivalTimestamp.getTime()) < 3600e3, r);
    last[r.PartitionKey] = n;
  }
  const numbers = got.map((r) => Number(text(r.Data))).sort((a, b) => a - b);
  check(numbers.length === put && numbers.every((n, i) => n === i), numbers.length, put);
}

await send(CreateStreamCommand, { StreamName, ShardCount: 2 });
await active();
await putMany(300);
for (let i = 0; i < 20; i++) await putOne();
await readAll();

await send(SplitShardCommand, { StreamName, ShardToSplit: "shardId-000000000000", NewStartingHashKey: String(2n ** 126n) });
await active();
await putMany(100);
await send(MergeShardsCommand, { StreamName, ShardToMerge: "shardId-000000000002", AdjacentShardToMerge: "shardId-000000000003" });
await active();
await putMany(100);
await send(UpdateShardCountCommand, { StreamName, TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" });
await active();
await putMany(100);
const { StreamDescriptionSummary: summary } = await send(DescribeStreamSummaryCommand, { StreamName });
check(summary.OpenShardCount === 4, summary);
await readAll();

const StreamARN = summary.StreamARN;
const { Consumer: { ConsumerARN } } = await send(RegisterStreamConsumerCommand, { StreamARN, ConsumerName: "js" });
while ((await send(DescribeStreamConsumerCommand, { ConsumerARN })).ConsumerDescription.ConsumerStatus !== "ACTIVE");
const open = (await shards()).filter((s) => !s.SequenceNumberRange.EndingSequenceNumber);
let busy, want = [];
for (const shard of open) {
  const got = (await readShard(shard)).map((r) => text(r.Data));
  if (got.length > want.length) [busy, want] = [shard, got];
}
check(want.length > 0, open);
const subscribed = await send(SubscribeToShardCommand, { ConsumerARN, ShardId: busy.ShardId, StartingPosition: { Type: "TRIM_HORIZON" } });
const pushed = [];
for await (const event of subscribed.EventStream) {
  pushed.push(...event.SubscribeToShardEvent.Records.map((r) => text(r.Data)));
  if (pushed.length >= want.length) break;
}
check(JSON.stringify(pushed) === JSON.stringify(want), pushed, want);
const ended = await send(SubscribeToShardCommand, { ConsumerARN, ShardId: "shardId-000000000000", StartingPosition: { Type: "LATEST" } });
let last;
for await (const event of ended.EventStream) last = event.SubscribeToShardEvent;
check(last.ChildShards.length === 2 && last.ContinuationSequenceNumber === undefined, last);

const names = (await send(ListStreamConsumersCommand, { StreamARN })).Consumers.map((c) => c.ConsumerName);
check(names.join() === "js", names);
await send(DeregisterStreamConsumerCommand, { ConsumerARN });
for await (const page of paginateListStreams({ client: kinesis, pageSize: 1 }, {})) check(page.StreamNames.length <= 1, page);
await send(DeleteStreamCommand, { StreamName });
await waitUntilStreamNotExists({ client: kinesis, maxWaitTime: 30, minDelay: 1 }, { StreamName });
try {
  await send(DescribeStreamCommand, { StreamName });
  check(false, "the stream is still there");
} catch (e) {
  check(e.name === "ResourceNotFoundException" && e.message === `Stream ${StreamName} under account 000000000000 not found.`, e.name, e.message);
}
const { version } = JSON.parse(readFileSync(new URL("node_modules/@aws-sdk/client-kinesis/package.json", import.meta.url)));
console.log(JSON.stringify({ client: `@aws-sdk/client-kinesis ${version}, Node.js ${process.version}`, records: put }));
process.exit(0);
