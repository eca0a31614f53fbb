package kinesisapi

// The model: what every operation takes. The members of an operation stand in the order in which AWS reports what is wrong
// with them, where that is known (operations of before 2021); those that came later follow. See shape.go for the constructors.

// Shapes that many operations share.
var (
	aString    = str(0, 0, "")
	aBoolean   = &shape{kind: typeBoolean}
	aTimestamp = &shape{kind: typeTimestamp}
	anInteger  = &shape{kind: typeInteger}

	streamName    = str(1, 128, `[a-zA-Z0-9_.-]+`)
	consumerName  = streamName
	channelName   = streamName
	shardID       = streamName
	streamARN     = str(1, 2048, `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	consumerARN   = str(1, 2048, `(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`)
	channelARN    = str(1, 2048, `arn:aws.*:kinesis:.*:\d{12}:channel/\S+`)
	resourceARN   = str(1, 2048, `arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel)/\S+`)
	streamID      = str(1, 24, `[a-z0-9]{20}-[a-z0-9]{3}`)
	sequence      = str(0, 0, `0|([1-9]\d{0,128})`)
	hashKey       = str(0, 0, `0|([1-9]\d{0,38})`)
	partitionKey  = str(1, 256, "")
	data          = &shape{kind: typeBlob, bounded: true, min: 0, max: 10 << 20}
	shardIterator = str(1, 512, "")
	nextToken     = str(1, 1<<20, "")
	pageSize      = num(1, 10_000)
	keyID         = str(1, 2048, "")
	tagKey        = str(1, 128, "")
	tagValue      = str(0, 256, "")
	tagMap        = &shape{kind: typeMap, key: tagKey, elem: tagValue, bounded: true, min: 1, max: 200}
	tagKeys       = list(tagKey, 1, 50)
	recordSize    = num(1024, 10240)
	positive      = num(1, 0)
	natural       = num(0, 0)

	encryption   = enum("NONE KMS")
	distribution = enum("AUTO USER_PARTITION_KEY")
	scaling      = enum("UNIFORM_SCALING")
	iteratorType = enum("AFTER_SEQUENCE_NUMBER LATEST AT_TIMESTAMP AT_SEQUENCE_NUMBER TRIM_HORIZON")
	filterType   = enum("AFTER_SHARD_ID AT_TRIM_HORIZON FROM_TRIM_HORIZON AT_LATEST AT_TIMESTAMP FROM_TIMESTAMP")
	shardMetrics = list(enum("IncomingBytes IncomingRecords OutgoingBytes OutgoingRecords "+
		"WriteProvisionedThroughputExceeded ReadProvisionedThroughputExceeded IteratorAgeMilliseconds ALL"), 1, 7)

	streamMode  = structure("StreamModeDetails", must("StreamMode", enum("PROVISIONED ON_DEMAND")))
	shardFilter = structure("ShardFilter", must("Type", filterType), may("ShardId", shardID), may("Timestamp", aTimestamp))
	position    = structure("StartingPosition", must("Type", iteratorType), may("SequenceNumber", sequence), may("Timestamp", aTimestamp))
	putEntries  = list(structure("PutRecordsRequestEntry",
		may("PartitionKey", partitionKey), may("ExplicitHashKey", hashKey), must("Data", data)), 1, 500)
	commitment = structure("MinimumThroughputBillingCommitmentInput", must("Status", enum("ENABLED DISABLED")))
)

// Members that many operations share.
var (
	mayStreamName = may("StreamName", streamName)
	mayStreamARN  = may("StreamARN", streamARN)
	mayStreamID   = may("StreamId", streamID)
	mayDryRun     = may("DryRun", aBoolean)
)

// inputs holds the members of every operation.
var inputs = map[string]*shape{
	"AddTagsToStream": structure("", must("Tags", tagMap), mayStreamName, mayStreamARN, mayStreamID),
	"CreateChannel":   createChannel,
	"CreateStream": structure("", may("ShardCount", positive), must("StreamName", streamName), may("StreamModeDetails", streamMode),
		may("Tags", tagMap), may("WarmThroughputMiBps", natural), may("MaxRecordSizeInKiB", recordSize),
		may("RecordDistributionStrategy", distribution)),
	"DecreaseStreamRetentionPeriod": structure("", must("RetentionPeriodHours", positive), mayStreamName, mayStreamARN, mayStreamID),
	"DeleteChannel":                 structure("", must("ChannelARN", channelARN)),
	"DeleteResourcePolicy":          structure("", must("ResourceARN", resourceARN), mayStreamID),
	"DeleteStream":                  structure("", mayStreamName, may("EnforceConsumerDeletion", aBoolean), mayStreamARN, mayStreamID),
	"DeregisterStreamConsumer":      oneConsumer,
	"DescribeAccountSettings":       structure(""),
	"DescribeChannel":               structure("", must("ChannelARN", channelARN)),
	"DescribeLimits":                structure(""),
	"DescribeStream": structure("", may("Limit", pageSize), may("ExclusiveStartShardId", shardID), mayStreamName, mayStreamARN,
		mayStreamID),
	"DescribeStreamConsumer":    oneConsumer,
	"DescribeStreamSummary":     oneStream,
	"DisableEnhancedMonitoring": structure("", must("ShardLevelMetrics", shardMetrics), mayStreamName, mayStreamARN, mayStreamID),
	"EnableEnhancedMonitoring":  structure("", must("ShardLevelMetrics", shardMetrics), mayStreamName, mayStreamARN, mayStreamID),
	"GetRecords": structure("", may("Limit", pageSize), must("ShardIterator", shardIterator), mayStreamARN, mayStreamID,
		mayDryRun),
	"GetResourcePolicy": structure("", must("ResourceARN", resourceARN), mayStreamID),
	"GetShardIterator": structure("", must("ShardId", shardID), must("ShardIteratorType", iteratorType),
		may("StartingSequenceNumber", sequence), mayStreamName, may("Timestamp", aTimestamp), mayStreamARN, mayStreamID, mayDryRun),
	"IncreaseStreamRetentionPeriod": structure("", must("RetentionPeriodHours", positive), mayStreamName, mayStreamARN, mayStreamID),
	"ListChannels":                  structure("", may("StreamFilter", list(streamFilter, 1, 10_000)), may("MaxResults", pageSize), may("NextToken", nextToken)),
	"ListShards": structure("", may("ExclusiveStartShardId", shardID), may("MaxResults", pageSize), may("NextToken", nextToken),
		mayStreamName, may("StreamCreationTimestamp", aTimestamp), may("ShardFilter", shardFilter), mayStreamARN, mayStreamID),
	"ListStreamConsumers": structure("", must("StreamARN", streamARN), may("NextToken", nextToken), may("MaxResults", pageSize),
		may("StreamCreationTimestamp", aTimestamp), mayStreamID),
	"ListStreams":         structure("", may("Limit", pageSize), may("ExclusiveStartStreamName", streamName), may("NextToken", nextToken)),
	"ListTagsForResource": structure("", must("ResourceARN", resourceARN), mayStreamID),
	"ListTagsForStream": structure("", may("Limit", num(1, 50)), may("ExclusiveStartTagKey", tagKey), mayStreamName, mayStreamARN,
		mayStreamID),
	"MergeShards": structure("", must("ShardToMerge", shardID), must("AdjacentShardToMerge", shardID), mayStreamName, mayStreamARN,
		mayStreamID),
	"PutRecord": structure("", may("SequenceNumberForOrdering", sequence), may("PartitionKey", partitionKey),
		may("ExplicitHashKey", hashKey), must("Data", data), mayStreamName, mayStreamARN, mayStreamID, mayDryRun),
	"PutRecords":             structure("", must("Records", putEntries), mayStreamName, mayStreamARN, mayStreamID, mayDryRun),
	"PutResourcePolicy":      structure("", must("ResourceARN", resourceARN), must("Policy", aString), mayStreamID),
	"RegisterStreamConsumer": structure("", must("StreamARN", streamARN), must("ConsumerName", consumerName), may("Tags", tagMap), mayStreamID),
	"RemoveTagsFromStream":   structure("", must("TagKeys", tagKeys), mayStreamName, mayStreamARN, mayStreamID),
	"SplitShard": structure("", must("NewStartingHashKey", hashKey), mayStreamName, must("ShardToSplit", shardID), mayStreamARN,
		mayStreamID),
	"StartStreamEncryption": structure("", must("EncryptionType", encryption), must("KeyId", keyID), mayStreamName, mayStreamARN, mayStreamID),
	"StopStreamEncryption":  structure("", must("EncryptionType", encryption), must("KeyId", keyID), mayStreamName, mayStreamARN, mayStreamID),
	"SubscribeToShard": structure("", must("ConsumerARN", consumerARN), must("ShardId", shardID), must("StartingPosition", position),
		mayStreamID, mayDryRun),
	"TagResource":           structure("", must("Tags", tagMap), must("ResourceARN", resourceARN), mayStreamID),
	"UntagResource":         structure("", must("TagKeys", tagKeys), must("ResourceARN", resourceARN), mayStreamID),
	"UpdateAccountSettings": structure("", must("MinimumThroughputBillingCommitment", commitment)),
	"UpdateChannel":         updateChannel,
	"UpdateMaxRecordSize":   structure("", must("MaxRecordSizeInKiB", recordSize), mayStreamARN, mayStreamID),
	"UpdateShardCount": structure("", must("TargetShardCount", positive), must("ScalingType", scaling), mayStreamName, mayStreamARN,
		mayStreamID),
	"UpdateStreamMode": structure("", must("StreamARN", streamARN), must("StreamModeDetails", streamMode), may("WarmThroughputMiBps", natural),
		mayStreamID),
	"UpdateStreamRecordDistributionStrategy": structure("", must("StreamARN", streamARN), must("RecordDistributionStrategy", distribution), mayStreamID),
	"UpdateStreamWarmThroughput":             structure("", must("WarmThroughputMiBps", natural), mayStreamName, mayStreamARN, mayStreamID),
}

var (
	oneStream   = structure("", mayStreamName, mayStreamARN, mayStreamID)
	oneConsumer = structure("", mayStreamARN, may("ConsumerName", consumerName), may("ConsumerARN", consumerARN), mayStreamID)
)
