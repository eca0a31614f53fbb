// Command cmd writes docs/config.md and leat.schema.json, or with -check says whether they are up to date.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/leatstream/leat/internal/configdoc"
	"github.com/leatstream/leat/pipeline"
)

// adapters is what the reference covers beside the frame.
var adapters = pipeline.Adapters()

func main() {
	root := flag.String("root", ".", "directory of go.mod")
	check := flag.Bool("check", false, "write nothing; fail if a document is not up to date")
	flag.Parse()
	run := configdoc.Write
	if *check {
		run = configdoc.Check
	}
	if err := run(*root, append(configdoc.Frame(), configdoc.AdapterParts(adapters)...)); err != nil {
		fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}
