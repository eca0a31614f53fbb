package kinesisapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/leatstream/leat/stream"
)

// apiError is an error of the API: what the client is told.
type apiError struct {
	Type    string
	Message string // empty: there is no text in the answer
	capital bool   // the text is called Message and not message
	code    int    // 0: 400
}

// Error implements error.
func (e *apiError) Error() string { return e.Type + ": " + e.Message }

// status is the HTTP status of the answer.
func (e *apiError) status() int {
	if e.code == 0 {
		return http.StatusBadRequest
	}
	return e.code
}

// value is the body of the answer.
func (e *apiError) value() value {
	v := object(field{"__type", textOf(e.Type)})
	if e.capital {
		return v.withText("Message", e.Message)
	}
	return v.withText("message", e.Message)
}

func failure(kind, format string, args ...any) *apiError {
	return &apiError{Type: kind, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *apiError {
	return failure("ResourceNotFoundException", format, args...)
}

func inUse(format string, args ...any) *apiError {
	return failure("ResourceInUseException", format, args...)
}

func invalid(format string, args ...any) *apiError {
	return failure("InvalidArgumentException", format, args...)
}

func limitExceeded(format string, args ...any) *apiError {
	return failure("LimitExceededException", format, args...)
}

func throttled(format string, args ...any) *apiError {
	return failure("ProvisionedThroughputExceededException", format, args...)
}

// validation is a ValidationException that does not come from the model.
func validation(format string, args ...any) *apiError {
	return failure("ValidationException", format, args...)
}

// internal is a fault of the server. Clients try again.
func internal(text string) *apiError {
	return &apiError{Type: "InternalFailureException", Message: text, code: http.StatusInternalServerError}
}

// errDryRun is how a dry run succeeds.
var errDryRun = failure("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")

// api turns the error of an engine into one of the API. What is said of a missing stream depends on the operation: those that
// can say it better do so before.
func (c *call) api(err error) error {
	if err == nil {
		return nil
	}
	var told *apiError
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, stream.ErrNoStream):
		return notFound("Stream %s under account %s not found.", c.name, c.account)
	case errors.Is(err, stream.ErrNoShard):
		return notFound("Could not find shard in stream %s under account %s.", c.name, c.account)
	case errors.Is(err, stream.ErrExists):
		return inUse("Stream %s under account %s already exists.", c.name, c.account)
	case errors.Is(err, stream.ErrFull):
		return internal("The disk of the server is nearly full: puts are refused until there is room.")
	case errors.Is(err, stream.ErrTooLarge), errors.Is(err, stream.ErrInvalid):
		return invalid("%s", err)
	case errors.Is(err, stream.ErrReadOnly):
		return failure("AccessDeniedException", "The server was opened for reading only.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return internal("The request was abandoned.")
	}
	c.s.log.Error("request failed", "operation", c.op.name, "stream", c.name, "error", err)
	return internal("The server cannot answer now; its log has the reason.")
}
