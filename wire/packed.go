package wire

import "lockstep/wire/fb"

// Sizes of what a datagram within a session is made of, in bytes.
const (
	MessagesHeaderSize = 8
	MessageHeaderSize  = 16
	AnswersHeaderSize  = 16
	AnswerHeaderSize   = 48
	FragmentHeaderSize = 8
	// MaxPacked is the longest message or answer in a datagram, header included: its length has 16 bits.
	MaxPacked = 65535
)

// Messages is first in the body of MESSAGES, and all of DISCONNECT and KEEPALIVE.
type Messages struct {
	Received uint64 // cumulative response number received
}

// Put writes it.
func (x *Messages) Put(b []byte) int {
	var w fb.MessagesHeader
	w.Init(b[:MessagesHeaderSize], 0)
	w.MutateReceived(x.Received)
	return MessagesHeaderSize
}

// Decode reads it; the packed messages are b[MessagesHeaderSize:].
func (x *Messages) Decode(b []byte) bool {
	if len(b) < MessagesHeaderSize {
		return false
	}
	var w fb.MessagesHeader
	w.Init(b, 0)
	x.Received = w.Received()
	return true
}

// Answers is first in the body of ANSWERS.
type Answers struct {
	Session   SessionID // whose: an address may have had another session before
	Committed uint64    // cumulative committed correlation: the client may forget its messages up to here
}

// Put writes it.
func (x *Answers) Put(b []byte) int {
	var w fb.AnswersHeader
	w.Init(b[:AnswersHeaderSize], 0)
	w.MutateSession(uint64(x.Session))
	w.MutateCommitted(x.Committed)
	return AnswersHeaderSize
}

// Decode reads it; the packed answers are b[AnswersHeaderSize:].
func (x *Answers) Decode(b []byte) bool {
	if len(b) < AnswersHeaderSize {
		return false
	}
	var w fb.AnswersHeader
	w.Init(b, 0)
	x.Session, x.Committed = SessionID(w.Session()), w.Committed()
	return true
}

// MessageKind says what a packed message is.
type MessageKind uint8

// The message kinds.
const (
	MessageData MessageKind = 1 // for a service
	MessageVoid MessageKind = 2 // no payload: takes the correlation's place if it is not yet sequenced
	// MessageFragment is a part of a message that fits no datagram, in the place that Fragment says.
	MessageFragment MessageKind = 3
)

// String is the kind's name.
func (k MessageKind) String() string {
	switch k {
	case MessageData:
		return "data"
	case MessageVoid:
		return "void"
	case MessageFragment:
		return "fragment"
	}
	return "unknown message kind"
}

// Message is the header of one message of MESSAGES.
type Message struct {
	Correlation uint64 // dense from 1 within the session; never 0
	Kind        MessageKind
	Levels      Levels // acknowledgements asked for
	Service     uint16
	Stages      bool     // the client wants Stages with every answer at a level
	Fragment    Fragment // of a MessageFragment; zero else
}

// MessageSize is how many bytes of a datagram a message with so long a payload takes, padding included.
func MessageSize(payload int) int { return (MessageHeaderSize + payload + 7) &^ 7 }

// PutMessage packs a message into the start of b and returns how many bytes it takes there, padding included; 0 when
// it does not fit. The payload of a MessageFragment is the fragment's bytes.
func PutMessage(b []byte, m *Message, payload []byte) int {
	head := MessageHeaderSize
	if m.Kind == MessageFragment {
		head += FragmentHeaderSize
	}
	length := head + len(payload)
	n := (length + 7) &^ 7
	if n > len(b) || length > MaxPacked {
		return 0
	}
	var w fb.MessageHeader
	w.Init(b, 0)
	w.MutateCorrelation(m.Correlation)
	w.MutateLength(uint16(length))
	w.MutateKind(uint8(m.Kind))
	w.MutateLevels(uint8(m.Levels))
	w.MutateService(m.Service)
	flags := uint16(0)
	if m.Stages {
		flags = wantsStages
	}
	w.MutateFlags(flags)
	if head != MessageHeaderSize {
		m.Fragment.put(b[MessageHeaderSize:])
	}
	copy(b[head:length], payload)
	clear(b[length:n])
	return n
}

// NextMessage unpacks the message at the start of b, which is the rest of a MESSAGES body: first what is behind
// Messages, then the rest that the call before returned. payload is a view of b; of a MessageFragment it is the
// fragment's bytes, at least one, which lie within Fragment.Total. When ok is false there is no further
// message: rest is empty at the body's end, and all of b where the body is malformed.
func NextMessage(b []byte, m *Message) (payload, rest []byte, ok bool) {
	if len(b) < MessageHeaderSize {
		return nil, b, false
	}
	var w fb.MessageHeader
	w.Init(b, 0)
	length := int(w.Length())
	n := (length + 7) &^ 7
	if length < MessageHeaderSize || n > len(b) {
		return nil, b, false
	}
	m.Correlation = w.Correlation()
	m.Kind = MessageKind(w.Kind())
	m.Levels = Levels(w.Levels())
	m.Service = w.Service()
	flags := w.Flags()
	m.Stages = flags&wantsStages != 0
	if !m.Levels.Valid() || m.Correlation == 0 || flags&^wantsStages != 0 || !zero(b[length:n]) {
		return nil, b, false
	}
	payload, m.Fragment = b[MessageHeaderSize:length:length], Fragment{}
	switch m.Kind {
	case MessageData:
		ok = true
	case MessageVoid:
		ok = len(payload) == 0
	case MessageFragment:
		payload, ok = m.Fragment.next(payload)
	}
	if !ok {
		return nil, b, false
	}
	return payload, b[n:], true
}

// AnswerKind says what a packed answer is.
type AnswerKind uint8

// The answer kinds.
const (
	AnswerAck      AnswerKind = 1 // the message of Correlation has reached Level
	AnswerResponse AnswerKind = 2 // a response, numbered Response; LevelApplied on the last that its message causes
	AnswerBusy     AnswerKind = 3 // everything from Correlation on was dropped, for Code: send it again later
	AnswerRefused  AnswerKind = 4 // the message of Correlation is refused for good, for Code
	AnswerGap      AnswerKind = 5 // Correlation is missing, from byte Position on: send again from there
	AnswerClosed   AnswerKind = 6 // the session is closed, for Code
	// AnswerFragment is a part of a response that fits no datagram, in the place that Fragment says; what else stands
	// in it is as in AnswerResponse.
	AnswerFragment AnswerKind = 7

	numAnswerKinds = 8
)

var answerKindNames = [numAnswerKinds]string{
	"invalid", "ack", "response", "busy", "refused", "gap", "closed", "fragment",
}

// String is the kind's name.
func (k AnswerKind) String() string {
	if int(k) < len(answerKindNames) {
		return answerKindNames[k]
	}
	return "unknown answer kind"
}

// Answer is the header of one answer of ANSWERS.
type Answer struct {
	Correlation uint64   // of the message; 0 for a response that no message of this session asked for
	Sequence    uint64   // of the record; 0 when there is none
	Position    Position // of the record; of AnswerGap, how many bytes of the message are there
	Timestamp   uint64   // of the record
	Response    uint64   // number within the session, dense from 1; 0 when this is no response
	Kind        AnswerKind
	Level       Level   // of an acknowledgement
	Code        Refusal // RefusalNone when none
	Service     uint16
	Timed       bool     // of AnswerAck and AnswerResponse: Stages follow the header
	Fragment    Fragment // of an AnswerFragment; zero else
	Stages      Stages   // if Timed; zero else
}

// AnswerSize is how many bytes of a datagram an answer with so long a payload takes, padding included.
func AnswerSize(payload int) int { return (AnswerHeaderSize + payload + 7) &^ 7 }

// PutAnswer packs an answer into the start of b and returns how many bytes it takes there, padding included; 0 when
// it does not fit. The payload of an AnswerFragment is the fragment's bytes.
func PutAnswer(b []byte, a *Answer, payload []byte) int {
	head, level := AnswerHeaderSize, uint8(a.Level)
	switch {
	case a.Kind == AnswerFragment:
		head += FragmentHeaderSize
	case a.Timed:
		head, level = head+StagesSize, level|stagesFollow
	}
	length := head + len(payload)
	n := (length + 7) &^ 7
	if n > len(b) || length > MaxPacked {
		return 0
	}
	var w fb.AnswerHeader
	w.Init(b, 0)
	w.MutateCorrelation(a.Correlation)
	w.MutateSequence(a.Sequence)
	w.MutatePosition(uint64(a.Position))
	w.MutateTimestamp(a.Timestamp)
	w.MutateResponse(a.Response)
	w.MutateLength(uint16(length))
	w.MutateKind(uint8(a.Kind))
	w.MutateLevel(level)
	w.MutateCode(uint16(a.Code))
	w.MutateService(a.Service)
	switch head {
	case AnswerHeaderSize + FragmentHeaderSize:
		a.Fragment.put(b[AnswerHeaderSize:])
	case AnswerHeaderSize + StagesSize:
		a.Stages.Put(b[AnswerHeaderSize:])
	}
	copy(b[head:length], payload)
	clear(b[length:n])
	return n
}

// NextAnswer unpacks the answer at the start of b, which is the rest of an ANSWERS body, as NextMessage does with
// messages.
func NextAnswer(b []byte, a *Answer) (payload, rest []byte, ok bool) {
	if len(b) < AnswerHeaderSize {
		return nil, b, false
	}
	var w fb.AnswerHeader
	w.Init(b, 0)
	length := int(w.Length())
	n := (length + 7) &^ 7
	if length < AnswerHeaderSize || n > len(b) {
		return nil, b, false
	}
	a.Correlation = w.Correlation()
	a.Sequence = w.Sequence()
	a.Position = Position(w.Position())
	a.Timestamp = w.Timestamp()
	a.Response = w.Response()
	a.Kind = AnswerKind(w.Kind())
	a.Level, a.Timed = Level(w.Level()&^stagesFollow), w.Level()&stagesFollow != 0
	a.Code = Refusal(w.Code())
	a.Service = w.Service()
	if a.Kind == 0 || a.Kind >= numAnswerKinds || a.Level >= NumLevels || !zero(b[length:n]) {
		return nil, b, false
	}
	payload, a.Fragment, a.Stages, ok = b[AnswerHeaderSize:length:length], Fragment{}, Stages{}, true
	switch {
	case a.Timed && a.Kind != AnswerAck && a.Kind != AnswerResponse:
		ok = false
	case a.Timed:
		if ok = a.Stages.Decode(payload); ok {
			payload = payload[StagesSize:]
		}
	case a.Kind == AnswerFragment:
		payload, ok = a.Fragment.next(payload)
	}
	if !ok {
		return nil, b, false
	}
	return payload, b[n:], true
}
