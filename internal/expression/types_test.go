package expression_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/leatstream/leat/internal/expression"
)

func TestATextThatIsOneExpressionMayBecomeAList(t *testing.T) {
	template, err := expression.JSONTemplate(map[string]any{
		"{{a}}": "{{list}}", "n": []any{"{{n}}", 1}, "text": "{{list}} and {{n}}", "all": `{{map(list, # + "@trade")}}`,
		"of": `{{join(list, "/")}}`, "o": "{{o}}", "gone": "{{gone}}",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Expand(map[string]any{"a": `x"y`, "list": []string{"b", `c"`}, "n": 7, "o": map[string]any{"p": nil}}, nil)
	const want = `{"all":["b@trade","c\"@trade"],"gone":"","n":["7",1],"o":{"p":null},"of":"b/c\"","text":"[\"b\",\"c\\\"\"] and 7","x\"y":["b","c\""]}`
	if err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestValuesKeepTheirType(t *testing.T) {
	message := expression.NewMessage([]byte(`{"s":"x","n":12345678901234567,"f":1.5,"long":123456789012345678901,"t":true,"nil":null,"o":{"a":[1,2.5]},"e":1e400}`))
	for source, want := range map[string]any{
		"s": "x", "n": 12345678901234567, "f": 1.5, "long": json.Number("123456789012345678901"), "t": true, "o.a": []any{1, 2.5}, "o.a[1]": 2.5,
		"e": json.Number("1e400"), "n + 1": 12345678901234568, "nil": nil, "gone": nil, "o.gone": nil, "msg.s": "x",
	} {
		v := expression.MustParse(source)
		if got, ok := v.Evaluate(&message); fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", want, want) || ok != (want != nil) {
			t.Errorf("%s: got %T %v, %v", source, got, got, ok)
		}
	}
}
