package kinesisapi

import (
	"maps"
	"slices"
)

// TagResource, UntagResource, ListTagsForResource
//
// AWS keeps tags for streams, consumers and channels, by ARN; those of a stream are the same that AddTagsToStream sets.
//
// Leat does the same for streams and consumers. A channel is not found, there are none.

func (c *call) tagResource() (value, error) {
	return value{}, c.changeResource(func(h held) (err error) {
		*h.tags, err = c.addTags(*h.tags, tagsOf(c.in.get("Tags")))
		return err
	})
}

func (c *call) untagResource() (value, error) {
	return value{}, c.changeResource(func(h held) error {
		for _, key := range c.in.strs("TagKeys") {
			delete(*h.tags, key)
		}
		return nil
	})
}

func (c *call) listTagsForResource() (value, error) {
	h, err := c.readResource()
	if err != nil {
		return value{}, err
	}
	return object(field{"Tags", tagList(*h.tags, slices.Sorted(maps.Keys(*h.tags)))}), nil
}
