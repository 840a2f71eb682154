// Package journal stores the log of one node on disk, and finds it again.
//
// # Purpose
//
// The log is one stream of bytes; a segment file holds a slice of it. The journal thread takes whole records from the
// log ring, stores them with one write and one sync a batch, and reports what is durable. Opening tells a torn tail
// from damage; it reads the log from its beginning, or from a snapshot on (Base). What a snapshot holds can be dropped
// (DropBelow). The term and vote, the watermark, who the node is, and how its last run ended are stored here as well.
// docs/journal-format.md has the layouts, the argument why a crash loses nothing that was reported, and what is assumed
// of the system.
//
// # Diagram
//
//	core thread                             journal thread                        watermark thread
//	  ring: records up to append  ------->    Writer: copy, write, sync
//	  Port.Want(append, syncTo)   ------->      |  durable ---------------------->  Marker: stores it, later
//	  Port.Cut(position, ...)     ------->      |
//	  Port.Poll: Reports          <-------      |  next segment  <----------------  worker goroutine: zeroes files
//
//	scrub thread: reads sealed segments again, has damage mended
//	any thread: DropBelow (the oldest segments go, beside all others)
//	any thread: Reader (own file handles, up to a limit that its user sets; seeks by position, number or stamp)
//	offline:    Builder (writes a log that exists elsewhere into segments)
//
// # Thread ownership
//
// Open, Mend, Discard, Agent, WatermarkAgent, Scrubber, Preload and Close belong to the thread that sets the node up, before and after
// the agents run. Writer belongs to the journal thread, Marker to the watermark's, Port's methods to the core thread.
// VoteFile has one owner. Scrubber belongs to a thread of its own; it reads, and writes only what is damaged below the
// commit position, where the journal thread writes no more. With Options.Inline all of them run on one thread, without goroutines and without blocking.
//
// # Memory ordering
//
// The core publishes records in the ring before it calls Want; the journal thread reads no further than Want said. The
// ring's gate "journal" moves after the sync returned, so nothing is overwritten before it is durable. A thread that
// blocks announces it, looks once more, and blocks (agent.Parker); who publishes looks for the announcement afterwards.
//
// # Failure behaviour
//
// An error of a write or a sync is final: the journal reports it (ReportFailed), its agent returns it, and nothing is
// tried again. A full disk is not such an error: it shows while the next segment is prepared, is reported
// (ReportFull), and the journal goes on by itself when there is space (ReportSpace). Opening changes nothing on a disk
// whose synced bytes are damaged or gone, until Mend or Discard is called. The scrub reports damage that nobody can mend,
// and goes on. Arbitrary bytes in any file lead to an outcome or
// an error, never to a panic.
//
// # Limits
//
// Segments hold from 128 KiB to 4 GiB; a batch is at most MaxBatch (1 MiB). Memory is bounded and independent of the
// size of the log: the staging buffer of a batch, a window of 512 KiB for each reader, an entry for each term and
// segment from the snapshot on; what is mended at once (MaxMend, 16 MiB). One segment is prepared ahead. Log is deleted
// by cuts, by DropBelow, and when it does not lead to a snapshot that was installed (Options.Install).
package journal
