package clients

import (
	"strings"
	"testing"

	"github.com/leatstream/leat/kinesisapi/sigv4"
)

// What the clients sign verifies, and nothing that is signed with another secret.
func TestSignaturesOfTheClients(t *testing.T) {
	url := inProcess(t, &sigv4.Verifier{Keys: map[string]sigv4.Key{"AKIDEXAMPLE": {Secret: "secret", Account: "000000000000"}}})
	type client struct {
		name string
		args []string
	}
	var all []client
	for _, python := range programs("python3") {
		if _, err := try(t, environment(t), python, "-c", "import boto3"); err == nil {
			all = append(all, client{python, []string{python, "client.py"}})
		}
	}
	for _, node := range programs("node") {
		if !javaScriptIsThere() {
			break
		}
		all = append(all, client{node, []string{node, "js/client.mjs"}})
	}
	for _, aws := range programs("aws") {
		all = append(all, client{aws, []string{aws, "--endpoint-url", url, "kinesis", "list-streams", "--limit", "1"}})
	}
	if len(all) < 3 {
		missing(t, "some client")
	}
	for i, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := "LEAT_STREAM=signed-" + string(rune('a'+i))
			run(t, environment(t, "LEAT_ENDPOINT="+url, name), c.args...)
			_, err := try(t, environment(t, "LEAT_ENDPOINT="+url, name, "AWS_SECRET_ACCESS_KEY=other"), c.args...)
			if err == nil || !strings.Contains(err.Error(), "The request signature we calculated does not match the signature you provided.") {
				t.Errorf("with another secret: %v", err)
			}
		})
	}
}
