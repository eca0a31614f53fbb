// Package examples holds complete pipelines. Each is a file that leat run takes as it is; leat demo runs the bike race.
package examples

import _ "embed"

// BikeRace is the pipeline of leat demo: bike-race/leat.yaml.
//
//go:embed bike-race/leat.yaml
var BikeRace []byte
