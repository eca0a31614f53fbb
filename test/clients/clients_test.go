package clients

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBoto3(t *testing.T) {
	found := false
	for _, python := range programs("python3") {
		version, err := exec.Command(python, "-c", "import boto3; print(boto3.__version__)").Output()
		if err != nil {
			continue
		}
		for _, delay := range []string{"0", "300ms"} { // with a delay the states are seen, and waited for
			found = true
			t.Run("boto3 "+strings.TrimSpace(string(version))+" delay "+delay, func(t *testing.T) {
				t.Parallel()
				t.Log(run(t, environment(t, "LEAT_ENDPOINT="+endpoint(t, "--delay", delay), "LEAT_STREAM=boto"), python, "client.py"))
			})
		}
	}
	if !found {
		missing(t, "boto3")
	}
}

func TestJavaScript(t *testing.T) {
	t.Parallel()
	node := programs("node")
	if len(node) == 0 || !javaScriptIsThere() {
		missing(t, "@aws-sdk/client-kinesis")
	}
	t.Log(run(t, environment(t, "LEAT_ENDPOINT="+endpoint(t), "LEAT_STREAM=js"), node[0], "js/client.mjs"))
}

func javaScriptIsThere() bool {
	_, err := os.Stat("js/node_modules/@aws-sdk/client-kinesis")
	return err == nil
}

// programs returns the different programs of a name: the first of the path, and that of the system.
func programs(name string) (found []string) {
	for _, candidate := range []string{name, "/usr/bin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}

func TestAWSCLI(t *testing.T) {
	all := programs("aws")
	if len(all) == 0 {
		missing(t, "the AWS CLI")
	}
	for i, program := range all {
		env := environment(t)
		version, _, _ := strings.Cut(run(t, env, program, "--version"), " ")
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := cli{t: t, program: program, env: env, url: endpoint(t)}
			if strings.HasPrefix(version, "aws-cli/2") { // version 1 takes text, version 2 base64
				c.flags = []string{"--cli-binary-format", "raw-in-base64-out"}
			}
			c.scenario(i == len(all)-1) // every call takes a second: one version does all of it
		})
	}
}

// cli calls operations with a version of the AWS CLI.
type cli struct {
	t       *testing.T
	program string
	env     []string
	url     string
	flags   []string
	put     int
}

// call returns what an operation answers.
func (c *cli) call(operation string, args ...string) (out map[string]any) {
	c.t.Helper()
	all := append([]string{c.program, "--endpoint-url", c.url, "--output", "json"}, c.flags...)
	text := run(c.t, c.env, append(append(all, "kinesis", operation), args...)...)
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		c.t.Fatalf("%s: %v: %s", operation, err, text)
	}
	return out
}

func (c *cli) scenario(whole bool) {
	c.call("create-stream", "--stream-name", "cli", "--shard-count", "2")
	c.call("wait", "stream-exists", "--stream-name", "cli")
	c.putMany(40)
	c.call("put-record", "--stream-name", "cli", "--partition-key", "key-6", "--data", "40")
	c.put++
	c.readAll()
	if whole {
		c.reshard()
	}
	c.call("delete-stream", "--stream-name", "cli")
	c.call("wait", "stream-not-exists", "--stream-name", "cli")
}

// reshard splits, merges, changes the number of shards, and registers a consumer.
func (c *cli) reshard() {
	c.call("split-shard", "--stream-name", "cli", "--shard-to-split", "shardId-000000000000", "--new-starting-hash-key",
		new(big.Int).Lsh(big.NewInt(1), 126).String())
	c.call("merge-shards", "--stream-name", "cli", "--shard-to-merge", "shardId-000000000002", "--adjacent-shard-to-merge", "shardId-000000000003")
	c.putMany(20)
	c.call("update-shard-count", "--stream-name", "cli", "--target-shard-count", "4", "--scaling-type", "UNIFORM_SCALING")
	c.putMany(20)
	c.readAll()
	summary := c.call("describe-stream-summary", "--stream-name", "cli")["StreamDescriptionSummary"].(map[string]any)
	if summary["OpenShardCount"] != 4.0 {
		c.t.Errorf("got %v", summary)
	}
	arn := summary["StreamARN"].(string)
	consumer := c.call("register-stream-consumer", "--stream-arn", arn, "--consumer-name", "c")["Consumer"].(map[string]any)
	if got := c.call("list-stream-consumers", "--stream-arn", arn)["Consumers"].([]any); len(got) != 1 {
		c.t.Errorf("got %v", got)
	}
	c.call("deregister-stream-consumer", "--consumer-arn", consumer["ConsumerARN"].(string))
}

func (c *cli) putMany(n int) {
	var entries []string
	for range n {
		entries = append(entries, fmt.Sprintf(`{"PartitionKey":"key-%d","Data":"%d"}`, c.put%17, c.put))
		c.put++
	}
	out := c.call("put-records", "--stream-name", "cli", "--records", "["+strings.Join(entries, ",")+"]")
	if out["FailedRecordCount"] != 0.0 || len(out["Records"].([]any)) != n {
		c.t.Errorf("got %v", out)
	}
}

// readAll reads shards in the order of the list, in which parents come before their children, and checks that nothing is missing,
// doubled or out of order.
func (c *cli) readAll() {
	c.t.Helper()
	var got []record
	for _, s := range c.call("list-shards", "--stream-name", "cli")["Shards"].([]any) {
		shard := s.(map[string]any)
		_, closed := shard["SequenceNumberRange"].(map[string]any)["EndingSequenceNumber"]
		got = append(got, c.readShard(shard["ShardId"].(string), closed)...)
	}
	checkOrder(c.t, got, c.put)
}

func (c *cli) readShard(id string, closed bool) (got []record) {
	c.t.Helper()
	token := c.call("get-shard-iterator", "--stream-name", "cli", "--shard-id", id, "--shard-iterator-type", "TRIM_HORIZON")["ShardIterator"].(string)
	for {
		out := c.call("get-records", "--shard-iterator", token)
		records := out["Records"].([]any)
		for _, r := range records {
			r := r.(map[string]any)
			got = append(got, record{r["PartitionKey"].(string), unbase64(c.t, r["Data"].(string))})
		}
		next, more := out["NextShardIterator"].(string)
		if !more {
			if children, _ := out["ChildShards"].([]any); !closed || len(children) == 0 {
				c.t.Errorf("%s ends with %v", id, out)
			}
			return got
		}
		if !closed && len(records) == 0 {
			return got
		}
		token = next
	}
}

// Whoever installs takes the packages from the registry that is set up there.
func TestLockFileNamesNoRegistry(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("js", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"resolved"`) {
		t.Error(`remove the lines with "resolved"`)
	}
}
