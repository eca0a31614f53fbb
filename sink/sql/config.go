package sql

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Config says which table of which file receives the rows. The zero values of its fields mean their
// defaults.
type Config struct {
	// The SQLite file. It is created, readable by its owner only, if it does not exist; its directory must
	// exist. Other programs may read and write the file at the same time; one of them at a time writes.
	Path string `yaml:"path,required"`

	// The table. Beside it the file gets a table leat_cursor, which says how far every shard is
	// delivered, and which nobody else must write.
	Table string `yaml:"table,required"`

	// Whether to create the table if it does not exist, or to stop. A table that exists is never changed: if
	// it does not fit, the consumer stops and lists the differences. Default: true.
	Create *bool `yaml:"create"`

	// The columns: a name, and in short the member or expression whose value is stored there as a text
	// (symbol: trade.symbol), in full {from: trade.price, type: real}. Without from it is the member with the
	// name of the column. The types: text takes anything; integer and real take numbers, also
	// numbers in quotes; boolean takes true and false, stored as 1 and 0; json takes anything that is UTF-8, and what is
	// no JSON becomes a JSON string. A record with another value goes to the dead-letter stream, and so does
	// a payload that is not JSON, unless every column is made from msg, the whole payload. What does not
	// exist is NULL. Beside the columns every row has leat_shard, leat_seq, leat_sub, leat_key and leat_arrived.
	// Default: those five and data, the whole payload, as a text if it is UTF-8 without zero
	// bytes, else as a blob.
	Columns map[string]Column `yaml:"columns"`

	// Columns that together name a thing: the table then has one row for each, of the record that arrived
	// last, and beside the columns only leat_seq and leat_arrived of that record. A record without a
	// value in one of them goes to the dead-letter stream. A table that exists needs a primary key or a unique
	// index on exactly these columns. Default: every record is a row of its own.
	Key []string `yaml:"key"`
}

// Column is one column of the table. In YAML it is a text, which is From alone, or a mapping.
type Column struct {
	// From is where the value comes from: a member path (trade.price) or an expression. Zero: the member
	// with the name of the column.
	From expression.Value

	// Type is text, integer, real, boolean or json; Config says what each of them takes. Empty: text.
	Type string
}

// UnmarshalText implements encoding.TextUnmarshaler for the short form, which is From alone.
func (c *Column) UnmarshalText(text []byte) error {
	*c = Column{}
	return c.From.UnmarshalText(text)
}

// UnmarshalValue implements setting.ValueUnmarshaler for the mapping of from and type.
func (c *Column) UnmarshalValue(value any) error {
	*c = Column{}
	members, ok := value.(map[string]any)
	if !ok {
		return errors.New("expected a member path, or a mapping of from and type")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		text, ok := members[name].(string)
		switch {
		case name != "from" && name != "type":
			return fmt.Errorf("unknown field %q, want from and type", name)
		case !ok:
			return fmt.Errorf("%s: expected a text", name)
		case name == "type":
			c.Type = text
		default:
			if err := c.From.UnmarshalText([]byte(text)); err != nil {
				return fmt.Errorf("from: %w", err)
			}
		}
	}
	return nil
}

// Check returns what is wrong with c in itself, nil if nothing is: *setting.FieldErrors, joined. It does no I/O.
func (c *Config) Check() error {
	var all []error
	wrong := func(field string, err error) {
		if err != nil {
			all = append(all, &setting.FieldError{Field: field, Err: err})
		}
	}
	if c.Path == "" || strings.ContainsRune(c.Path, 0) {
		wrong("path", fmt.Errorf("%q is not the name of a file", c.Path))
	}
	wrong("table", checkName(c.Table))
	if len(c.Key) > 0 && len(c.Columns) == 0 {
		wrong("key", errors.New("needs columns"))
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Columns)) {
		column := c.Columns[name]
		err := errors.Join(checkName(name), column.check(name))
		if other, ok := seen[strings.ToLower(name)]; ok {
			err = errors.Join(err, fmt.Errorf("differs from %s in case alone, which SQLite does not tell apart", other))
		}
		wrong("columns."+name, err)
		seen[strings.ToLower(name)] = name
	}
	for i, name := range c.Key {
		if _, ok := c.Columns[name]; !ok {
			wrong("key", fmt.Errorf("%s is not one of the columns", name))
		}
		if slices.Contains(c.Key[:i], name) {
			wrong("key", fmt.Errorf("%s is there twice", name))
		}
	}
	return errors.Join(all...)
}

// create reports whether a table that is missing is created.
func (c *Config) create() bool { return c.Create == nil || *c.Create }

func (c *Column) check(name string) error {
	if !slices.Contains([]string{"", kindText, kindInteger, kindReal, kindBoolean, kindJSON}, c.Type) {
		return fmt.Errorf("unknown type %q, want text, integer, real, boolean or json", c.Type)
	}
	if _, err := c.from(name); err != nil {
		return fmt.Errorf("needs from, because its name is no member path: %w", err)
	}
	return nil
}

// from returns where the value of the column with the name comes from.
func (c *Column) from(name string) (expression.Value, error) {
	if c.From.IsZero() {
		return expression.Parse(name)
	}
	return c.From, nil
}

func (c *Column) kind() string {
	if c.Type == "" {
		return kindText
	}
	return c.Type
}

// checkName refuses names that SQLite or this package reserves. Everything else can be quoted.
func checkName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return fmt.Errorf("%q is no name", name)
	case strings.HasPrefix(lower, "sqlite_") || strings.HasPrefix(lower, "leat_"):
		return fmt.Errorf("%s: names that begin with sqlite_ or leat_ are reserved", name)
	}
	return nil
}
