package kinesisapi

// operations are all operations of the API, by name.
var operations = table(map[string]operation{
	"CreateStream":          {run: (*call).createStream},
	"DeleteStream":          {run: (*call).deleteStream},
	"DescribeStream":        {run: (*call).describeStream},
	"DescribeStreamSummary": {run: (*call).describeStreamSummary},
	"ListStreams":           {run: (*call).listStreams},
	"ListShards":            {run: (*call).listShards},
	"PutRecord":             {answer: (*call).putRecord},
	"PutRecords":            {answer: (*call).putRecords, fast: (*call).scanRecords, fastAnswer: (*call).putScanned},
	"GetShardIterator":      {run: (*call).getShardIterator},
	"GetRecords":            {answer: (*call).getRecords},

	"AddTagsToStream":                        {run: (*call).addTagsToStream},
	"DecreaseStreamRetentionPeriod":          {run: (*call).decreaseRetention},
	"DeleteResourcePolicy":                   {run: (*call).deleteResourcePolicy},
	"DescribeAccountSettings":                {run: (*call).describeAccountSettings},
	"DescribeLimits":                         {run: (*call).describeLimits},
	"DisableEnhancedMonitoring":              {run: (*call).disableMonitoring},
	"EnableEnhancedMonitoring":               {run: (*call).enableMonitoring},
	"GetResourcePolicy":                      {run: (*call).getResourcePolicy},
	"IncreaseStreamRetentionPeriod":          {run: (*call).increaseRetention},
	"ListTagsForResource":                    {run: (*call).listTagsForResource},
	"ListTagsForStream":                      {run: (*call).listTagsForStream},
	"MergeShards":                            {run: (*call).mergeShards},
	"PutResourcePolicy":                      {run: (*call).putResourcePolicy},
	"RemoveTagsFromStream":                   {run: (*call).removeTagsFromStream},
	"SplitShard":                             {run: (*call).splitShard},
	"StartStreamEncryption":                  {run: (*call).startEncryption},
	"StopStreamEncryption":                   {run: (*call).stopEncryption},
	"TagResource":                            {run: (*call).tagResource},
	"UntagResource":                          {run: (*call).untagResource},
	"UpdateAccountSettings":                  {run: (*call).updateAccountSettings},
	"UpdateMaxRecordSize":                    {run: (*call).updateMaxRecordSize},
	"UpdateShardCount":                       {run: (*call).updateShardCount},
	"UpdateStreamMode":                       {run: (*call).updateStreamMode},
	"UpdateStreamRecordDistributionStrategy": {run: (*call).updateDistribution},
	"UpdateStreamWarmThroughput":             {run: (*call).updateStreamWarmThroughput},

	"CreateChannel":   {run: (*call).createChannel},
	"DeleteChannel":   {run: (*call).namedChannel},
	"DescribeChannel": {run: (*call).namedChannel},
	"ListChannels":    {run: (*call).listChannels},
	"UpdateChannel":   {run: (*call).namedChannel},

	"RegisterStreamConsumer":   {run: (*call).registerStreamConsumer},
	"DeregisterStreamConsumer": {run: (*call).deregisterStreamConsumer},
	"DescribeStreamConsumer":   {run: (*call).describeStreamConsumer},
	"ListStreamConsumers":      {run: (*call).listStreamConsumers},
	"SubscribeToShard":         {answer: (*call).subscribeToShard},
})

func table(named map[string]operation) map[string]*operation {
	all := make(map[string]*operation, len(named))
	for name, o := range named {
		o.name, o.input = name, inputs[name]
		all[name] = &o
	}
	return all
}
