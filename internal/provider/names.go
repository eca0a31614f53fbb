package provider

import "strconv"

// The names of the riders are made of these words: 40 × 40 of them.
var (
	givenNames = [...]string{
		"Ada", "Bela", "Cleo", "Dario", "Edda", "Falk", "Gita", "Hugo", "Ilka", "Jory",
		"Kaja", "Lorin", "Mika", "Nele", "Odin", "Pia", "Quinn", "Runa", "Silas", "Tova",
		"Ugo", "Vera", "Wim", "Xenia", "Yann", "Zita", "Arlo", "Britt", "Colm", "Dunja",
		"Emil", "Fenna", "Gero", "Hedda", "Ivo", "Juna", "Keno", "Lale", "Merlin", "Noor",
	}
	familyNames = [...]string{
		"Weir", "Sluys", "Mühlbach", "Rivers", "Watt", "Ford", "Quell", "Brook", "Marsh", "Bridger",
		"Fuller", "Tanner", "Sawyer", "Miller", "Penstock", "Tailrace", "Spillman", "Lock", "Dyke", "Fenwick",
		"Pool", "Rapid", "Burn", "Beck", "Firth", "Delta", "Mead", "Leake", "Wells", "Fountain",
		"Waters", "Drake", "Heron", "Otter", "Trout", "Alder", "Willow", "Reed", "Rush", "Sedge",
	}
)

// riderName returns the name of a rider, counted from 1. No two are the same.
func riderName(rider int) string {
	n := rider - 1
	given := n % len(givenNames)
	round := n / len(givenNames)
	name := givenNames[given] + " " + familyNames[(round+given)%len(familyNames)]
	if again := round / len(familyNames); again > 0 {
		name += " " + strconv.Itoa(again+1)
	}
	return name
}
