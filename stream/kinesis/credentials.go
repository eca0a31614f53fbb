package kinesis

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// noCredentialsError says that nobody has said who asks. The SDK tells of the last place where it looked instead, the metadata of a machine
// in EC2.
type noCredentialsError struct{ cause error }

// Error implements error.
func (*noCredentialsError) Error() string {
	return "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached"
}

// Unwrap returns what the SDK said.
func (e *noCredentialsError) Unwrap() error { return e.cause }

// plainly is credentials whose absence is told in plain words.
type plainly struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (p plainly) Retrieve(ctx context.Context) (aws.Credentials, error) {
	who, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "no EC2 IMDS role found") {
		err = &noCredentialsError{err}
	}
	return who, err
}

// Invalidate throws away what is known.
func (p plainly) Invalidate() {
	if cache, ok := p.CredentialsProvider.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}
