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
