package flat

import (
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
)

// What is put down is read again, and what is empty takes no more room than what is not there.
func TestFieldsThatArePutDown(t *testing.T) {
	of := Table{String, Bytes, Tables(leafTable)}
	b := flatbuffers.NewBuilder(256)
	encode := func(s, p []byte, leaves []flatbuffers.UOffsetT) (x flatbuffers.Table, size int) {
		at := [3]flatbuffers.UOffsetT{PutString(b, s), PutBytes(b, p), PutTables(b, leaves)}
		b.StartObject(len(of))
		for i := range at {
			b.PrependUOffsetTSlot(i, at[i], 0)
		}
		b.Finish(b.EndObject())
		done := b.FinishedBytes()
		if !Verify(done, of) {
			t.Fatalf("%x does not verify", done)
		}
		x.Bytes, x.Pos = done, flatbuffers.GetUOffsetT(done)
		return x, len(done)
	}
	x, _ := encode([]byte("key"), []byte{1, 2, 3}, []flatbuffers.UOffsetT{leaf(b, "a"), leaf(b, "bc")})
	field := func(i int) flatbuffers.UOffsetT {
		return flatbuffers.UOffsetT(x.Offset(flatbuffers.VOffsetT(4 + 2*i)))
	}
	if s := x.String(field(0) + x.Pos); s != "key" {
		t.Errorf("the string is %q", s)
	}
	if p := x.ByteVector(field(1) + x.Pos); string(p) != "\x01\x02\x03" {
		t.Errorf("the bytes are %x", p)
	}
	if n := x.VectorLen(field(2)); n != 2 {
		t.Fatalf("%d tables", n)
	}
	for i, want := range []string{"a", "bc"} {
		of := flatbuffers.Table{Bytes: x.Bytes, Pos: x.Indirect(x.Vector(field(2)) + flatbuffers.UOffsetT(4*i))}
		if s := of.String(flatbuffers.UOffsetT(of.Offset(4)) + of.Pos); s != want {
			t.Errorf("table %d has %q", i, s)
		}
	}

	b.Reset()
	x, size := encode(nil, []byte{}, nil)
	for i := range of {
		if field(i) != 0 {
			t.Errorf("field %d is there", i)
		}
	}
	b.Reset()
	b.StartObject(len(of))
	b.Finish(b.EndObject())
	if bare := len(b.FinishedBytes()); size != bare {
		t.Errorf("%d bytes with three empty fields, %d with none", size, bare)
	}
}

// A vector of no tables is there.
func TestAnEmptyVectorIsThere(t *testing.T) {
	b := flatbuffers.NewBuilder(64)
	leaves := PutVector(b, nil)
	b.StartObject(1)
	b.PrependUOffsetTSlot(0, leaves, 0)
	b.Finish(b.EndObject())
	done := b.FinishedBytes()
	if !Verify(done, Table{Tables(leafTable)}) {
		t.Fatalf("%x does not verify", done)
	}
	x := flatbuffers.Table{Bytes: done, Pos: flatbuffers.GetUOffsetT(done)}
	if at := flatbuffers.UOffsetT(x.Offset(4)); at == 0 || x.VectorLen(at) != 0 {
		t.Error("it is left out")
	}
}
