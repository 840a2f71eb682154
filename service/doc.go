// Package service is the deterministic state machine API, and the driver that runs services on every node.
//
// # Purpose
//
// A Service consumes messages in the order of the log and answers sessions. The Driver reads the committed log,
// judges which messages are to be applied (each session's next one, once), gives them to their services, numbers and
// keeps the responses until their clients have acknowledged them, and chains a hash over it all, by which nodes
// compare themselves. On a leader it also tells the ingress what it does, through a ring of Egress messages.
//
//	replica ── Progress: commit ──────────────┐             ┌── SPSC ring: lead, resign, replay ── ingress
//	                                          v             v
//	log ring, or journal (Source) ──────> ┌─────────────────────┐
//	                                      │ Driver              │ <──── Apply, Respond ────> services
//	                                      │ sessions, responses │
//	                                      └─────────────────────┘
//	                                          │             │
//	replica <── Progress: applied, hash ──────┘             └── message ring: Egress, while leading ──> ingress
//
// What records do:
//
//	message        the session's next correlation: the service's Apply; any other changes nothing
//	               service None: takes its correlation, nothing else
//	               service Transaction: its commands' services, each Checker's Check, then each one's Apply; or none
//	session-open   a session, if there is room and the id is new
//	session-close  its end; how it ended is remembered of the newest ClosedSessions, and none is opened with their tokens
//	acks           responses up to Acked are dropped (as with Acked of a message that is applied)
//	timer          the service's OnTimer, if that timer is pending with that deadline; else nothing
//	skip           nothing in its turn: it was read ahead, and the record it names was passed over
//	snapshot       what it calls verified is compared; if it asks for a snapshot, the digest is taken at its end
//	term, config   nothing but a behaviour version; both are noted for snapshots
//	any other      apply halts: this version cannot carry it out, and must not skip it
//
// All of that, limits included, depends on the log only: a session whose client leaves too many responses
// unacknowledged is closed with the record that goes over the limit, on every node.
//
// # The chained hash
//
// After each record: the position of its end, then each output in order (kind, code, service, session, correlation,
// response number, payload), by the mixing of Mix and MixBytes. It is reported at the first record end at or past
// each MiB.
//
// # Snapshots
//
// At the end of a snapshot record that asks, every node takes a digest of its whole state: the chained hash, what the services
// say (Hash), sessions, timers. Nodes compare it, and a snapshot record says later which point a majority agrees about
// (Progress.Verified). A node that does not lead, or that the record tells to although it leads, writes its whole state to the
// Sink before it applies anything else: what of the log before is needed (SnapshotHead), sessions with the responses kept and
// the messages that took no effect, timers, then each service's Snapshot. It goes out in chunks of 64 KiB with checksums, through
// one buffer. Nodes in the same state write the same bytes, however they came there. A snapshot is given up as soon as the
// ingress has this node lead, or resign, and when anything goes wrong with it, a panic of a service's Snapshot included: the state
// is what it was, and apply goes on.
//
//	NewDriver             Options.Base(no limit): the newest snapshot; none: position 0
//	a skip record in the opened log names what that one has applied
//	                      Options.Base(that record): an older one; none: the newest, and the node stops at the skip record
//	starting over         Options.Base(where a service failed)
//
// A driver that begins from a snapshot trusts none of it: limits, services and behaviour must be this node's (ErrUnsuited), every
// number is checked, every limit kept to, and the restored state must have the digest in the head (ErrSnapshot). From there on it
// does all that the driver which wrote it does.
//
// # Thread ownership
//
// A Driver, its services and its Context belong to one thread, which is not pinned: service code may panic, grow the
// stack and be preempted. Progress, Driver.Status and the counters are for any thread. The ends of the rings belong
// to the ingress and to the replica.
//
// # Memory ordering
//
// Commit is stored after the bytes it covers are in the log ring, and loaded before they are read. The ring does not
// wait for the driver: bytes are copied out and the copy counts only if the ring still held them afterwards, else
// they come from the journal, verified again. Egress is published once a batch; Applied is stored after it. A hash
// and its position are read as a pair (report).
//
// # Transactions
//
// A message of service Transaction has up to MaxCommands commands, at most one for a service, all for services that are
// Checkers. The driver has all of them checked, in their order, without effect; if none is refused it has all applied, in their
// order. The services' states are apart, so what a Check promises still holds when its turn to be applied comes; what they share,
// the driver's timers, is reserved by Context.ReserveTimer. Each command may cause and cost as much as a record of its own. The
// transaction's own response (Outcome) is the first.
//
// # Failure behaviour
//
// A panic in a service halts apply, not the node: Status says where, the record has no visible effect, commands are
// still served. The driver then reads on in the committed log; when it finds a skip record that names the place, it
// starts over at the newest snapshot before, or position 0, with services made anew, tells nobody of what it applies
// again, and goes on without that record. A node that has applied such a record stops (ErrPassedOver), and so does one whose
// digest is not the verified one (ErrVerified). A log that is impossible, or a journal that
// cannot be read, is an error of DoWork and stops the node. A panic of the driver's own code is not recovered. When the
// egress ring is full the driver waits, without blocking, and drops nothing.
//
// # Limits
//
// Limits (sessions, kept responses, timers), MaxOutputs, MaxOutputBytes, MaxResponse, MaxWork (what a record costs, as services
// count it: Context.Count), MaxServices, and MaxDeadlines sets of deadlines for each. What a service holds it limits itself, and
// says if it is Sized. Memory is allocated when
// the driver is made, when a session opens (1.7 KiB, reused after it closes), and when more is kept for a session than
// before: twice as much each time, up to KeptBytes + 64 bytes for each of KeptResponses. Else none is, while records are
// applied. A snapshot needs a few buffers of 64 KiB, whatever the size of the state; its head has MaxTerms entries of the term
// index and MaxConfigs config records at most. The last 64 points at which a digest was taken are remembered for comparing.
package service
