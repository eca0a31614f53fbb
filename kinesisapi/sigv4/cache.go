package sigv4

import "sync"

// cacheSize bounds the signing keys that are kept. A key is good for one day, so this is enough for as many pairs of access key and region.
const cacheSize = 256

type cacheKey struct{ accessKey, scope string }

// keyCache keeps derived signing keys: deriving one takes four times as long as using it. The zero keyCache is empty.
type keyCache struct {
	mu   sync.RWMutex
	keys map[cacheKey][]byte
}

func (c *keyCache) get(name cacheKey) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	key, ok := c.keys[name]
	return key, ok
}

// put keeps a key. A full cache begins anew, which costs a derivation per key.
func (c *keyCache) put(name cacheKey, key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= cacheSize {
		c.keys = make(map[cacheKey][]byte)
	}
	c.keys[name] = key
}
