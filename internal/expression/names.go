package expression

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Uses reports whether an expression in t names a variable.
func (t *Template) Uses(variable string) bool { return slices.Contains(t.Names(), variable) }

// Names returns the variables that the expressions in t name, each once.
func (t *Template) Names() []string { return t.namesOf(len(t.parts)) }

// HostNames is Names for an address: those of the expressions that its scheme and host may come from.
func (t *Template) HostNames() []string {
	var address strings.Builder
	for i, p := range t.parts {
		if p.program != nil {
			address.WriteByte('x')
			continue
		}
		if address.WriteString(p.text); !inHost(address.String()) {
			return t.namesOf(i)
		}
	}
	return t.Names()
}

// namesOf returns what is named in the first parts.
func (t *Template) namesOf(parts int) []string {
	v := &naming{own: map[string]bool{"$env": true}}
	for _, p := range t.parts[:parts] {
		if p.program != nil {
			root := p.program.Node()
			ast.Walk(&root, v)
		}
	}
	var names []string
	for _, name := range v.names {
		if !v.own[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// naming collects names of variables.
type naming struct {
	names []string
	own   map[string]bool // what is no variable: functions, and names that an expression gives itself
}

// Visit implements ast.Visitor.
func (v *naming) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		v.names = append(v.names, n.Value)
	case *ast.MemberNode: // that is what memberNames makes of a name that a function has, too
		if of, ok := n.Node.(*ast.IdentifierNode); ok && of.Value == "$env" {
			if name, ok := n.Property.(*ast.StringNode); ok {
				v.names = append(v.names, name.Value)
			}
		}
	case *ast.CallNode:
		if f, ok := n.Callee.(*ast.IdentifierNode); ok {
			v.own[f.Value] = true
		}
	case *ast.VariableDeclaratorNode:
		v.own[n.Name] = true
	}
}
