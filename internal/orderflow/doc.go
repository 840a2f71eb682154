// Package orderflow makes up the messages of a trader, for demonstrations and load.
//
// # Purpose
//
// A Generator produces encoded OrderRequests one after another: the same ones for the same options, for ever. It
// reads no answers, as a load generator must not: a cancel may come after its order was executed, and is then
// rejected, as it happens at every venue.
//
// # The mix
//
// Of 100 messages, about
//
//	37  passive orders: on their own side of the mid price, at a distance of 1 tick and more (each further tick is
//	    7/8 as likely as the one before: half of them within 6 ticks); every twelfth an iceberg that shows a quarter
//	 9  crossing orders: priced 1 to 8 ticks through the mid price, so that they execute against what rests there,
//	    and what is left of them rests; of every third it is canceled (immediate or cancel)
//	 2  stop orders, 1 to 8 ticks beyond the mid price
//	48  cancels of own orders of any sort, picked at random; some of them have been executed by then
//	 4  replacements of own orders, likewise, by a new id, another quantity and a price as of a passive order
//
// Quantities are 1 to 10 lots, every tenth order ten times that. Instruments with a low number are traded more: the
// number is the lower of two drawn evenly. Each instrument's mid price starts in the middle and takes a step of one
// tick up or down every 16 messages on average, between a quarter and three quarters of the price limit. It depends
// on the seed and on how many messages a client has sent, not on the client: so clients trade around the same price,
// and with one another.
//
// As many cancels as orders, as at most venues. A client has between none and Open orders that it has not cancelled:
// with none the next message is a passive order, at the limit it is a cancel. So a book stays of bounded size however
// long the flow.
//
// # Thread ownership
//
// A Generator belongs to one thread.
//
// # Failure behaviour
//
// None.
//
// # Limits
//
// Options with 0 instruments or orders take the defaults. Next does not allocate once its builder has grown.
package orderflow
