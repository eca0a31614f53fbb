package kinesis

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/leatstream/leat/stream"
)

// errorCode returns the code of an error of the SDK, or nothing.
func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// mend adds the sentinel of package stream that an error of the SDK stands for, and takes away what hides that there are no credentials.
func mend(err error) error {
	if none := (*noCredentialsError)(nil); errors.As(err, &none) {
		return none // what the SDK puts before it says nothing more
	}
	err = short(err)
	switch errorCode(err) {
	case "ResourceNotFoundException":
		return fmt.Errorf("%w in Kinesis; with create: true the engine makes it: %w", stream.ErrNoStream, err)
	case "ResourceInUseException":
		return fmt.Errorf("%w: %w", stream.ErrExists, err)
	case "InvalidArgumentException", "ValidationException":
		return fmt.Errorf("%w: %w", stream.ErrInvalid, err)
	}
	return err
}

// shortError is an error of the SDK without what the SDK puts before it: errors.Is and errors.As find all of it.
type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }

// short leaves of an error of the SDK what an operator needs: who could not be reached and why, or what the service answered to which request.
// An error of another service on the way, such as that which gives the credentials, stays as it is.
func short(err error) error {
	var op, inner *smithy.OperationError
	if !errors.As(err, &op) || errors.As(op.Err, &inner) {
		return err
	}
	var (
		api    smithy.APIError
		sent   *url.Error
		answer *http.ResponseError
	)
	switch {
	case errors.As(err, &api):
		text := api.ErrorCode() + ": " + api.ErrorMessage()
		if errors.As(err, &answer) && answer.ServiceRequestID() != "" {
			text += " (request " + answer.ServiceRequestID() + ")"
		}
		return &shortError{text, err}
	case errors.As(err, &sent):
		return &shortError{sent.Error(), err}
	}
	return err
}
