// Package counters keeps a process's counters and its distinct errors in a mapped file, which other processes read
// while it runs, and which is still there after it has died.
//
// # Purpose
//
// A counter is a word of memory: counting is one atomic instruction, with no lock, no system call and no reader in the
// way. Whoever wants the values (status, metrics, a person after a crash) maps the same file.
//
// A histogram is a row of counters, one a bucket of durations.
//
//	header | counters: name, help | values, a cache line each | distinct errors
//
// # Thread ownership
//
// Counters are registered at start, from any thread. A counter should have one writing thread, which keeps its cache
// line where it is; several are correct. Reading is for any thread and any process. Error may be called from any
// thread, pinned ones too: it takes no lock.
//
// # Memory ordering
//
// An entry's text is written before the count of entries (or the entry's ready mark) that makes it visible. Values
// are independent of one another: a reader sees each as it was at some instant, not all at one.
//
// # Failure behaviour
//
// The file is made aside and renamed, so a reader never sees half of one, and keeps what it mapped when a next run
// replaces it. Its space is allocated first, so that a full disk is an error here and not a fault later. A file that is
// not one of ours, or of another version, is refused. Registering more counters than there is room for, or a name
// that is too long, is a mistake in the program and panics. Errors beyond the number of entries are counted as lost.
//
// # Limits
//
// Names of up to 160 bytes and help of up to 320 (cut), errors of up to 232 bytes (cut), 64 distinct errors. Histograms
// hold 128 ns to 34 s within 12.5 per cent, in HistogramSlots counters each.
package counters
