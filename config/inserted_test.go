package config

import "testing"

func TestWhatATemplateInsertsIsNotWrittenIntoTheFile(t *testing.T) {
	for text, want := range map[string]bool{
		"Bearer {{token}}": true, "{{token}}": true, "{{user}}{{hex(x)}}": true, "Bearer abc": false, "abcdef{{token}}": false, "Bearer {{token}} hunter2": false, "": false,
	} {
		if inserted(text) != want {
			t.Errorf("%q: got %v", text, !want)
		}
	}
}
