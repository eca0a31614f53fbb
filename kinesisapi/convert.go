package kinesisapi

import (
	"fmt"
	"math"
	"strings"
)

const bigNumber = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber"

// convert brings v into the kinds of the shape, and drops members that the shape does not know and those that are null. The error is
// that of AWS, with its names of Java classes.
func convert(v *value, to *shape) error {
	switch to.kind {
	case typeString:
		return wantKind(v, kindString, "an String")
	case typeInteger:
		if err := wantKind(v, kindNumber, "an Integer"); err != nil {
			return err
		}
		v.number = min(math.Floor(v.number), math.MaxInt32)
		v.number = max(v.number, math.MinInt32)
		return nil
	case typeBoolean:
		if v.kind == kindString {
			return serialization("'%s' can not be converted to an Boolean", strings.ToUpper(v.text))
		}
		return wantKind(v, kindBool, "an Boolean")
	case typeBlob:
		return convertBlob(v)
	case typeTimestamp:
		return convertTime(v)
	case typeList:
		return convertList(v, to)
	case typeMap, typeStructure:
	}
	return convertMembers(v, to)
}

// wantKind refuses every kind but one.
func wantKind(v *value, want kind, name string) error {
	if v.kind == want {
		return nil
	}
	const cannot = "%s can not be converted to %s"
	switch v.kind {
	case kindBool:
		return serialization(cannot, "class java.lang.Boolean", name)
	case kindNumber, kindTime:
		return serialization(cannot, bigNumber, name)
	case kindString:
		return serialization(cannot, "class java.lang.String", name)
	case kindBlob:
		return serialization(cannot, "class java.nio.HeapByteBuffer", name)
	case kindList:
		return errList
	default:
		return errStructure
	}
}

var (
	errList      = serialization("Start of list found where not expected")
	errStructure = serialization("Start of structure or map found where not expected.")
)

func convertBlob(v *value) error {
	switch v.kind {
	case kindBlob:
		return nil
	case kindString:
	default:
		return wantKind(v, kindString, "a Blob")
	}
	blob, why := decodeBase64(v.text)
	if why != "" {
		return serialization("'%s' can not be converted to a Blob: %s", v.text, why)
	}
	*v = blobOf(blob)
	return nil
}

// decodeBase64 decodes padded base64. Where that fails it says why.
func decodeBase64(text string) (blob []byte, why string) {
	blob, err := base64Strict.DecodeString(text)
	if err == nil && !strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return blob, ""
	}
	if len(text)%4 != 0 {
		return nil, fmt.Sprintf("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(text))
	}
	for _, c := range strings.TrimSuffix(strings.TrimSuffix(text, "="), "=") {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c) {
			return nil, fmt.Sprintf("Invalid Base64 character: '%c'", c)
		}
	}
	return nil, "Invalid last non-pad Base64 character dectected"
}

// convertTime reads seconds of JSON and milliseconds of CBOR.
func convertTime(v *value) error {
	switch v.kind {
	case kindTime:
	case kindNumber:
		v.kind, v.number = kindTime, v.number*1000
	default:
		return wantKind(v, kindNumber, "milliseconds since epoch")
	}
	v.number = math.Round(max(min(v.number, 1<<53), -1<<53))
	return nil
}

func convertList(v *value, to *shape) error {
	switch v.kind {
	case kindList:
	case kindObject:
		return errStructure
	default:
		return serialization("Expected list or null")
	}
	for i := range v.list {
		if v.list[i].kind == kindNull {
			continue
		}
		if err := convert(&v.list[i], to.elem); err != nil {
			return err
		}
	}
	return nil
}

// convertMembers converts maps and structures.
func convertMembers(v *value, to *shape) error {
	switch {
	case v.kind == kindObject:
	case v.kind == kindList:
		return errList
	case to.kind == typeMap:
		return serialization("Expected map or null")
	default:
		return serialization("Expected null")
	}
	kept := v.fields[:0]
	for _, f := range v.fields {
		of := to.elem
		if to.kind == typeStructure {
			m := to.member(f.name)
			if m == nil || f.value.kind == kindNull {
				continue
			}
			of = m.shape
		}
		if f.value.kind != kindNull {
			if err := convert(&f.value, of); err != nil {
				return err
			}
		}
		kept = append(kept, f)
	}
	v.fields = kept
	return nil
}

// serialization is the error of a body that does not fit the model. It alone writes its text as "Message".
func serialization(format string, args ...any) *apiError {
	return &apiError{Type: "SerializationException", Message: fmt.Sprintf(format, args...), capital: true}
}
