// Package hostile runs the binary against many hostile providers at once, beside one that means well: the memory of the process
// stays bounded, the one that means well loses nothing, and of each of the others one clear line says what is wrong with it.
//
// The package has tests only.
package hostile
