package config

import "errors"

// LoadHermetic is Load with files from a map instead of the disk.
func LoadHermetic(inputs []Input, adapters Adapters, env func(string) (string, bool), files map[string]string) (*Config, Diagnostics) {
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
	return (&loader{adapters: adapters, env: env, read: read}).load(inputs)
}
