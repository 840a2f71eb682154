package client

import (
	"math/rand/v2"

	"lockstep/transport"
	"lockstep/wire"
)

// state is where the session stands with the cluster.
type state uint8

const (
	stateIdle       state = iota // nothing was tried yet
	stateConnecting              // CONNECT is sent, or due at retryNs
	stateProving                 // PROVE is sent
	stateConnected
	stateClosing // DISCONNECT is sent
	stateClosed
)

// messagesRoom is what stands before the first message in a datagram.
const messagesRoom = wire.DatagramHeaderSize + wire.MessagesHeaderSize

// After so many responses, or so many bytes of them, the leader is told that they are here, if no message does so.
const (
	ackEvery = 32
	ackBytes = 64 << 10
)

// Client is a session with the cluster, moved along by Poll. It belongs to one thread.
type Client struct {
	o       Options
	handler Handler
	name    []byte
	port    *port
	place   place // in a Mux
	rng     *rand.Rand
	window  window
	stats   Stats
	nowNs   int64

	// Who is spoken to.
	state      state
	token      uint64
	session    wire.SessionID
	term       wire.Term
	leader     wire.NodeID
	peer       transport.Addr
	node       int // index of the node to be tried next
	hops       int // redirects followed since a node was last tried in turn
	nonce      uint64
	tries      int            // nodes tried since a session went on
	severedNs  int64          // since when it has not
	attemptNs  int64          // when the peer began to be tried
	retryNs    int64          // CONNECT, PROVE or DISCONNECT is due again
	waitNs     int64          // from one CONNECT or PROVE to the next, to one node
	probeNs    int64          // not before this is another node asked who leads
	silentNs   int64          // when the leader that was last known fell silent; 0: it did not
	gone       transport.Addr // where that was
	startingNs int64          // pause before a leader that is not ready yet is asked again; 0: none so far
	closingNs  int64

	// What is sent.
	granted    uint64 // window
	maxMessage int
	whole      int    // longest payload that goes in one piece
	part       int    // of a longer one, as much as an empty datagram holds
	cursor     uint64 // next message to look at
	offset     int    // of it, what is sent already: not 0 when it goes in fragments
	resendNs   int64  // current wait before messages are sent again
	movedNs    int64  // since when the oldest message is the oldest, or was last sent again
	busyNs     int64  // pause after BUSY; 0: none
	pausedNs   int64  // no message is sent before
	owedNs     int64  // since when the leader owes an answer; 0: it does not
	sentNs     int64  // when the leader was last sent anything
	idleNs     int64  // between signs of life, at most: the cluster's wish
	beatNs     int64  // from what was last sent to the next sign of life
	doubted    uint64 // messages up to this one that are still open have been reported

	// What is received.
	received   uint64        // last response handed out
	told       uint64        // received as the leader was last told
	untold     int           // bytes of the responses since
	response   wire.Assembly // the next response, while it comes in fragments
	assembling uint64        // its number
	askedNs    int64         // when a missing response was last asked for
}

// New makes a client. It connects when it is polled.
func New(o Options, h Handler) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return newClient(&o, h, newPort(o.Transport, o.Cluster)), nil
}

// newClient makes a client of options that were checked.
func newClient(o *Options, h Handler, p *port) *Client {
	room := o.Transport.MaxPayload() - messagesRoom
	c := &Client{
		o: *o, handler: h, name: []byte(o.Name), port: p,
		rng:        rand.New(rand.NewPCG(o.Seed, o.Cluster)),
		window:     newWindow(o.Window, o.WindowBytes),
		granted:    uint64(o.Window),
		maxMessage: min(o.WindowBytes, wire.MaxMessage),
		whole:      room - wire.MessageHeaderSize,
		part:       wire.MessageFragmentRoom(room),
		cursor:     1,
		resendNs:   o.ResendNs,
		idleNs:     idleNs,
		beatNs:     beatNs,
	}
	for c.token == 0 {
		c.token = c.rng.Uint64()
	}
	c.node = c.rng.IntN(len(o.Nodes))
	return c
}

// Send puts a message into the window, to be sent by the next Poll, and returns its correlation: its number in the
// session, dense from 1. The payload is copied. It may be called before the session is open, and while the leader is
// being looked for. Errors: ErrWindow, ErrTooLong, ErrClosed; nothing was sent then.
func (c *Client) Send(nowNs int64, service uint16, levels wire.Levels, payload []byte) (correlation uint64, err error) {
	switch {
	case c.state >= stateClosing:
		return 0, ErrClosed
	case len(payload) > c.maxMessage || !levels.Valid():
		return 0, ErrTooLong
	}
	correlation, ok := c.window.push(nowNs, service, levels, payload)
	if !ok {
		return 0, ErrWindow
	}
	if c.window.oldest == correlation {
		c.movedNs = nowNs
	}
	c.beatNs = beatNs
	c.mark()
	return correlation, nil
}

// Void settles an open message: what is sent from now on in its place asks the cluster to sequence nothing under its
// number. Its acknowledgement at LevelApplied then says which came first: Code is RefusalVoided if the void did, and
// the message never takes effect. ErrNotOpen when the message is not open.
func (c *Client) Void(correlation uint64) error {
	if c.state >= stateClosing {
		return ErrClosed
	}
	m := c.window.open(correlation)
	if m == nil {
		return ErrNotOpen
	}
	m.kind, m.length, m.waiting, m.refused = wire.MessageVoid, 0, wire.LevelsOf(wire.LevelApplied), false
	c.window.again(correlation, correlation+1)
	c.back(correlation)
	c.mark()
	return nil
}

// Poll does whatever is due: it takes what has arrived and calls the handler for it, sends what is to be sent, and
// looks for the leader when there is none. It never blocks. It returns how many datagrams it took. A client of a Mux is
// polled by that; here nothing happens then.
func (c *Client) Poll(nowNs int64) (work int) {
	if c.place.mux != nil {
		return 0
	}
	c.nowNs = nowNs
	work = c.port.receive(c)
	c.turn()
	c.port.sender.Flush()
	return work
}

// turn does what is due at nowNs, but to take what has arrived and to flush.
func (c *Client) turn() {
	c.doubt()
	switch c.state {
	case stateIdle:
		c.severedNs = c.nowNs
		c.tryNext()
	case stateConnecting, stateProving:
		c.connect()
	case stateConnected:
		c.watch()
		c.transmit()
	case stateClosing:
		c.disconnect()
	case stateClosed:
	}
}

// Close ends the session: the cluster is asked to close it, for as long as SilenceNs. EventClosed ends it, from a
// later Poll. Messages still open then have an unknown outcome.
func (c *Client) Close(nowNs int64) {
	c.nowNs = nowNs
	c.mark()
	switch {
	case c.state >= stateClosing:
	case c.state == stateConnected:
		c.state, c.closingNs, c.retryNs = stateClosing, nowNs, nowNs
		c.disconnect()
		if c.place.mux == nil {
			c.port.sender.Flush()
		}
	default:
		c.closed(Event{})
	}
}

// Session is the session's id; 0 before the first EventConnected.
func (c *Client) Session() wire.SessionID { return c.session }

// Connected says whether the session goes on with a leader.
func (c *Client) Connected() bool { return c.state == stateConnected }

// Closed says whether the session is over.
func (c *Client) Closed() bool { return c.state == stateClosed }

// Leader is the node that leads the session's last known term, and that term; 0 before the first EventConnected.
func (c *Client) Leader() (wire.NodeID, wire.Term) { return c.leader, c.term }

// Open is how many messages are open: not committed, or not acknowledged as asked.
func (c *Client) Open() int { return int(c.window.next - c.window.oldest) }

// MaxMessage is the longest payload that Send takes, in bytes. The cluster may lower it when the session opens.
func (c *Client) MaxMessage() int { return c.maxMessage }

// Stats returns the counts so far.
func (c *Client) Stats() Stats { return c.stats }
