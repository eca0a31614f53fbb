package kinesisapi

// The members of the channel operations. Leat refuses these operations, but only after the request itself was found to be sound.

var (
	s3Compression     = enum("NONE GZIP ZSTD")
	tablesCompression = enum("NONE ZSTD SNAPPY")
	storageClass      = enum("STANDARD INTELLIGENT_TIERING GLACIER_IR")
	recordFormat      = enum("GSR_JSON JSON STRING BYTE_ARRAY")
	transform         = enum("TIME_HOUR")
	kmsOnly           = enum("KMS")
)

var (
	streamFilter  = structure("StreamFilter", must("StreamARN", streamARN), may("StreamCreationTimestamp", aTimestamp))
	recordConfig  = structure("RecordConfiguration", must("RecordFormatType", recordFormat), may("GSRSchemaARN", aString))
	channelStream = structure("ChannelStreamConfiguration", must("StreamARN", streamARN), must("RecordConfiguration", recordConfig))
	deadLetters   = structure("DeadLetterQueueS3Configuration", must("BucketARN", aString), must("ExpectedBucketOwner", aString),
		may("ErrorOutputPrefix", aString))
	s3Storage = structure("S3StorageConfiguration", must("BucketARN", aString), must("ExpectedBucketOwner", aString),
		may("OutputKeyTemplate", str(1, 1024, "")), may("StorageClass", storageClass), must("CompressionType", s3Compression))
	s3Destination = structure("S3DestinationConfiguration", may("DataFreshnessInSeconds", anInteger),
		may("DeadLetterQueueS3Configuration", deadLetters), must("StorageConfiguration", s3Storage))
	partitionSpec = structure("PartitionSpec", must("PartitionFields", list(structure("PartitionField",
		must("Transform", transform), must("SourceName", aString)), 1, 10)))
	s3Table = structure("S3TablesConfiguration", must("TableBucketARN", aString), must("Namespace", aString), must("TableName", aString),
		must("CompressionType", tablesCompression), may("PartitionSpec", partitionSpec))
	s3Tables = structure("S3TablesDestinationConfiguration", may("DataFreshnessInSeconds", anInteger),
		must("DeadLetterQueueS3Configuration", deadLetters), must("S3TablesConfigurationList", list(s3Table, 0, 0)))
	cloudWatch = structure("CloudWatchLogs", must("Enabled", aBoolean), may("LogGroupName", aString), may("LogStreamName", aString))
	logging    = structure("ChannelLoggingConfiguration", must("CloudWatchLogs", cloudWatch))
	freshness  = structure("S3DestinationUpdateInput", must("DataFreshnessInSeconds", anInteger))
)

var createChannel = structure("", must("ChannelName", channelName), must("ServiceExecutionRoleARN", aString),
	must("StreamConfigurationList", list(channelStream, 1, 10_000)), may("S3DestinationConfiguration", s3Destination),
	may("S3TablesDestinationConfiguration", s3Tables), may("LoggingConfiguration", logging), may("Tags", tagMap),
	may("EncryptionConfiguration", structure("ChannelEncryptionConfiguration", must("EncryptionType", kmsOnly), must("KeyId", keyID))))

var updateChannel = structure("", must("ChannelARN", channelARN), may("LoggingConfiguration", logging),
	may("S3DestinationConfiguration", freshness), may("S3TablesDestinationConfiguration", freshness))
