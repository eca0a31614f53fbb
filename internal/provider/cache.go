package provider

import "slices"

// cache keeps the values of the highest keys that were asked for.
type cache[V any] struct {
	keys   []int64 // ascending
	values map[int64]V
}

// get returns the value of a key, made by compute unless it is kept, and keeps so many values.
func (c *cache[V]) get(key int64, keep int, compute func() V) V {
	if v, ok := c.values[key]; ok {
		return v
	}
	v := compute()
	if c.values == nil {
		c.values = map[int64]V{}
	}
	c.values[key] = v
	i, _ := slices.BinarySearch(c.keys, key)
	c.keys = slices.Insert(c.keys, i, key)
	if len(c.keys) > keep {
		delete(c.values, c.keys[0])
		c.keys = slices.Delete(c.keys, 0, 1)
	}
	return v
}
