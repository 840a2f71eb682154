package wire

import "lockstep/wire/flat"

// The tables of order.fbs.
var (
	orderRequest = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U32, flat.U8, flat.U64, flat.U64}, // NewOrder
		flat.Table{flat.U64, flat.U32},                              // CancelOrder
	)}
	orderEvent = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U64, flat.U64},                               // Accepted
		flat.Table{flat.U64, flat.U8},                                          // Rejected
		flat.Table{flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64}, // Executed
		flat.Table{flat.U64, flat.U64, flat.U64},                               // Canceled
	)}
)

// VerifyOrderRequest says whether b holds an OrderRequest whose every accessor, and every accessor of its command,
// stays inside b. The command is there and of a known type. Values are not judged: a side may be out of range.
func VerifyOrderRequest(b []byte) bool { return len(b) <= MaxRecord && flat.Verify(b, orderRequest) }

// VerifyOrderEvent says the same of an OrderEvent and its report.
func VerifyOrderEvent(b []byte) bool { return len(b) <= MaxRecord && flat.Verify(b, orderEvent) }
