package flat

import "math"

// MaxTables is how many tables one buffer may hold, each counted as often as something leads to it.
const MaxTables = 8192

// Table describes a table type: one entry a field, in the order of the schema. A union takes two, its type (UnionType)
// and its value (Union).
type Table []Field

// Field describes one field of a table. The zero value is of no use: take one of the variables and functions below.
type Field struct {
	kind  kind
	align uint8
	size  uint16  // bytes: of a scalar or struct, or of a vector's element
	of    Table   // what a nested table, or each element of a vector of tables, is
	union []Table // by type number
}

type kind uint8

const (
	inline  kind = iota // a scalar or a struct, within its table
	union               // the value of a union
	vector              // of scalars or structs
	text                // a string
	nested              // a table
	vectors             // a vector of tables
)

// Scalars, by their width: an enum is as wide as its schema says, a bool is a U8. UnionType is the type of the union
// whose value is the next field. Bytes is a vector of bytes, String a string.
var (
	U8        = Field{kind: inline, size: 1, align: 1}
	U16       = Field{kind: inline, size: 2, align: 2}
	U32       = Field{kind: inline, size: 4, align: 4}
	U64       = Field{kind: inline, size: 8, align: 8}
	UnionType = U8
	Bytes     = Field{kind: vector, size: 1, align: 1}
	String    = Field{kind: text, size: 1, align: 1}
)

// Struct is a struct within its table: its size in bytes, and the alignment of its widest field.
func Struct(size uint16, align uint8) Field { return Field{kind: inline, size: size, align: align} }

// Structs is a vector of structs, or of scalars: size and alignment of an element.
func Structs(size uint16, align uint8) Field { return Field{kind: vector, size: size, align: align} }

// Nested is a table within its table; it may be absent.
func Nested(of Table) Field { return Field{kind: nested, of: of} }

// Tables is a vector of tables.
func Tables(of Table) Field { return Field{kind: vectors, of: of} }

// Union is the value of a union: the tables in the order of the schema, whose type numbers are 1, 2, .... One must be
// there: a union of type NONE does not verify.
func Union(tables ...Table) Field { return Field{kind: union, union: tables} }

// Verify says whether b holds a table of the type t at its root that no accessor can leave.
func Verify(b []byte, t Table) bool {
	if len(b) < 8 || len(b) > math.MaxInt32 {
		return false // offsets are 32 bits: no sum of a few of them can overflow an int64
	}
	v := verifier{b: b}
	return v.table(int64(v.u32(0)), t)
}

// verifier is one buffer being verified. It recurses as deep as the types are nested.
type verifier struct {
	b      []byte
	tables int // seen
}

// place is a table's place: where it begins and where its vtable does.
type place struct {
	at, size           int64
	vtable, vtableSize int64
}

// field is where a field begins, from the beginning of its table; 0: it is absent.
func (v *verifier) field(p *place, i int) int64 {
	slot := 4 + 2*int64(i)
	if slot >= p.vtableSize {
		return 0
	}
	return int64(v.u16(p.vtable + slot))
}

func (v *verifier) table(at int64, t Table) bool {
	v.tables++
	p, ok := v.place(at)
	if !ok || v.tables > MaxTables {
		return false
	}
	for i := range t {
		offset := v.field(&p, i)
		if offset == 0 {
			if t[i].kind == union {
				return false
			}
			continue
		}
		if !v.value(&p, &t[i], i, offset) {
			return false
		}
	}
	return true
}

// place reads where a table and its vtable are, and says whether they are inside.
func (v *verifier) place(at int64) (p place, ok bool) {
	end := int64(len(v.b))
	if at < 4 || at&3 != 0 || at+4 > end {
		return p, false
	}
	p = place{at: at, vtable: at - int64(int32(v.u32(at)))}
	if p.vtable < 0 || p.vtable&1 != 0 || p.vtable+4 > end {
		return p, false
	}
	p.vtableSize, p.size = int64(v.u16(p.vtable)), int64(v.u16(p.vtable+2))
	return p, p.vtableSize >= 4 && p.vtableSize&1 == 0 && p.vtable+p.vtableSize <= end &&
		p.size >= 4 && at+p.size <= end
}

// value verifies field i, which is there.
func (v *verifier) value(p *place, f *Field, i int, offset int64) bool {
	size, align := int64(4), int64(4) // of an offset
	if f.kind == inline {
		size, align = int64(f.size), int64(f.align)
	}
	at := p.at + offset
	if offset < 4 || offset+size > p.size || at&(align-1) != 0 {
		return false
	}
	if f.kind == inline {
		return true
	}
	to := at + int64(v.u32(at))
	switch f.kind {
	case union:
		kind := v.field(p, i-1)
		if kind == 0 {
			return false
		}
		number := int(v.b[p.at+kind]) // verified: the field before
		return number >= 1 && number <= len(f.union) && v.table(to, f.union[number-1])
	case nested:
		return v.table(to, f.of)
	case vectors:
		return v.each(to, f.of)
	}
	n, ok := v.vector(to, int64(f.size), int64(f.align))
	if !ok || f.kind != text {
		return ok
	}
	end := to + 4 + n
	return end < int64(len(v.b)) && v.b[end] == 0
}

// vector verifies a vector of n elements that lie in it.
func (v *verifier) vector(at, size, align int64) (n int64, ok bool) {
	end := int64(len(v.b))
	if at&3 != 0 || at+4 > end || (at+4)&(align-1) != 0 {
		return 0, false
	}
	n = int64(v.u32(at))
	return n, at+4+n*size <= end
}

// each verifies a vector of tables.
func (v *verifier) each(at int64, of Table) bool {
	n, ok := v.vector(at, 4, 4)
	if !ok || n > MaxTables {
		return false
	}
	for i := range n {
		slot := at + 4 + 4*i
		if !v.table(slot+int64(v.u32(slot)), of) {
			return false
		}
	}
	return true
}

func (v *verifier) u16(at int64) uint16 { return uint16(v.b[at]) | uint16(v.b[at+1])<<8 }

func (v *verifier) u32(at int64) uint32 {
	b := v.b[at : at+4 : at+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
