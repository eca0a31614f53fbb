package configdoc_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/configdoc"
	"github.com/leatstream/leat/producer"
)

var update = flag.Bool("update", false, "write the expected documents under testdata anew")

var house = []configdoc.Part{
	{Package: "example.test/house/frame", Struct: "Config", Heading: "Top level", Role: configdoc.Top},
	{Package: "example.test/house/frame", Struct: "Stream", Heading: "streams", Role: configdoc.Stream},
	{Package: "example.test/house/frame", Struct: "Source", Heading: "sources", Role: configdoc.Source},
	{Package: "example.test/house/frame", Struct: "Consumer", Heading: "consumers", Role: configdoc.Consumer},
	{Package: "example.test/house/feed", Struct: "Config", Heading: "Source of type feed", Role: configdoc.SourceType, Type: "feed"},
	{Package: "example.test/house/store", Struct: "Config", Heading: "Destination of type store", Role: configdoc.DestinationType, Type: "store"},
}

func TestTheReferenceComesFromCommentsAndTags(t *testing.T) {
	docs, err := configdoc.Generate("testdata/house", house)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/config.md", docs.Markdown)
	compare(t, "testdata/leat.schema.json", docs.Schema)
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

func TestEveryFieldOfTheFrameHasAComment(t *testing.T) {
	docs, err := configdoc.Generate("../..", configdoc.Frame())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n## Top level\n", "| `data` | text | `./leat-data` |", "| `streams` | mapping of mapping |",
		"| `connections` | integer | `1` | 1 to 16 |", "| `batch.bytes` | size | `4MiB` | 1KiB to 8MiB |",
		"| `start` | text | `oldest` | `oldest`, `latest` |", "| `destination.type` | text | required |",
	} {
		if !strings.Contains(string(docs.Markdown), want) {
			t.Errorf("%q is missing in\n%s", want, docs.Markdown)
		}
	}
}

func TestAdaptersBringTheirOwnSections(t *testing.T) {
	parts := configdoc.AdapterParts(config.Adapters{
		Sources:      map[string]func() any{"b": func() any { return new(producer.Settings) }, "a": func() any { return new(config.Stream) }},
		Destinations: map[string]func() any{"c": func() any { return new(config.Destination) }},
	})
	want := []configdoc.Part{
		{Package: "github.com/leatstream/leat/config", Struct: "Stream", Heading: "Source of type a", Role: configdoc.SourceType, Type: "a"},
		{Package: "github.com/leatstream/leat/producer", Struct: "Settings", Heading: "Source of type b", Role: configdoc.SourceType, Type: "b"},
		{Package: "github.com/leatstream/leat/config", Struct: "Destination", Heading: "Destination of type c", Role: configdoc.DestinationType, Type: "c"},
	}
	if len(parts) != len(want) {
		t.Fatalf("got %+v", parts)
	}
	for i := range want {
		if parts[i] != want[i] {
			t.Errorf("got %+v, want %+v", parts[i], want[i])
		}
	}
	if _, err := configdoc.Generate("../..", append(configdoc.Frame(), parts...)); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeDescribedIsAnError(t *testing.T) {
	for field, want := range map[string]string{
		"A other `yaml:\"a\"` // x\n}\ntype other struct {\nB *other `yaml:\"b\"` // x": "other holds itself",
		"A int `yaml:\"a\"`":                                           "field a: has no comment",
		"A int `yaml:\"a\" default:\"many\"` // x":                     "tag default: expected an integer",
		"A int `yaml:\"a\" min:\"1s\"` // x":                           "tag min",
		"A time.Duration `yaml:\"a\" max:\"60\"` // x":                 "tag max",
		"A string `yaml:\"a\" min:\"1\"` // x":                         "tag min: not for a field that holds a text",
		"A bool `yaml:\"a\" default:\"true\"` // x":                    "nobody could say false",
		"A string `yaml:\"a\" enum:\"b,c\" default:\"d\"` // x":        "not in its enum",
		"A int `yaml:\"a\" enum:\"1,2\"` // x":                         "only a text can have an enum",
		"A string `yaml:\"a,required\" default:\"d\"` // x":            "has no use for a default",
		"A *int `yaml:\"a\" default:\"1\"` // x":                       "a pointer can have no default",
		"A []string `yaml:\"a\" default:\"b\"` // x":                   "not for a field that holds a list",
		"A func() `yaml:\"a\"` // x":                                   "cannot describe the type",
		"A http.Client `yaml:\"a\"` // x":                              "not part of example.test/x",
		"A missing `yaml:\"a\"` // x":                                  "no type missing",
		"A struct { B int `yaml:\"b\"` } `yaml:\"a\"` // x":            "field a: field b: has no comment",
		"A []struct { B int `yaml:\"b\" max:\"x\"` } `yaml:\"a\"` //x": "field a: field b: ",
	} {
		root := t.TempDir()
		source := "package x\n\nimport (\"time\"; \"net/http\")\n\ntype Config struct {\n" + field + "\n}\n"
		for name, text := range map[string]string{"go.mod": "module example.test/x\n", "p/x.go": source} {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		part := configdoc.Part{Package: "example.test/x/p", Struct: "Config", Role: configdoc.SourceType, Type: "x"}
		if _, err := configdoc.Generate(root, []configdoc.Part{part}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", field, err, want)
		}
	}
}

func TestCheckTellsWhatIsOutOfDate(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/house")); err != nil {
		t.Fatal(err)
	}
	if err := configdoc.Check(root, house); err == nil {
		t.Error("nothing is written, and Check finds nothing")
	}
	if err := configdoc.Write(root, house); err != nil {
		t.Fatal(err)
	}
	if err := configdoc.Check(root, house); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(root, "leat.schema.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := configdoc.Check(root, house); err == nil || !strings.Contains(err.Error(), "check leat.schema.json: not up to date") {
		t.Errorf("got %v", err)
	}
}
