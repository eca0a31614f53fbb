package config

import "slices"

// Code explains one kind of mistake: the text of leat explain and of docs/errors.md.
type Code struct {
	Code     string   `json:"code"` // stable
	Severity Severity `json:"severity"`
	Title    string   `json:"title"` // one line
	Text     string   `json:"text"`  // what it means and why it is a mistake
	Wrong    string   `json:"wrong"` // a file that has it
	Right    string   `json:"right"` // the same file without it
}

// Codes returns every code that Load raises, sorted. The files of Wrong and Right use a source of type websocket
// with the field url, and a destination of type jsonl with the field path.
func Codes() []Code { return slices.Clone(codes) }

const (
	codeAliasCycle     = "config.alias_cycle"
	codeAliasLimit     = "config.alias_limit"
	codeDeadLetterLoop = "config.dead_letter_loop"
	codeDuplicateKey   = "config.duplicate_key"
	codeDuplicateName  = "config.duplicate_name"
	codeEncoding       = "config.encoding"
	codeEnum           = "config.enum"
	codeIdle           = "config.idle"
	codeInsideData     = "config.inside_data"
	codeInterpolation  = "config.interpolation"
	codeKey            = "config.key"
	codeLiteralSecret  = "config.literal_secret"
	codeMisplacedField = "config.misplaced_field"
	codeMissingEventID = "config.missing_event_id"
	codeMissingField   = "config.missing_field"
	codeName           = "config.name"
	codeOpenMetrics    = "config.open_metrics"
	codeRange          = "config.range"
	codeRefused        = "config.refused"
	codeSecondDocument = "config.second_document"
	codeSetTwice       = "config.set_twice"
	codeSharedPlace    = "config.shared_place"
	codeSyntax         = "config.syntax"
	codeTab            = "config.tab"
	codeTag            = "config.tag"
	codeType           = "config.type"
	codeUnknownField   = "config.unknown_field"
	codeUnknownStream  = "config.unknown_stream"
	codeUnknownType    = "config.unknown_type"
	codeUnreadableFile = "config.unreadable_file"
	codeUnsetVariable  = "config.unset_variable"
	codeUnusedStream   = "config.unused_stream"
	codeValue          = "config.value"
)

var severities = func() map[string]Severity {
	all := map[string]Severity{}
	for _, c := range codes {
		all[c.Code] = c.Severity
	}
	return all
}()

var codes = []Code{
	{
		Code: codeAliasCycle, Severity: Error, Title: "an alias stands inside its own anchor",
		Text:  "An alias (*name) stands for what carries the anchor (&name). Inside of that it would have no end.",
		Wrong: "streams: &all\n  clicks: *all\n",
		Right: "streams:\n  clicks: &usual {shards: 2}\n  orders: *usual\n",
	}, {
		Code: codeAliasLimit, Severity: Error, Title: "aliases stand for more than 10,000 nodes",
		Text:  "Aliases of aliases grow without measure: nine lines can stand for more than the memory holds. So there is a limit, which no file written for a purpose reaches.",
		Wrong: aliasBomb,
		Right: "streams:\n  clicks: &usual {shards: 2}\n  orders: *usual\n",
	}, {
		Code: codeDeadLetterLoop, Severity: Error, Title: "a consumer's dead letters go to the stream that it reads",
		Text:  "It would read its own dead letters, fail again, and write them once more, for ever. Let the dead letters go to a stream of their own.",
		Wrong: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    dead_letters: clicks\n    destination: {type: jsonl, path: out}\n",
		Right: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    dead_letters: clicks.failed\n    destination: {type: jsonl, path: out}\n",
	}, {
		Code: codeDuplicateKey, Severity: Error, Title: "a key is there twice in one mapping",
		Text:  "One of the two values would be dropped without a word. Remove the one that is not meant.",
		Wrong: "streams:\n  clicks:\n    shards: 2\n    shards: 4\n",
		Right: "streams:\n  clicks:\n    shards: 4\n",
	}, {
		Code: codeDuplicateName, Severity: Error, Title: "two sources, consumers or streams have one name",
		Text:  "Names tell apart what is stored: positions, dead letters, metrics. That is so over all files together. The message has the place of the first one.",
		Wrong: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://a.example\", stream: clicks}\n  - {name: web, type: websocket, url: \"wss://b.example\", stream: clicks}\n",
		Right: "streams:\n  clicks:\nsources:\n  - {name: web-a, type: websocket, url: \"wss://a.example\", stream: clicks}\n  - {name: web-b, type: websocket, url: \"wss://b.example\", stream: clicks}\n",
	}, {
		Code: codeEncoding, Severity: Error, Title: "the file is not a text in UTF-8",
		Text:  "A configuration is read as UTF-8, with or without a byte order mark, and holds no control characters but tabs and line breaks. In double quotes they can be written as escape sequences.",
		Wrong: "data: caf\xe9\n",
		Right: "data: café\n",
	}, {
		Code: codeEnum, Severity: Error, Title: "the field takes other values",
		Text:  "The field takes one of a few words, which docs/config.md lists.",
		Wrong: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    start: newest\n    destination: {type: jsonl, path: out}\n",
		Right: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    start: latest\n    destination: {type: jsonl, path: out}\n",
	}, {
		Code: codeIdle, Severity: Warning, Title: "there are no sources and no consumers",
		Text:  "The streams are made and kept, but nothing writes to them and nothing reads them. That is right for a data directory that only other programs look into (with kinesis_api there is no such warning), else a file may be missing on the command line.",
		Wrong: "streams:\n  clicks:\n",
		Right: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
	}, {
		Code: codeInsideData, Severity: Error, Title: "a destination writes into the data directory",
		Text:  "The data directory belongs to the streams alone. Whoever backs it up, moves it or begins anew by deleting it means the streams, not what was delivered from them.",
		Wrong: "data: ./data\nstreams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination: {type: jsonl, path: ./data/out}\n",
		Right: "data: ./data\nstreams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination: {type: jsonl, path: ./out}\n",
	}, {
		Code: codeInterpolation, Severity: Error, Title: "${ begins something that is no reference",
		Text: "In values ${NAME} stands for an environment variable, ${NAME:-text} for the variable or the text if it is not set or empty, " +
			"${NAME:?message} for the variable or an error with the message, ${file:/path} for the content of a file, and ${credential:name} for a credential of systemd. " +
			"A text cannot hold another reference. What is meant literally is written $${.",
		Wrong: "data: ${1ST}\n",
		Right: "data: $${1ST}\n",
	}, {
		Code: codeKey, Severity: Error, Title: "a key is not a text",
		Text:  "YAML allows mappings and lists as keys. No field is called like that; most often a text that begins with { or [ lacks its quotes.",
		Wrong: "streams:\n  {clicks}: {shards: 2}\n",
		Right: "streams:\n  clicks: {shards: 2}\n",
	}, {
		Code: codeLiteralSecret, Severity: Warning, Title: "a secret is written into the file",
		Text:  "Configuration files are copied, committed and shown. Keep the secret in a file of its own, in the environment, or in a credential of systemd, and refer to it. A password in an address (user:password@host) and parameters such as ?token=… are secrets, too.",
		Wrong: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    headers: {Authorization: Bearer hunter2}\n    stream: clicks\n",
		Right: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    headers: {Authorization: \"Bearer ${FEED_TOKEN:?the token of the feed}\"}\n    stream: clicks\n",
	}, {
		Code: codeMisplacedField, Severity: Error, Title: "the field belongs one level further out or in",
		Text:  "The field exists, but not in this mapping. Most often its indentation is wrong.",
		Wrong: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination:\n      type: jsonl\n      path: out\n      max_attempts: 5\n",
		Right: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination:\n      type: jsonl\n      path: out\n    max_attempts: 5\n",
	}, {
		Code: codeMissingEventID, Severity: Error, Title: "several connections need event_id",
		Text:  "With connections above 1 every event arrives more than once. Only event_id tells that two of them are the same, so without it each would be stored as often as it arrives.",
		Wrong: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    stream: clicks\n    connections: 2\n",
		Right: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    stream: clicks\n    connections: 2\n    event_id: id\n",
	}, {
		Code: codeMissingField, Severity: Error, Title: "a field that must be there is not",
		Text:  "Some fields have no default that would make sense: a name, a type, a stream.",
		Wrong: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n",
		Right: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    stream: clicks\n",
	}, {
		Code: codeName, Severity: Error, Title: "this cannot be a name",
		Text:  "Names of streams have 1 to 128 letters, digits, _, - and ., the rule of the Kinesis API. Names of sources and consumers have the same characters and leave room for .gaps and .dlq, the streams that belong to them.",
		Wrong: "streams:\n  my clicks: {shards: 2}\n",
		Right: "streams:\n  my-clicks: {shards: 2}\n",
	}, {
		Code: codeOpenMetrics, Severity: Warning, Title: "other machines can read the metrics",
		Text:  "The metrics are served without a password and without encryption. They tell names of sources, streams and consumers, and how much they move. Serve them on 127.0.0.1, or see to it that only Prometheus reaches the port.",
		Wrong: "metrics: 0.0.0.0:8700\nstreams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
		Right: "metrics: 127.0.0.1:8700\nstreams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
	}, {
		Code: codeRange, Severity: Error, Title: "the value is outside of its limits",
		Text:  "The value is of the right kind but too small or too large. Where 0 would stand for \"not set\", it is an error too, so that nobody believes to have switched off what runs with its default; a duration is switched off with the word off.",
		Wrong: "streams:\n  clicks: {shards: 0}\n",
		Right: "streams:\n  clicks: {shards: 1}\n",
	}, {
		Code: codeRefused, Severity: Error, Title: "the source or destination cannot work with these values",
		Text:  "Every field is right in itself, but not together with the others. The message comes from the adapter.",
		Wrong: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: https://feed.example\n    stream: clicks\n",
		Right: "streams:\n  clicks:\nsources:\n  - name: web\n    type: websocket\n    url: wss://feed.example\n    stream: clicks\n",
	}, {
		Code: codeSecondDocument, Severity: Error, Title: "the file holds a second YAML document",
		Text:  "A line --- begins another document. Only the first would count, so it is an error. Several files are named one after the other: leat run one.yaml two.yaml.",
		Wrong: "data: one\n---\ndata: two\n",
		Right: "data: one\n",
	}, {
		Code: codeSetTwice, Severity: Error, Title: "two files set the same field",
		Text:  "Streams, sources and consumers of several files add up. Any other field at the top level can have one value, so it can stand in one file.",
		Wrong: "data: one\n--- # second file\ndata: two\n",
		Right: "data: one\n--- # second file\ngrace: 30s\n",
	}, {
		Code: codeSharedPlace, Severity: Error, Title: "two destinations write to one directory",
		Text:  "The names of files come from the stream and the records, so two consumers would overwrite each other's files, and one removes what it takes for remains of its own. Two consumers may share an SQLite file.",
		Wrong: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination: {type: jsonl, path: out}\n  - name: copy\n    stream: clicks\n    destination: {type: jsonl, path: ./out/}\n",
		Right: "streams:\n  clicks:\nconsumers:\n  - name: lake\n    stream: clicks\n    destination: {type: jsonl, path: out}\n  - name: copy\n    stream: clicks\n    destination: {type: jsonl, path: out-copy}\n",
	}, {
		Code: codeSyntax, Severity: Error, Title: "this is not YAML",
		Text:  "The parser cannot make sense of the file from here on, so nothing else is said about it. The mistake may be a few lines further up: a quote or a bracket that is not closed, or an indentation that differs.",
		Wrong: "data: \"open\n",
		Right: "data: \"closed\"\n",
	}, {
		Code: codeTab, Severity: Error, Title: "a tab cannot indent",
		Text:  "YAML indents with spaces, because tabs are of different width everywhere.",
		Wrong: "streams:\n\tclicks:\n",
		Right: "streams:\n  clicks:\n",
	}, {
		Code: codeTag, Severity: Error, Title: "the YAML tag is not known",
		Text:  "A word that begins with ! is a tag and says what kind of value follows. Known are the tags !!str, !!int, !!float, !!bool, !!null, !!map and !!seq; none is ever needed but !!str. Most often a text that begins with ! lacks its quotes.",
		Wrong: "data: !important\n",
		Right: "data: \"!important\"\n",
	}, {
		Code: codeType, Severity: Error, Title: "the value is of another kind",
		Text:  "The field takes another kind of value: an integer, a number, true or false, a text, a list, a mapping. A number in quotes is a text.",
		Wrong: "streams:\n  clicks: {shards: many}\n",
		Right: "streams:\n  clicks: {shards: 4}\n",
	}, {
		Code: codeUnknownField, Severity: Error, Title: "there is no field of this name",
		Text:  "Ignoring it would mean to run with a default where a value was meant. docs/config.md lists the fields of every source and destination.",
		Wrong: "streams:\n  clicks: {shardz: 4}\n",
		Right: "streams:\n  clicks: {shards: 4}\n",
	}, {
		Code: codeUnknownStream, Severity: Error, Title: "there is no stream of this name",
		Text:  "A stream is known if it is declared under streams, in any of the files, or if it belongs to a source or consumer: source.gaps holds what the provider did not deliver, consumer.dlq or dead_letters what could not be delivered.",
		Wrong: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clikcs}\n",
		Right: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
	}, {
		Code: codeUnknownType, Severity: Error, Title: "there is no source or destination of this type",
		Text:  "The type decides which further fields there are, so as long as it is wrong nothing is said about them.",
		Wrong: "streams:\n  clicks:\nsources:\n  - {name: web, type: webscoket, url: \"wss://feed.example\", stream: clicks}\n",
		Right: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
	}, {
		Code: codeUnreadableFile, Severity: Error, Title: "a file that the configuration refers to cannot be read",
		Text:  "${file:/path} and ${credential:name} are read when the configuration is loaded, by the user that leat runs as, and so are files that a field names, such as certificates and dictionaries. The file must be a regular file, for a reference of at most 1 MiB. For ${credential:name} systemd sets CREDENTIALS_DIRECTORY if the service has LoadCredential=.",
		Wrong: "data: ${file:missing.txt}\n",
		Right: "data: data\n",
	}, {
		Code: codeUnsetVariable, Severity: Error, Title: "an environment variable is not set",
		Text:  "${NAME} needs the variable, and ${NAME:?message} needs it with a value that is not empty. With ${NAME:-text} there is a default.",
		Wrong: "data: ${NOT_SET}\n",
		Right: "data: ${NOT_SET:-./data}\n",
	}, {
		Code: codeUnusedStream, Severity: Warning, Title: "nothing uses this stream",
		Text:  "No source writes to the stream and no consumer reads it. That is right if a program uses it over the API, else a name may be misspelt.",
		Wrong: "streams:\n  clicks:\n  orders:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
		Right: "streams:\n  clicks:\nsources:\n  - {name: web, type: websocket, url: \"wss://feed.example\", stream: clicks}\n",
	}, {
		Code: codeValue, Severity: Error, Title: "the text cannot be read as what the field holds",
		Text:  "A duration needs a unit (500ms, 30s, 12h, 7d), a size needs one that says whether it counts by 1000 or by 1024 (10MB, 16MiB), an expression must compile.",
		Wrong: "streams:\n  clicks: {retention: 30}\n",
		Right: "streams:\n  clicks: {retention: 30m}\n",
	},
}

const aliasBomb = "streams:\n" +
	"  a: &a {x: 1, y: 2, z: 3}\n" +
	"  b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
	"  c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
	"  d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
	"  e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n"
