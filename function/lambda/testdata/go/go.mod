module handler

go 1.26.0

require github.com/aws/aws-lambda-go v1.54.0
