package kinesisapi

import (
	"maps"
	"slices"
	"strings"
)

// AddTagsToStream, RemoveTagsFromStream, ListTagsForStream
//
// AWS keeps up to 50 tags for a stream. Adding replaces the value of a key that is there, removing passes over keys that are not. The list
// is in order of key, at most 50 to a page, behind ExclusiveStartTagKey.
//
// Leat does the same.
//
// Differences: the text for more than 50 tags is that of the time when there were 10.

func (c *call) addTagsToStream() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	return value{}, c.changeTags(func(m *meta) (err error) {
		m.Tags, err = c.addTags(m.Tags, tagsOf(c.in.get("Tags")))
		return err
	})
}

func (c *call) removeTagsFromStream() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	keys := c.in.strs("TagKeys")
	for _, key := range keys {
		if err := checkTagText(key); err != nil {
			return value{}, err
		}
		if strings.Contains(key, "%") {
			return value{}, c.illegalTags("remove tags from")
		}
	}
	return value{}, c.changeTags(func(m *meta) error {
		for _, key := range keys {
			delete(m.Tags, key)
		}
		return nil
	})
}

// changeTags changes the tags of a stream. That of one that is not ACTIVE cannot be changed.
func (c *call) changeTags(edit func(*meta) error) error {
	return c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		return edit(m)
	})
}

func (c *call) listTagsForStream() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	v, err := c.streamNow()
	if err != nil {
		return value{}, err
	}
	after, limit := c.in.str("ExclusiveStartTagKey"), c.in.intOr("Limit", maxTags)
	keys := slices.Sorted(maps.Keys(v.meta.Tags))
	keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after })
	more := len(keys) > limit
	keys = keys[:min(limit, len(keys))]
	return object(field{"Tags", tagList(v.meta.Tags, keys)}, field{"HasMoreTags", boolOf(more)}), nil
}
