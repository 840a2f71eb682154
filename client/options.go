package client

import (
	"errors"
	"fmt"

	"lockstep/transport"
	"lockstep/wire"
)

// Errors of this package. Those that are returned wrapped say more.
var (
	// ErrOptions says that the options cannot work.
	ErrOptions = errors.New("client: unusable options")
	// ErrWindow says that as many messages, or bytes, are open as the window allows: poll, then try again.
	ErrWindow = errors.New("client: the window of open messages is full")
	// ErrTooLong says that a message does not fit what the cluster takes.
	ErrTooLong = errors.New("client: the message is too long")
	// ErrClosed says that the session is over. A new one needs a new Client.
	ErrClosed = errors.New("client: the session is closed")
	// ErrUnknown says that the outcome of a message is not known: it may or may not take effect.
	ErrUnknown = errors.New("client: the outcome of the message is unknown")
	// ErrNotOpen says that there is no open message of that number.
	ErrNotOpen = errors.New("client: no open message has this correlation")
)

// Options say how a client reaches its cluster. Zero fields take the default, where there is one.
type Options struct {
	// Cluster is the cluster's id, as `lockstep status` prints it.
	Cluster uint64
	// Nodes are the data addresses of the cluster's nodes, in any order; at least one.
	Nodes []transport.Addr
	// Name says to operators whose session it is: 1 to 64 bytes of printable UTF-8.
	Name string
	// Transport carries the datagrams; the client does not close it. New needs one. Dial opens kernel UDP towards
	// the first node when it is nil, and closes that.
	Transport transport.Transport
	// Window is how many messages may be open at once; default 256, at most 4096. The cluster may grant less.
	Window uint32
	// WindowBytes bounds the payloads of the messages open at once, all together; default 1 MiB, at least 1 KiB. It also
	// bounds how long a message can be: MaxMessage. Memory is taken as it is used.
	WindowBytes int
	// Seed makes the session's token and spreads retries: a random number, different for every client.
	// Dial draws one when it is 0.
	Seed uint64

	// ResendNs is how long an open message waits for its acknowledgement before it is sent again; the wait doubles
	// up to ResendMaxNs while nothing moves. Defaults 20 ms and 500 ms.
	ResendNs, ResendMaxNs int64
	// ConnectTimeoutNs is how long a node may take to answer while a session is opened or resumed before the next
	// node is tried. Default 100 ms. When all have been tried there is a pause before each, which grows up to
	// ResendMaxNs.
	ConnectTimeoutNs int64
	// SilenceNs is how long the leader may owe an answer before the other nodes are tried. Default 200 ms.
	SilenceNs int64
	// KeepaliveNs is the longest time without a datagram to the leader, which answers each. By default it is 500 ms
	// while messages are open or responses come, and twice as long each time when nothing does. It is never longer than
	// a quarter of the silence after which the cluster closes a session, as the cluster told (10 s if its configuration
	// says nothing else).
	KeepaliveNs int64
	// OutcomeNs is how long a message may be open before EventUnknown says so. Default 10 s; negative: never. The
	// client goes on sending it.
	OutcomeNs int64
	// GiveUpNs is how long the session may be without a node that lets it go on before EventClosed ends it. Default
	// 60 s; negative: the nodes are asked for ever.
	GiveUpNs int64
	// Stages asks the leader, with every message, where its time went: Ack.Stages. It costs 32 bytes of every
	// acknowledgement and a little of the leader's time.
	Stages bool
	// SubmitTimeoutNs bounds Submit beside its context. Default 10 s. Conn only.
	SubmitTimeoutNs int64

	// OnResponse, if not nil, is given what a Conn's submissions do not wait for: responses to no message of this
	// session, or to one whose Submit has returned. OnEvent is given every event. Conn only.
	OnResponse func(Response)
	OnEvent    func(Event)
}

// Bounds of Options.
const (
	maxWindow      = 4096
	minWindowBytes = 1 << 10
	maxWindowBytes = 1 << 30
)

func orDefault[T int | int64 | uint32](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// check fills in defaults and says what is wrong.
func (o *Options) check() error {
	orDefault(&o.Window, 256)
	orDefault(&o.WindowBytes, 1<<20)
	orDefault(&o.ResendNs, 20e6)
	orDefault(&o.ResendMaxNs, 500e6)
	orDefault(&o.ConnectTimeoutNs, 100e6)
	orDefault(&o.SilenceNs, 200e6)
	orDefault(&o.OutcomeNs, 10e9)
	orDefault(&o.GiveUpNs, 60e9)
	orDefault(&o.SubmitTimeoutNs, 10e9)
	switch {
	case o.Transport == nil:
		return fmt.Errorf("%w: a transport is needed", ErrOptions)
	case len(o.Nodes) == 0:
		return fmt.Errorf("%w: the address of at least one node is needed", ErrOptions)
	case !wire.ValidName([]byte(o.Name)):
		return fmt.Errorf("%w: name %q: want 1 to %d bytes of printable UTF-8", ErrOptions, o.Name, wire.MaxName)
	case o.Window > maxWindow:
		return fmt.Errorf("%w: a window of %d messages: want at most %d", ErrOptions, o.Window, maxWindow)
	case o.WindowBytes < minWindowBytes || o.WindowBytes > maxWindowBytes:
		return fmt.Errorf("%w: a window of %d bytes: want %d to %d", ErrOptions, o.WindowBytes, minWindowBytes,
			maxWindowBytes)
	case o.Seed == 0:
		return fmt.Errorf("%w: seed 0: want a random number that no other client has", ErrOptions)
	case o.ResendNs < 0 || o.ResendMaxNs < o.ResendNs:
		return fmt.Errorf("%w: resend after %d ns, %d ns at most: want both positive, the second not below the first",
			ErrOptions, o.ResendNs, o.ResendMaxNs)
	case o.ConnectTimeoutNs < 0 || o.SilenceNs < 0 || o.KeepaliveNs < 0 || o.SubmitTimeoutNs < 0:
		return fmt.Errorf("%w: time-outs must be positive", ErrOptions)
	case o.Transport.MaxPayload() < messagesRoom+wire.MessageSize(wire.FragmentHeaderSize+1):
		return fmt.Errorf("%w: datagrams of %d bytes hold no message: want a transport with a larger MTU",
			ErrOptions, o.Transport.MaxPayload())
	}
	for i, a := range o.Nodes {
		if a.Port == 0 || a.IP == [4]byte{} || a.IsMulticast() {
			return fmt.Errorf("%w: node address %s: want a unicast address and a port", ErrOptions, a)
		}
		for _, b := range o.Nodes[:i] {
			if a == b {
				return fmt.Errorf("%w: node address %s is there twice", ErrOptions, a)
			}
		}
	}
	return nil
}
