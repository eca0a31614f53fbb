package expression

import (
	"bytes"
	"encoding/json"
	"unsafe"

	"github.com/tidwall/gjson"
)

// deepest is how many lists and objects a text may open before it is checked by a validator that bounds its depth.
const deepest = 10_000

// Valid reports whether data is one JSON value, with at most 10,000 lists and objects in each other. Strings need not be UTF-8. It holds
// no memory, however the data look: gjson is several times as fast as encoding/json, but recurses without a limit.
func Valid(data []byte) bool {
	if len(data) > deepest && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > deepest {
		return json.Valid(data)
	}
	return gjson.ValidBytes(data)
}

// ValidText is Valid of a text.
func ValidText(text string) bool { return Valid(unsafe.Slice(unsafe.StringData(text), len(text))) }
