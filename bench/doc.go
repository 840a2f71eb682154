// Package bench measures round trips through a cluster, and the floor that the same machine sets for them.
//
// # Purpose
//
// Load drives a client in a closed loop (one message at a time) or an open loop (messages due on a fixed schedule) and
// records the round trip to each acknowledgement. In open loop a latency counts from the instant the message was due,
// so that a stall is charged to every message that fell into it (no coordinated omission). Relay is the two-hop floor:
// the same datagrams' way over the same topology with no logic in between, or an echo over one cable; SPSCFloor and DiskFloor are
// those of two threads and of a disk. StageTimes hold what the leader says of each message's stages against its round trip. Row
// is one line of output.
//
// A Recording is order flow that somebody recorded (package recorded), played as fast as it was recorded or at a rate. Compare
// compares the rows of two runs, with confidence intervals; HGRM writes them as files of percentiles.
//
// Scene is a number of clients in one process, which come and work in phases: clients that arrive, newcomers that are refused, and
// points of a throughput that FitAmdahl and FitUSL find a law in. CostFigures hold what processes took for it.
//
// JournalAppend and JournalDurable measure a node's journal alone, as its threads run it; BareAppend, BareDurable and Fio
// are the floors of the same disk: the same writes with no journal.
//
// CheckVirtual and CheckLoopback hold all of it against responders whose answers are known. JitterRows are the rows of a core's
// own pauses.
//
// # Thread ownership
//
// A Load, with its client, transport and histograms, belongs to the thread that runs it, which does nothing else.
//
// # Failure behaviour
//
// What is not answered is counted as lost and reported, never left out. A run whose cluster cannot be reached is an
// error with the address and the time waited.
//
// # Limits
//
// Histograms hold 1 us to 60 s at three significant digits in nanoseconds. Tails below the machine's own pauses say
// nothing: every row carries the steal time and the pauses of the same minutes.
package bench
