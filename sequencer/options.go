package sequencer

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Identity is who the node is in the headers of what it sends.
type Identity struct {
	Cluster     uint64
	Node        wire.NodeID
	Incarnation uint64
	Run         uint32
}

// header is that of a datagram to a client.
func (i *Identity) header(kind wire.DatagramKind, term wire.Term) wire.Header {
	return wire.Header{
		Kind: kind, Cluster: i.Cluster, Sender: uint64(i.Node), Incarnation: i.Incarnation, Run: i.Run, Term: term,
	}
}

// Options are what a Sequencer needs.
type Options struct {
	Identity   Identity
	Ring       *ringbuf.LogRing               // written through the Appender while leading
	Sender     *transport.Sender              // the caller flushes it at the end of a duty cycle
	MaxPayload int                            // of the Sender's transport, bytes
	Egress     *ringbuf.MessageRing           // consumer end
	Commands   *ringbuf.SPSC[service.Command] // producer end, shared on one thread with whoever sends Lead and Resign
	Services   [service.MaxServices]bool      // numbers of the services that the cluster runs
	Progress   *service.Progress              // of the driver: says whether apply has halted; nil: it never has
	MaxMessage uint32                         // longest client message, bytes; a quarter of the ring bounds it further
	WallNs     func() int64                   // the wall clock, for stamps; asked once a second
	// StampNs is a clock that is cheap to read within a cycle, for the stages of messages. nil: none are known.
	StampNs  func() int64
	Rule     wire.CommitRule // what commits a message, for the stages; zero: durable
	Key      [16]byte        // secret of this process, for the nonces of challenges
	Random   *rand.Rand      // for session ids: seeded so that nobody can guess them
	Limits   Limits
	Counters *counters.File // nil: not visible from outside
}

// Limits bound what clients can have. Zero fields take the default.
type Limits struct {
	Sessions       int    // open at once, not below the driver's limit: 16384
	Window         uint32 // granted to a session at most: 4096 messages
	Acks           int    // acknowledgements outstanding, all sessions together, a power of two: 65536
	Assemblies     int    // messages being put together from fragments, all sessions together: 256
	Timers         int    // of services, pending, not below the driver's limit: 16384
	AcksEvery      uint64 // responses acknowledged by a silent client that make an acks record: 64
	GapNs          int64  // between two requests for the same gap, at least: 500 µs
	ReplayNs       int64  // between two replays for one session, at least: 2 ms
	HeaderNs       int64  // from a commit to the datagram that says so when nothing else does, at most: 1 ms
	SessionNs      int64  // of silence after which a session is closed: 10 s
	ClosedNs       int64  // for which it can be asked how a closed session ended: 60 s
	AdmitPerS      int    // CONNECT and PROVE looked at in a second, 64 at once and 8 in a cycle: 10,000
	MessagesPerS   int    // of a session in a second, a tenth of that at once; 0: no limit
	KeptResponses  int    // of a session, as the driver's: 4096
	KeptBytes      int    // of their payloads, as the driver's: 1 MiB
	EgressPerCycle int    // egress messages taken in one DoWork at most: 1024
}

// assemblyIdleNs is how long a message may be without a further fragment before another may have its place.
const assemblyIdleNs = 1e9

// maxWindow bounds the window of a session found in the log.
const maxWindow = 1 << 16

// scanPerCycle bounds the slots that are looked at for silence in one duty cycle.
const scanPerCycle = 1024

// commandReserve is how many slots of the command ring replays leave free, for Lead and Resign.
const commandReserve = 8

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("sequencer: unusable options")

func orDefault[T int | int64 | uint32 | uint64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (l *Limits) defaults() error {
	orDefault(&l.Sessions, service.DefaultSessions)
	orDefault(&l.Window, 4096)
	orDefault(&l.Acks, 1<<16)
	orDefault(&l.Assemblies, 256)
	orDefault(&l.Timers, service.DefaultTimers)
	orDefault(&l.AcksEvery, 64)
	orDefault(&l.GapNs, 500e3)
	orDefault(&l.ReplayNs, 2e6)
	orDefault(&l.HeaderNs, 1e6)
	orDefault(&l.SessionNs, 10e9)
	orDefault(&l.ClosedNs, 60e9)
	orDefault(&l.AdmitPerS, 10_000)
	orDefault(&l.KeptResponses, service.DefaultKeptResponses)
	orDefault(&l.KeptBytes, service.DefaultKeptBytes)
	orDefault(&l.EgressPerCycle, 1024)
	switch {
	case l.Sessions < 0 || l.Assemblies < 0 || l.Timers < 0 || l.GapNs < 0 || l.ReplayNs < 0 || l.HeaderNs < 0 || l.SessionNs < 0 ||
		l.ClosedNs < 0 || l.EgressPerCycle < 0 || l.AdmitPerS < 0 || l.MessagesPerS < 0 || l.KeptResponses < 0 || l.KeptBytes < 0:
		return fmt.Errorf("%w: limits %+v: none may be negative", ErrOptions, *l)
	case l.Acks < 0 || l.Acks&(l.Acks-1) != 0:
		return fmt.Errorf("%w: %d acknowledgements outstanding: want a power of two", ErrOptions, l.Acks)
	case l.Window > maxWindow:
		return fmt.Errorf("%w: a window of %d messages: want at most %d", ErrOptions, l.Window, maxWindow)
	}
	return nil
}

// check fills in defaults and says what is missing.
func (o *Options) check() error {
	if err := o.Limits.defaults(); err != nil {
		return err
	}
	least := answersRoom + wire.AnswerSize(wire.FragmentHeaderSize+1)
	switch {
	case o.Ring == nil || o.Sender == nil || o.Egress == nil || o.Commands == nil:
		return fmt.Errorf("%w: ring, sender, egress and commands are needed", ErrOptions)
	case o.WallNs == nil || o.Random == nil:
		return fmt.Errorf("%w: a wall clock and a source of session ids are needed", ErrOptions)
	case !o.Identity.Node.Valid() || o.Identity.Incarnation == 0:
		return fmt.Errorf("%w: node %d, incarnation %x: want a node id from 1 to %d and an incarnation",
			ErrOptions, o.Identity.Node, o.Identity.Incarnation, wire.MaxNodes)
	case o.MaxPayload < least || o.MaxPayload > wire.MaxDatagram:
		return fmt.Errorf("%w: datagrams of %d bytes: want %d to %d", ErrOptions, o.MaxPayload, least, wire.MaxDatagram)
	case o.MaxMessage == 0 || o.MaxMessage > wire.MaxMessage:
		return fmt.Errorf("%w: messages of %d bytes: want 1 to %d", ErrOptions, o.MaxMessage, wire.MaxMessage)
	case o.Services[service.None]:
		return fmt.Errorf("%w: service number %d means no service", ErrOptions, service.None)
	}
	return nil
}
