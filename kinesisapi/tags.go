package kinesisapi

import (
	"maps"
	"strings"
	"unicode"
)

const maxTags = 50

// tagsOf returns the tags in a member of a request.
func tagsOf(v *value) map[string]string {
	tags := make(map[string]string, len(v.fields))
	for i := range v.fields {
		tags[v.fields[i].name] = v.fields[i].value.text
	}
	return tags
}

// tagList returns tags as answers list them, in order of key.
func tagList(tags map[string]string, keys []string) value {
	list := make([]value, len(keys))
	for i, key := range keys {
		list[i] = object(field{"Key", textOf(key)}, field{"Value", textOf(tags[key])})
	}
	return listOf(list)
}

// addTags returns the tags with more of them, of which each replaces one of the same key. The words of the errors are those for streams.
func (c *call) addTags(tags, more map[string]string) (map[string]string, error) {
	if len(more) == 0 {
		return tags, nil
	}
	if err := checkTags(more); err != nil {
		return nil, err
	}
	for key, text := range more {
		if strings.Contains(key+text, "%") {
			return nil, c.illegalTags("add tags to")
		}
	}
	merged := maps.Clone(more)
	for key, text := range tags {
		if _, replaced := merged[key]; !replaced {
			merged[key] = text
		}
	}
	if len(merged) > maxTags {
		return nil, invalid("Failed to add tags to stream %s under account %s because a given stream cannot have more than %d tags associated with it.",
			c.name, c.account, maxTags)
	}
	return merged, nil
}

func (c *call) illegalTags(what string) error {
	return invalid("Failed to %s stream %s under account %s because some tags contained illegal characters. The allowed characters are "+
		"Unicode letters, white-spaces, '_',',','/','=','+','-','@'.", what, c.name, c.account)
}

// checkTags refuses characters that cannot be in the tags of anything, and more tags than a resource can have.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("A resource cannot have more than %d tags associated with it.", maxTags)
	}
	for key, text := range tags {
		if err := checkTagText(key + text); err != nil {
			return err
		}
	}
	return nil
}

func checkTagText(text string) error {
	for _, r := range text {
		switch {
		case strings.ContainsRune("_./=+-@%: ", r):
		case r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		case r >= 0xc0 && r <= 0x1fff, r >= 0x2c00 && r <= 0xd7ff:
		default:
			return invalid("Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - %% @.")
		}
	}
	return nil
}
