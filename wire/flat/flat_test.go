package flat

import (
	"encoding/binary"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
)

// What the tests verify: every kind of field.
//
//	struct Pair { a: uint64; b: uint32; c: uint16; }            // 16 bytes
//	table Leaf  { name: string; value: uint64; }
//	table Put   { key: string; data: [ubyte]; pairs: [Pair]; words: [uint32]; pair: Pair; small: uint8; medium: uint16; }
//	table Many  { leaves: [Leaf]; one: Leaf; }
//	union Command { Put, Many }
//	table Root  { number: uint64; command: Command; }
var (
	leafTable = Table{String, U64}
	putTable  = Table{String, Bytes, Structs(16, 8), Structs(4, 4), Struct(16, 8), U8, U16}
	manyTable = Table{Tables(leafTable), Nested(leafTable)}
	rootTable = Table{U64, UnionType, Union(putTable, manyTable)}
)

const (
	kindPut  = 1
	kindMany = 2
)

func root(b *flatbuffers.Builder, kind byte, command flatbuffers.UOffsetT) []byte {
	b.StartObject(3)
	b.PrependUint64Slot(0, 7, 0)
	b.PrependByteSlot(1, kind, 0)
	b.PrependUOffsetTSlot(2, command, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

func pair(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	b.Prep(8, 16)
	b.Pad(2)
	b.PrependUint16(3)
	b.PrependUint32(2)
	b.PrependUint64(1)
	return b.Offset()
}

func put() []byte {
	b := flatbuffers.NewBuilder(256)
	key, data := b.CreateString("key"), b.CreateByteVector([]byte{1, 2, 3, 4, 5})
	b.StartVector(16, 3, 8)
	for range 3 {
		pair(b)
	}
	pairs := b.EndVector(3)
	b.StartVector(4, 2, 4)
	b.PrependUint32(10)
	b.PrependUint32(20)
	words := b.EndVector(2)
	b.StartObject(7)
	b.PrependUOffsetTSlot(0, key, 0)
	b.PrependUOffsetTSlot(1, data, 0)
	b.PrependUOffsetTSlot(2, pairs, 0)
	b.PrependUOffsetTSlot(3, words, 0)
	b.PrependStructSlot(4, pair(b), 0)
	b.PrependByteSlot(5, 9, 0)
	b.PrependUint16Slot(6, 8, 0)
	return root(b, kindPut, b.EndObject())
}

func leaf(b *flatbuffers.Builder, name string) flatbuffers.UOffsetT {
	s := b.CreateString(name)
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, s, 0)
	b.PrependUint64Slot(1, 5, 0)
	return b.EndObject()
}

func many(n int) []byte {
	b := flatbuffers.NewBuilder(256)
	leaves := make([]flatbuffers.UOffsetT, n)
	for i := range leaves {
		leaves[i] = leaf(b, "leaf")
	}
	one := leaf(b, "")
	b.StartVector(4, n, 4)
	for i := range leaves {
		b.PrependUOffsetT(leaves[i])
	}
	vector := b.EndVector(n)
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, vector, 0)
	b.PrependUOffsetTSlot(1, one, 0)
	return root(b, kindMany, b.EndObject())
}

// absent is a command of which nothing is there.
func absent(kind byte) []byte {
	b := flatbuffers.NewBuilder(64)
	b.StartObject(0)
	return root(b, kind, b.EndObject())
}

func good() [][]byte {
	return [][]byte{put(), many(3), many(0), absent(kindPut), absent(kindMany)}
}

// read uses the runtime as generated accessors do, on everything there is: it panics where one leaves the buffer.
func read(b []byte) (sum uint64) {
	x := flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
	sum = readTable(&x, rootTable)
	return sum
}

func readTable(x *flatbuffers.Table, t Table) (sum uint64) {
	for i := range t {
		o := flatbuffers.UOffsetT(x.Offset(flatbuffers.VOffsetT(4 + 2*i)))
		if o == 0 {
			continue
		}
		at := o + x.Pos
		var sub flatbuffers.Table
		switch f := &t[i]; f.kind {
		case inline:
			sum += uint64(x.Bytes[at]) + uint64(x.Bytes[at+flatbuffers.UOffsetT(f.size)-1])
		case union:
			kind := x.GetByte(x.Pos + flatbuffers.UOffsetT(x.Offset(flatbuffers.VOffsetT(4+2*(i-1)))))
			x.Union(&sub, o)
			sum += readTable(&sub, f.union[kind-1])
		case vector:
			if n := x.VectorLen(o); n > 0 {
				size := int(f.size)
				sum += uint64(x.Bytes[x.Vector(o)]) + uint64(x.Bytes[int(x.Vector(o))+n*size-1])
			}
		case text:
			sum += uint64(len(x.ByteVector(at)))
		case nested:
			sub = flatbuffers.Table{Bytes: x.Bytes, Pos: x.Indirect(at)}
			sum += readTable(&sub, f.of)
		case vectors:
			for j := range x.VectorLen(o) {
				sub = flatbuffers.Table{Bytes: x.Bytes, Pos: x.Indirect(x.Vector(o) + flatbuffers.UOffsetT(4*j))}
				sum += readTable(&sub, f.of)
			}
		}
	}
	return sum
}

func TestGoodTablesVerify(t *testing.T) {
	for i, b := range good() {
		if !Verify(b, rootTable) {
			t.Errorf("buffer %d does not verify", i)
		} else if read(b) == 0 {
			t.Errorf("buffer %d has nothing in it", i)
		}
	}
}

// TestCutTablesDoNotVerify cuts every buffer at every length; three bytes at its end may be padding.
func TestCutTablesDoNotVerify(t *testing.T) {
	for i, b := range good() {
		for n := range b {
			if !Verify(b[:n:n], rootTable) {
				continue
			}
			read(b[:n:n])
			if n < len(b)-3 {
				t.Errorf("buffer %d of %d bytes verifies when cut to %d", i, len(b), n)
			}
		}
	}
}

// TestDamagedTables changes every 16-bit word of every buffer to values around every limit. What still verifies must be
// readable; a share must be refused.
func TestDamagedTables(t *testing.T) {
	for i, b := range good() {
		refused := 0
		for at := 0; at+2 <= len(b); at++ {
			old := binary.LittleEndian.Uint16(b[at:])
			for value := range 1 << 16 {
				if value > 300 && value < 0x7ff0 || value > 0x8010 && value < 0xff00 {
					continue
				}
				binary.LittleEndian.PutUint16(b[at:], uint16(value))
				if Verify(b, rootTable) {
					read(b)
				} else {
					refused++
				}
			}
			binary.LittleEndian.PutUint16(b[at:], old)
		}
		if refused == 0 {
			t.Errorf("buffer %d: nothing was refused", i)
		}
	}
}

func TestTablesThatMustBeRefused(t *testing.T) {
	b := put()
	ends := flatbuffers.NewBuilder(64) // a string without a zero byte behind it
	s := ends.CreateByteVector([]byte("0123"))
	ends.StartObject(1)
	ends.PrependUOffsetTSlot(0, s, 0)
	ends.Finish(ends.EndObject())
	for name, c := range map[string]struct {
		b []byte
		t Table
	}{
		"nothing":                {nil, rootTable},
		"seven bytes":            {b[:7], rootTable},
		"no command":             {absent(0), rootTable},
		"a command of no type":   {absent(3), rootTable},
		"a string without end":   {ends.FinishedBytes(), Table{String}},
		"bytes taken for a text": {put(), Table{U64, UnionType, Union(Table{String, String})}},
	} {
		if name == "bytes taken for a text" {
			b := c.b // what follows the bytes is padding: put something there
			at := strings.Index(string(b), "\x01\x02\x03\x04\x05")
			b[at+5] = 1
		}
		if Verify(c.b, c.t) {
			t.Errorf("%s: verifies", name)
		}
	}
}

// TestTablesAreCounted leads to one table more often than there may be tables: what is verified is bounded, not only
// what there is.
func TestTablesAreCounted(t *testing.T) {
	build := func(n int) []byte {
		b := flatbuffers.NewBuilder(1 << 16)
		one := leaf(b, "one")
		b.StartVector(4, n, 4)
		for range n {
			b.PrependUOffsetT(one)
		}
		vector := b.EndVector(n)
		b.StartObject(1)
		b.PrependUOffsetTSlot(0, vector, 0)
		b.Finish(b.EndObject())
		return b.FinishedBytes()
	}
	flatTable := Table{Tables(leafTable)}
	if !Verify(build(MaxTables-1), flatTable) {
		t.Error("as many tables as there may be do not verify")
	}
	if Verify(build(MaxTables), flatTable) {
		t.Error("one table more than there may be verifies")
	}
}

func TestVerifyAllocatesNothing(t *testing.T) {
	a, b := put(), many(100)
	if n := testing.AllocsPerRun(1000, func() {
		if !Verify(a, rootTable) || !Verify(b, rootTable) {
			t.Fatal("a good buffer does not verify")
		}
	}); n != 0 {
		t.Errorf("Verify allocates %v times", n)
	}
}

// FuzzVerify reads whatever verifies with every accessor.
func FuzzVerify(f *testing.F) {
	for _, b := range good() {
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		if Verify(b, rootTable) {
			read(b)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	buf := put()
	for b.Loop() {
		if !Verify(buf, rootTable) {
			b.Fatal("does not verify")
		}
	}
}
