package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

// envelope is what every verb that answers once prints with --json: one object. Keys are only ever added.
type envelope struct {
	Command  string         `json:"command"`
	OK       bool           `json:"ok"`
	Summary  string         `json:"summary"`
	Result   any            `json:"result"`
	Warnings []string       `json:"warnings"`
	Error    *envelopeError `json:"error"`
}

type envelopeError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (a *app) print(e envelope) error {
	if e.Warnings == nil {
		e.Warnings = []string{}
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
}
