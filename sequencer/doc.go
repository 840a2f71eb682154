// Package sequencer is the leader's role: it takes client datagrams, puts their messages into one order, stamps them,
// appends them to the log ring, and answers.
//
// # Purpose
//
//	 client datagrams                                        responses, session table
//	        |                                                          |
//	        v                                                          v
//	+---------------+   +----------+   +----------+           +----------------+
//	| ingress       |-->| Stamper  |-->| Appender |--> ring   | egress ring    |
//	| CONNECT PROVE |   | time     |   | chain    |           | of the driver  |
//	| MESSAGES ...  |   +----------+   +----------+           +----------------+
//	|  per session: |        acknowledgement FIFO                      |
//	|  order, dedup |   (log order; cursors: replicated,               |
//	+---------------+    durable, committed) <-- OnProgress            |
//	        |                     |                                    |
//	        v                     v                                    v
//	+------------------------------------------------------------------------+
//	| answers: packed per client into datagrams of MaxPayload, once a cycle   |
//	+------------------------------------------------------------------------+
//
// The tables here are a cache. What they hold is thrown away with leadership and filled again from the service driver,
// which keeps the truth: a new leader takes client messages only after its driver has applied the leader's own term
// record and has dumped every session, and how the newest ended of those that are over (EgressReady). The driver is also
// the judge of duplicates; what slips through here changes nothing there.
//
// A client's address is proven before any state is made for it: CONNECT is answered with a CHALLENGE whose nonce is a
// keyed hash of address, token and time, so that nothing has to be remembered, and only the PROVE that brings it back
// opens or resumes a session. From then on the session listens to that address alone; others may have the same one.
// CONNECT and PROVE are looked at at a rate only, PROVE first: clients that come all at once, as after a change of leader,
// are told to come later, and do not hold up those that are there.
//
// # Stages
//
// Every message is stamped from receipt to answer: when the transport had it, when it was taken, sequenced, sent to the followers,
// replicated, durable, applied by the service, and answered. Clocks are read once a batch, and a mark (how many messages, since
// when) stands for all of it, in a ring for each stage; a histogram for each counts the time from the stage before, a
// batch at once. An answer to a client that asks has room for the stages of its message, which are looked up when it leaves. Nothing of
// this is in the log, and nothing depends on it.
//
// # Thread ownership
//
// One thread, the one that runs the replica's agent, calls everything. Within one duty cycle it calls, in this order:
// OnClient for every client datagram; Publish; OnProgress when a majority got further; DoWork; then it flushes the
// Sender. Arrived is called before OnClient where the batch changes, and Sent after the records published were handed to the
// Sender's transport. Lead, AppendTerm, AppendConfig and Resign are called between cycles of that thread.
//
// # Memory ordering
//
// Records become visible to other threads by Publish, once a cycle; egress and commands pass through the rings of
// package ringbuf. There is nothing else that is shared.
//
// # Failure behaviour
//
// Bad input is counted by reason and dropped, or answered with a Refusal where there is a session or a proven address
// to answer. Nothing blocks: what has no room (log, window, acknowledgements outstanding) is answered BUSY and consumes
// nothing. A session is told BUSY as well before the driver would have to close it for the responses that are kept for it;
// one whose client acknowledges nothing is not spared that. Fragments are taken in order, and only of the message that is next in its session; the place of a message
// that got no further for a second may go to another session, and the client is then asked for all of it again. When
// the transmit side is full, acknowledgements are dropped (the client asks again) and responses wait in the egress
// ring, the first of them perhaps sent in part, which in the end makes the driver wait.
//
// # Limits
//
// Options fixes them all: sessions, window, acknowledgements outstanding, messages in fragments. Clients may fill a
// quarter of the ring beyond what is committed; the rest is for the cluster's own records, and a message longer than
// that quarter is refused for good. Messages and responses that fit no datagram come and go in fragments:
// Limits.Assemblies messages are put together at a time, each in a buffer for the longest one, allocated when it is
// first needed; a response waits in the egress ring. A session's memory grows with what it uses, twice as much each
// time: 40 bytes for each message of its window, of twice that when the service lags. Those are the allocations on the
// leader's thread. Answers are packed in buffers that sessions share; when all are in use what is packed leaves before
// the cycle's end.
package sequencer
