package flattest

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"lockstep/wire/flat"
)

// Check fails the test unless the tables are those of the schema, all of them, by name.
func Check(t *testing.T, schema string, tables map[string]flat.Table) {
	t.Helper()
	want := Tables(t, schema)
	if len(tables) != len(want) {
		t.Errorf("%s has %d tables, the verifier knows %d", schema, len(want), len(tables))
	}
	for name, table := range want {
		if !reflect.DeepEqual(tables[name], table) {
			t.Errorf("%s: %s: the verifier has %+v, the schema %+v", schema, name, tables[name], table)
		}
	}
}

// Field is one field of a table, as the schema declares it.
type Field struct{ Name, Type string }

// Fields are the fields of every table of a schema, by the table's name.
func Fields(t *testing.T, schema string) map[string][]Field {
	t.Helper()
	return parse(t, schema).tables
}

// Tables are the tables of a schema, as flat describes them, by name. They must not contain themselves.
func Tables(t *testing.T, schema string) map[string]flat.Table {
	t.Helper()
	p := parse(t, schema)
	all := map[string]flat.Table{}
	for name := range p.tables {
		all[name] = p.table(name)
	}
	return all
}

// parsed is a schema: what its names stand for.
type parsed struct {
	t       *testing.T
	scalars map[string]int      // the language's, and enums: width
	structs map[string][2]int   // size, alignment
	unions  map[string][]string // members
	tables  map[string][]Field
}

var (
	comment = regexp.MustCompile(`//[^\n]*`)
	enum    = regexp.MustCompile(`enum (\w+)\s*:\s*(\w+)`)
	union   = regexp.MustCompile(`union (\w+)\s*\{([^}]*)\}`)
	object  = regexp.MustCompile(`(?s)(struct|table) (\w+)\s*\{(.*?)\}`)
	field   = regexp.MustCompile(`(\w+)\s*:\s*(\[?\w+\]?)`)
	word    = regexp.MustCompile(`\w+`)
)

func parse(t *testing.T, schema string) *parsed {
	t.Helper()
	b, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	text := comment.ReplaceAllString(string(b), "")
	p := &parsed{t: t, structs: map[string][2]int{}, unions: map[string][]string{}, tables: map[string][]Field{},
		scalars: map[string]int{"bool": 1, "byte": 1, "ubyte": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "short": 2,
			"ushort": 2, "int32": 4, "uint32": 4, "int": 4, "uint": 4, "int64": 8, "uint64": 8, "long": 8, "ulong": 8}}
	for _, m := range enum.FindAllStringSubmatch(text, -1) {
		p.scalars[m[1]] = p.scalars[m[2]]
	}
	for _, m := range union.FindAllStringSubmatch(text, -1) {
		p.unions[m[1]] = word.FindAllString(m[2], -1)
	}
	for _, m := range object.FindAllStringSubmatch(text, -1) {
		var fields []Field
		for _, f := range field.FindAllStringSubmatch(m[3], -1) {
			fields = append(fields, Field{f[1], f[2]})
		}
		if m[1] == "struct" {
			p.structs[m[2]] = p.layout(fields)
		} else {
			p.tables[m[2]] = fields
		}
	}
	return p
}

// layout is the size and alignment of a struct of scalars.
func (p *parsed) layout(fields []Field) [2]int {
	size, align := 0, 1
	for _, f := range fields {
		n := p.scalars[f.Type]
		if n == 0 {
			p.t.Fatalf("a struct has a field %s of a type that is no scalar: %s", f.Name, f.Type)
		}
		align = max(align, n)
		size = (size+n-1)/n*n + n
	}
	return [2]int{(size + align - 1) / align * align, align}
}

func (p *parsed) table(name string) (t flat.Table) {
	for _, f := range p.tables[name] {
		if members, ok := p.unions[f.Type]; ok {
			var of []flat.Table
			for _, m := range members {
				of = append(of, p.table(m))
			}
			t = append(t, flat.UnionType, flat.Union(of...))
			continue
		}
		t = append(t, p.field(name, f))
	}
	return t
}

func (p *parsed) field(table string, f Field) flat.Field {
	if f.Type[0] != '[' {
		switch n := p.scalars[f.Type]; {
		case n != 0:
			return map[int]flat.Field{1: flat.U8, 2: flat.U16, 4: flat.U32, 8: flat.U64}[n]
		case f.Type == "string":
			return flat.String
		case p.tables[f.Type] != nil:
			return flat.Nested(p.table(f.Type))
		case p.structs[f.Type][0] != 0:
			s := p.structs[f.Type]
			return flat.Struct(uint16(s[0]), uint8(s[1]))
		}
		p.t.Fatalf("%s.%s: unknown type %s", table, f.Name, f.Type)
	}
	of := f.Type[1 : len(f.Type)-1]
	switch n := p.scalars[of]; {
	case n == 1:
		return flat.Bytes
	case n != 0:
		return flat.Structs(uint16(n), uint8(n))
	case p.structs[of][0] != 0:
		s := p.structs[of]
		return flat.Structs(uint16(s[0]), uint8(s[1]))
	case p.tables[of] == nil:
		p.t.Fatalf("%s.%s: no verifier for %s", table, f.Name, f.Type)
	}
	return flat.Tables(p.table(of))
}
