package main

import (
	"cmp"
	"encoding/json"
	"io"
	"strings"

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

// failure is the envelope of a verb that did not come to its answer.
func failure(cmd *cobra.Command, err error) envelope {
	code, hint := exitCode(err)
	name := map[int]string{exitUsage: "usage", exitEnvironment: "environment"}[code]
	return envelope{
		Command: strings.TrimPrefix(cmd.CommandPath(), "leat "), Summary: err.Error(),
		Error: &envelopeError{Code: cmp.Or(name, "failed"), Message: err.Error(), Hint: hint},
	}
}

// counted is a writer that knows whether it has been used.
type counted struct {
	io.Writer
	used bool
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	c.used = c.used || len(p) > 0
	return c.Writer.Write(p)
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
