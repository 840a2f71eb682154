package orderbook

// For the benchmark against another book, which is to do the same encoding.
var (
	EncodeAccepted = encodeAccepted
	EncodeRejected = encodeRejected
	EncodeExecuted = encodeExecuted
	EncodeCanceled = encodeCanceled
)
