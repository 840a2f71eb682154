// Package client is the Go client of a Lockstep cluster: sessions, ordered messages at a chosen guarantee level,
// responses exactly once, failover.
//
// # Purpose
//
// A client opens a session with the cluster and sends messages in it. Every message goes into the cluster's one log, in
// the order in which the client sent it, at most once, and is acknowledged at the levels it asked for:
//
//	level       the acknowledgement says
//	none        (none is given; the message is kept and sent again all the same)
//	received    the leader accepted it in order
//	sequenced   position, sequence and timestamp in the leader's log
//	replicated  a majority holds it in memory
//	durable     a majority has synced it to disk
//	applied     the service has processed it; its responses are here
//
// # Where to begin
//
// There are three ways to use it. They are the same underneath, over the same transports.
//
//	         for                                     how                        threads
//	Conn     a program that waits for answers        Dial, Submit               one of its own, for each Conn
//	Client   a loop that never blocks, microseconds  New, Send, Poll, Handler   the caller's
//	Mux      thousands of sessions in one process    NewMux, Add, Poll          the caller's, one for all
//
// What is needed is the cluster's id (`lockstep status` prints it), the data addresses of its nodes (some will do: they
// say where the leader is), and a name for operators to see. A cluster to try things on is `lockstep lab up`.
//
//	conn, err := client.Dial(ctx, client.Options{
//		Cluster: 0x5eed,
//		Nodes:   []transport.Addr{a, b, c},
//		Name:    "desk-7",
//	})
//	...
//	result, err := conn.Submit(ctx, service.Echo, wire.LevelApplied, []byte("hello"))
//
// Submit returns when the message has reached the level asked for. It may be called by any number of goroutines: what
// they submit is under way at once. Its errors say what is known of the message:
//
//	*RefusedError    the cluster refused it for good; it takes no effect, and Code says why
//	ErrUnknown       it was sent, and nobody can tell (yet): it may have taken effect, or still do so; Void settles it
//	any other        it was not sent
//
// Client is for a loop of one's own that never blocks and allocates nothing per message: Send puts a message into the
// window, Poll moves everything else along, and what happens comes back through a Handler, inside Poll. A message may
// ask for several levels: sequenced, say, to know early where it stands, and applied for its answer. A loop that wants
// to sleep may do so until DueNs, if a datagram wakes it (Transport.Fds).
//
// Mux polls many clients at once over one transport, on one thread: every datagram is checked once and goes to its
// client, and only clients with something due are looked at, so that thousands of sessions cost what they do, not what
// they are. Give such clients small windows (Options.Window).
//
// The examples below run as tests. Whole programs are in examples/call, examples/poll and examples/many.
//
// # What is guaranteed
//
// The client keeps every message, whatever its level, until the cluster says that its record is committed and every
// acknowledgement asked for has come, and sends it again until then, under the same number (its correlation), to
// whichever node leads. The cluster takes the numbers of a session densely and in order, so nothing is lost, doubled
// or overtaken while the session lives. Responses are numbered by the cluster as well, and are handed out exactly once
// and in that order; when one is missing the cluster is asked for it again.
//
// An acknowledgement includes all lower levels: once one is handed out, lower ones of the same message are not any
// more. One of an older term than the current leader's is ignored.
//
// When the outcome is not known within the time given (Options.OutcomeNs), EventUnknown says so, and Submit returns
// ErrUnknown: the message may or may not take effect, and it is never taken back or moved to another session.
// Client.Void and Conn.Void settle such a message.
//
// When the session itself is lost (the cluster closed it or knows it no longer, or no node has let it go on for
// Options.GiveUpNs), EventClosed says so, names the
// messages whose outcome is open, and nothing more is sent. What to do with them is for the application to decide.
//
// # Finding the leader
//
//	             CHALLENGE            ACCEPT
//	connecting ------------> proving --------> connected
//	 ^  |  ^                    |                 |
//	 |  |  '---- REJECT, no answer, REDIRECT -----'
//	 '--'  next node, round robin
//
// CONNECT goes to one node after the other until one answers as the leader or says (REDIRECT) where the leader is. The
// same happens when the leader falls silent while something is due from it. The session goes on where it stopped.
//
// Before that, from a quarter of the silence allowed on, other nodes are asked in passing: one that knows of a later
// term ends the wait. A leader that hands over says at once where the next one is. While nobody leads, or the leader
// has no room, the pauses between attempts grow, and are drawn, so that many clients do not come in step.
//
// # Signs of life
//
// A client that has nothing to send shows now and then that it is there, and the leader answers. ACCEPT says after what
// silence the cluster closes a session; the client beats by a quarter of that when it is idle and more often while
// something is going on (Options.KeepaliveNs). So an idle client notices up to a quarter later that its leader has gone
// than one with messages open, which notices within Options.SilenceNs.
//
// # Events
//
//	connected        the session is open, or goes on
//	disconnected     the leader has gone, or is silent; others are being asked; nothing is lost
//	leader-changed   after connected: it is another one, or a later term
//	unknown          messages have been open for Options.OutcomeNs; they are sent on, and may be voided
//	closed           the session is over; Event says why, and what is known of messages that were open
//
// Only unknown and closed ask for something to be done.
//
// # Thread ownership
//
// A Client, its transport and its handler belong to one thread at a time, and so does a Mux with all its clients and
// their handlers; a handler is called inside Poll and may call Send, and Mux.Add. A Conn may be used by any goroutine;
// it has one of its own, and its callbacks run under its lock: they must not call the Conn.
//
// # Memory ordering
//
// Nothing is shared but by a Conn's mutex.
//
// # Failure behaviour
//
// Datagrams that are not the cluster's, or not from the node being spoken to, are dropped and counted (Stats). BUSY is
// answered with patience: everything from the message named is sent again after a growing pause. A message that the
// cluster refuses for good keeps its place in the order, and its acknowledgement says why (Ack.Code). Fragments that are
// lost either way are asked for, and those that came are kept.
//
// # Limits
//
// A message and a response are at most wire.MaxMessage long (64 KiB), a message no longer than MaxMessage says, which the
// cluster and Options.WindowBytes bound; what fits no datagram goes in fragments, unseen. At most Window messages, and
// WindowBytes of them, are open at once; Send then returns ErrWindow. One client, or one Mux, has one transport. Memory
// for payloads grows with what is kept, and with the longest response; nothing else is allocated after New. An idle
// client takes less than 6 KiB and 56 bytes for each message of its window. A Conn takes a thread besides, while it waits.
package client
