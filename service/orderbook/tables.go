package orderbook

import (
	"lockstep/service"
	"lockstep/wire/flat"
)

// The tables of order.fbs.
var (
	instrumentTable = flat.Table{flat.U32, flat.String, flat.U32, flat.U32, flat.U64, flat.U32, flat.U32, flat.U8}

	requestTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U32, flat.U8, flat.U8, flat.U8, flat.U8, flat.U8, flat.U32, flat.U32, flat.U64, flat.U64,
			flat.U64, flat.U64}, // NewOrder
		flat.Table{flat.U64, flat.U64},                                         // CancelOrder
		flat.Table{flat.U64, flat.U64, flat.U32, flat.U32, flat.U64, flat.U64}, // ReplaceOrder
		flat.Table{flat.U32, flat.U8},                                          // MassCancel
		flat.Table{flat.U64, flat.U8},                                          // Login
		flat.Table{flat.U32, flat.U8},                                          // Subscribe
		flat.Table{flat.U32, flat.U32},                                         // DepthRequest
		flat.Table{flat.U32},                                                   // InstrumentsRequest
		flat.Table{flat.Tables(instrumentTable)},                               // DefineInstruments
		flat.Table{flat.U32, flat.U8},                                          // SetState
		flat.Table{flat.U64, flat.U32, flat.U64, flat.U32},                     // SetLimits
		flat.Table{flat.U64, flat.U8},                                          // Kill
		flat.Table{flat.U64},                                                   // BustTrade
	)}

	eventTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U64, flat.U64, flat.U64, flat.U32, flat.U8},                     // Accepted
		flat.Table{flat.U64, flat.U8},                                                             // Rejected
		flat.Table{flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U32, flat.U32, flat.U8}, // Executed
		flat.Table{flat.U64, flat.U64, flat.U64, flat.U64, flat.U8},                               // Canceled
		flat.Table{flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U32, flat.U8},           // Replaced
		flat.Table{flat.U64, flat.U64, flat.U64},                                                  // Triggered
		flat.Table{flat.U32},                                                                      // MassCanceled
		flat.Table{flat.U64, flat.U32},                                                            // LoggedIn
		flat.Table{flat.U64},                                                                      // LoggedOut
		flat.Table{flat.U32, flat.U8, flat.U64},                                                   // Subscribed
		flat.Table{flat.Structs(marketBytes, 8), flat.U32},                                        // MarketEvents
		flat.Table{flat.U32, flat.U8, flat.U32, flat.U64, flat.Structs(levelBytes, 8), flat.Structs(levelBytes, 8)}, // Depth
		flat.Table{flat.Tables(instrumentTable), flat.U32},                                                          // Instruments
		flat.Table{flat.U32}, // Done
	)}
)

// Sizes of the structs in vectors.
const (
	marketBytes = 48
	levelBytes  = 16
)

// What fits into one response.
const (
	// MaxMarket is how many market events one response has at most.
	MaxMarket = (service.MaxResponse - 256) / marketBytes
	// MaxDepth is how many prices of a side one response has at most.
	MaxDepth = 1024
	// MaxListed is how many instruments one response has at most, and one message defines.
	MaxListed = 512
)
