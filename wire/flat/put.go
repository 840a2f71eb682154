package flat

import flatbuffers "github.com/google/flatbuffers/go"

// PutString puts a string down for a table that is made next; 0, which leaves the field out, when it is empty.
func PutString(b *flatbuffers.Builder, s []byte) flatbuffers.UOffsetT {
	if len(s) == 0 {
		return 0
	}
	return b.CreateByteString(s)
}

// PutBytes puts a vector of bytes down for a table that is made next; 0, which leaves the field out, when it is empty.
func PutBytes(b *flatbuffers.Builder, p []byte) flatbuffers.UOffsetT {
	if len(p) == 0 {
		return 0
	}
	return b.CreateByteVector(p)
}

// PutTables puts a vector of tables down that the builder has already; 0, which leaves the field out, when
// there are none.
func PutTables(b *flatbuffers.Builder, tables []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	if len(tables) == 0 {
		return 0
	}
	return PutVector(b, tables)
}

// PutVector puts a vector of tables down that the builder has already, also when there are none: for a field that is
// always there.
func PutVector(b *flatbuffers.Builder, tables []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartVector(flatbuffers.SizeUOffsetT, len(tables), flatbuffers.SizeUOffsetT)
	for i := len(tables) - 1; i >= 0; i-- {
		b.PrependUOffsetT(tables[i])
	}
	return b.EndVector(len(tables))
}
