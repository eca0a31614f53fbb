package sql

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// layout is the table as the configuration wants it, and how a record becomes a row.
type layout struct {
	table   string
	columns []column
	key     []string
	members bool // some column looks into the payload, which must be JSON then
}

type column struct {
	name     string
	kind     string
	required bool // NULL is refused
	value    func(r *row) (any, error)
}

// row is the record that is being stored.
type row struct {
	*leat.Record
	shard   string
	message expression.Message
}

// The columns that the sink fills by itself.
var (
	shardColumn   = column{name: "leat_shard", kind: kindText, value: func(r *row) (any, error) { return r.shard, nil }}
	seqColumn     = column{name: "leat_seq", kind: kindText, value: func(r *row) (any, error) { return r.Sequence.String(), nil }}
	subColumn     = column{name: "leat_sub", kind: kindInteger, value: func(*row) (any, error) { return int64(0), nil }}
	keyColumn     = column{name: "leat_key", kind: kindData, value: func(r *row) (any, error) { return textOrBlob(r.PartitionKey), nil }}
	arrivedColumn = column{name: "leat_arrived", kind: kindTime, value: func(r *row) (any, error) { return timeText(r.Arrived), nil }}
	payloadColumn = column{name: "data", kind: kindData, value: func(r *row) (any, error) { return textOrBlob(view(r.Data)), nil }}
	recordColumns = []column{shardColumn, seqColumn, subColumn, keyColumn, arrivedColumn}
	newestColumns = []column{seqColumn, arrivedColumn}
)

const (
	wholeMessage     = "msg"  // the one expression that needs no JSON
	rowsAtOnce       = 50     // rows of one INSERT; more gain nothing
	parametersAtMost = 30_000 // of one statement; SQLite takes 32,766
)

// newLayout returns the layout of a Config, which must be valid. The columns come in order of name.
func newLayout(c *Config) (*layout, error) {
	l := &layout{table: c.Table, key: c.Key}
	if len(c.Columns) == 0 {
		l.columns = append(slices.Clone(recordColumns), payloadColumn)
		return l, nil
	}
	if len(c.Key) == 0 {
		l.columns = slices.Clone(recordColumns)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Columns)) {
		configured := c.Columns[name]
		from, err := configured.from(name)
		if err != nil {
			return nil, err
		}
		l.members = l.members || from.String() != wholeMessage
		l.columns = append(l.columns, mapped(name, configured.kind(), from, slices.Contains(c.Key, name)))
	}
	if len(c.Key) > 0 {
		l.columns = append(l.columns, newestColumns...)
	}
	return l, nil
}

func mapped(name, kind string, from expression.Value, required bool) column {
	return column{name: name, kind: kind, required: required, value: func(r *row) (any, error) {
		text, ok := from.Text(&r.message)
		if !ok {
			return nil, nil
		}
		return convert(kind, text)
	}}
}

// append appends the values of r to args. The error names the record and the column.
func (l *layout) append(args []any, r *row) ([]any, error) {
	if l.members && !expression.Valid(r.Data) {
		return nil, fmt.Errorf("record %s of %s: the payload is not JSON: %.40q", r.Sequence, r.shard, r.Data)
	}
	r.message = expression.NewMessage(r.Data)
	for i := range l.columns {
		c := &l.columns[i]
		value, err := c.value(r)
		if value == nil && err == nil && c.required {
			err = errors.New("there is no value, and the column must not be NULL")
		}
		if err != nil {
			return nil, fmt.Errorf("record %s of %s, column %s: %w", r.Sequence, r.shard, c.name, err)
		}
		args = append(args, value)
	}
	return args, nil
}

// rows returns how many rows go into one statement.
func (l *layout) rows() int { return max(1, min(rowsAtOnce, parametersAtMost/len(l.columns))) }

// insert returns the statement that stores n rows.
func (l *layout) insert(n int) string {
	values := "(" + strings.TrimSuffix(strings.Repeat("?,", len(l.columns)), ",") + ")"
	text := "INSERT INTO " + quote(l.table) + " (" + l.names(nil) + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(values+",", n), ",")
	if len(l.key) == 0 {
		return text
	}
	var set []string
	for _, c := range l.columns {
		if !slices.Contains(l.key, c.name) {
			set = append(set, quote(c.name)+"=excluded."+quote(c.name))
		}
	}
	arrived := quote(arrivedColumn.name)
	return text + " ON CONFLICT (" + l.names(l.key) + ") DO UPDATE SET " + strings.Join(set, ", ") +
		" WHERE " + quote(l.table) + "." + arrived + " IS NULL OR excluded." + arrived + " >= " + quote(l.table) + "." + arrived
}

// create returns the statement that creates the table if it does not exist.
func (l *layout) create(d *dialect) string {
	var lines []string
	for _, c := range l.columns {
		line := quote(c.name) + " " + d.types[c.kind]
		if c.required {
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	if len(l.key) > 0 {
		lines = append(lines, "PRIMARY KEY ("+l.names(l.key)+")")
	}
	return "CREATE TABLE IF NOT EXISTS " + quote(l.table) + " (" + strings.Join(lines, ", ") + ")"
}

// names returns the names quoted, all columns' if there are none.
func (l *layout) names(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, quote(name))
	}
	for i := 0; names == nil && i < len(l.columns); i++ {
		quoted = append(quoted, quote(l.columns[i].name))
	}
	return strings.Join(quoted, ", ")
}

// compare returns how the table that exists differs from the layout, nil if it fits, and takes over which of
// its columns must not be NULL.
func (l *layout) compare(d *dialect, table []existing) error {
	var all []string
	rest := map[string]existing{}
	for _, e := range table {
		rest[strings.ToLower(e.name)] = e
	}
	for i := range l.columns {
		c := &l.columns[i]
		e, ok := rest[strings.ToLower(c.name)]
		delete(rest, strings.ToLower(c.name))
		switch {
		case !ok:
			all = append(all, fmt.Sprintf("column %s (%s) is missing", c.name, d.types[c.kind]))
		case e.computed:
			all = append(all, fmt.Sprintf("column %s is computed and cannot be filled", c.name))
		case !d.fits(e.declared, c.kind):
			all = append(all, fmt.Sprintf("column %s is declared as %s, want %s", c.name, e.declared, d.types[c.kind]))
		}
		c.required = c.required || e.notNull
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		if !rest[name].optional {
			all = append(all, fmt.Sprintf("column %s must not be NULL, has no default, and is not filled", rest[name].name))
		}
	}
	if all == nil {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}
