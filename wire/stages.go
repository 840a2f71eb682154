package wire

import "lockstep/wire/fb"

// StagesSize is how many bytes Stages take behind an AnswerHeader.
const StagesSize = 32

const (
	wantsStages  = 1   // in MessageHeader's flags
	stagesFollow = 128 // in AnswerHeader's level
)

// NoStage stands for the time of a stage that is not on an answer's way, or not known.
const NoStage = 1<<32 - 1

// Stage is how far a message has come on its leader.
type Stage uint8

// The stages, in order, from when the message was received.
const (
	StageTaken      Stage = iota // by the sequencer, from what the network handed over
	StageSequenced               // it has its place in the log
	StageSent                    // to the followers
	StageReplicated              // a majority holds it
	StageDurable                 // a majority has synced it
	StageApplied                 // by the service
	StageAnswered                // what is said of it was handed to the transmit side

	NumStages = 7
)

var stageNames = [NumStages]string{"taken", "sequenced", "sent", "replicated", "durable", "applied", "answered"}

// String is the stage's name, as metrics and tables have it.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "unknown stage"
}

// Stages are the times at which a message came how far, on its leader's clock, in nanoseconds from when the leader received
// it. A zero value says that nothing is known.
type Stages struct {
	TotalNs uint64                // until StageAnswered; 0 when nothing is known
	AtNs    [StageAnswered]uint32 // until each other; NoStage: not on this answer's way, or not known
}

// Known says whether anything is known.
func (x *Stages) Known() bool { return x.TotalNs != 0 }

// Put writes them.
func (x *Stages) Put(b []byte) int {
	var w fb.Stages
	w.Init(b[:StagesSize], 0)
	w.MutateTotal(x.TotalNs)
	w.MutateTaken(x.AtNs[StageTaken])
	w.MutateSequenced(x.AtNs[StageSequenced])
	w.MutateSent(x.AtNs[StageSent])
	w.MutateReplicated(x.AtNs[StageReplicated])
	w.MutateDurable(x.AtNs[StageDurable])
	w.MutateApplied(x.AtNs[StageApplied])
	return StagesSize
}

// Decode reads them; what follows is b[StagesSize:].
func (x *Stages) Decode(b []byte) bool {
	if len(b) < StagesSize {
		return false
	}
	var w fb.Stages
	w.Init(b, 0)
	x.TotalNs = w.Total()
	x.AtNs = [StageAnswered]uint32{w.Taken(), w.Sequenced(), w.Sent(), w.Replicated(), w.Durable(), w.Applied()}
	return true
}

// NoStep is the step of a stage that is not on an answer's way, or not known.
const NoStep = -1

// Steps are the times from stage to stage: each from the last one before it that is known, or from the receipt; NoStep for
// those that are not. Together they are TotalNs. ok is false when the stages are not in order.
func (x *Stages) Steps() (ns [NumStages]int64, ok bool) {
	last := uint64(0)
	for i, at := range x.AtNs {
		if at == NoStage {
			ns[i] = NoStep
			continue
		}
		if uint64(at) < last {
			return ns, false
		}
		ns[i], last = int64(uint64(at)-last), uint64(at)
	}
	ns[StageAnswered] = int64(x.TotalNs - last)
	return ns, x.TotalNs >= last
}

// NextTimed finds the next answer that Stages follow in packed answers, for whoever packed them: the room of its Stages, a view
// of b, to be filled late, and its level. rest is what is behind it; ok is false when there is none.
func NextTimed(b []byte) (stages []byte, level Level, rest []byte, ok bool) {
	var w fb.AnswerHeader
	for len(b) >= AnswerHeaderSize {
		w.Init(b, 0)
		n := (int(w.Length()) + 7) &^ 7
		if n < AnswerHeaderSize || n > len(b) {
			break
		}
		if at := w.Level(); at&stagesFollow != 0 && n >= AnswerHeaderSize+StagesSize {
			return b[AnswerHeaderSize : AnswerHeaderSize+StagesSize], Level(at &^ stagesFollow), b[n:], true
		}
		b = b[n:]
	}
	return nil, LevelNone, nil, false
}
