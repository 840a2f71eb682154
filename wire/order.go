package wire

import "lockstep/wire/fb"

// The Go FlatBuffers runtime follows offsets without looking whether they stay inside the buffer. So a table that
// came from outside is verified here first, once; after that no accessor of it can leave the buffer.

// shape describes a table type to the verifier: one entry a field, in the order of the schema.
type shape []shapeField

// shapeField describes one field. A union takes two: its type (a scalar of one byte), then its value.
type shapeField struct {
	size  uint8   // bytes, which is also its alignment: 1, 2, 4 or 8; 4 for a union's value
	union []shape // for a union's value: the table by type number; [0] stands for NONE and is never followed
}

var (
	newOrderShape    = shape{{size: 8}, {size: 4}, {size: 1}, {size: 8}, {size: 8}}
	cancelOrderShape = shape{{size: 8}, {size: 4}}
	acceptedShape    = shape{{size: 8}, {size: 8}, {size: 8}}
	rejectedShape    = shape{{size: 8}, {size: 1}}
	executedShape    = shape{{size: 8}, {size: 8}, {size: 8}, {size: 8}, {size: 8}, {size: 8}}
	canceledShape    = shape{{size: 8}, {size: 8}, {size: 8}}

	orderRequestShape = shape{{size: 1}, {size: 4, union: []shape{
		fb.OrderCommandNewOrder:    newOrderShape,
		fb.OrderCommandCancelOrder: cancelOrderShape,
	}}}
	orderEventShape = shape{{size: 1}, {size: 4, union: []shape{
		fb.OrderReportAccepted: acceptedShape,
		fb.OrderReportRejected: rejectedShape,
		fb.OrderReportExecuted: executedShape,
		fb.OrderReportCanceled: canceledShape,
	}}}
)

// VerifyOrderRequest says whether b holds an OrderRequest whose every accessor, and every accessor of its command,
// stays inside b. The command is there and of a known type. Values are not judged: a side may be out of range.
func VerifyOrderRequest(b []byte) bool { return verifyRoot(b, orderRequestShape) }

// VerifyOrderEvent says the same of an OrderEvent and its report.
func VerifyOrderEvent(b []byte) bool { return verifyRoot(b, orderEventShape) }

// verifyRoot verifies the table that the buffer's first four bytes lead to.
func verifyRoot(b []byte, s shape) bool {
	// Offsets are 32 bits: no buffer longer than a record is looked at, so that no sum of them can overflow an int64.
	if len(b) < 8 || len(b) > MaxRecord {
		return false
	}
	return verifyTable(b, int64(getUint32(b, 0)), s)
}

// verifyTable verifies the table at pos, and the table of its union if it has one. It recurses as deep as shapes are
// nested, which the schema bounds.
func verifyTable(b []byte, pos int64, s shape) bool {
	size := int64(len(b))
	if pos < 4 || pos&3 != 0 || pos+4 > size {
		return false
	}
	vtable := pos - int64(int32(getUint32(b, pos)))
	if vtable < 0 || vtable&1 != 0 || vtable+4 > size {
		return false
	}
	vtableSize := int64(getUint16(b, vtable))
	tableSize := int64(getUint16(b, vtable+2))
	if vtableSize < 4 || vtableSize&1 != 0 || vtable+vtableSize > size || tableSize < 4 || pos+tableSize > size {
		return false
	}
	for i := range s {
		offset := int64(0) // of the field within the table; 0 when it is absent
		if slot := 4 + 2*int64(i); slot < vtableSize {
			offset = int64(getUint16(b, vtable+slot))
		}
		width := int64(s[i].size)
		if offset != 0 && (offset < 4 || offset+width > tableSize || (pos+offset)&(width-1) != 0) {
			return false
		}
		if s[i].union != nil && !verifyUnion(b, pos, vtable, vtableSize, offset, i, s[i].union) {
			return false
		}
	}
	return true
}

// verifyUnion verifies the value of a union: field i of the table at pos, at offset. Its type is field i-1, which has
// been verified.
func verifyUnion(b []byte, pos, vtable, vtableSize, offset int64, i int, tables []shape) bool {
	typeOffset := int64(0)
	if slot := 4 + 2*int64(i-1); slot < vtableSize {
		typeOffset = int64(getUint16(b, vtable+slot))
	}
	if typeOffset == 0 || offset == 0 {
		return false
	}
	kind := int(b[pos+typeOffset])
	if kind == 0 || kind >= len(tables) {
		return false
	}
	field := pos + offset
	return verifyTable(b, field+int64(getUint32(b, field)), tables[kind])
}

func getUint16(b []byte, at int64) uint16 { return uint16(b[at]) | uint16(b[at+1])<<8 }

func getUint32(b []byte, at int64) uint32 {
	return uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
}
