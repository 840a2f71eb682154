package wire

import "lockstep/wire/fb"

// Align is the fixed part of ALIGN; Count entries of the follower's term index follow, newest first.
type Align struct {
	Nonce      uint64
	Append     Position // end of the follower's log
	Floor      Position // where its log begins: 0, or its snapshot's position
	Page       uint32   // 0 for the newest entries
	Count      uint16   // how many entries follow
	LastPage   bool     // the floor is reached with this page
	Recovering bool
}

// TermStart is one entry of a term index.
type TermStart struct {
	Start Position // of the first record of the term
	Term  Term
}

// Put writes the fixed part.
func (x *Align) Put(b []byte) int {
	var w fb.Align
	w.Init(b[:AlignSize], 0)
	w.MutateNonce(x.Nonce)
	w.MutateAppend(uint64(x.Append))
	w.MutateFloor(uint64(x.Floor))
	w.MutatePage(x.Page)
	w.MutateCount(x.Count)
	w.MutateLastPage(flag(x.LastPage))
	w.MutateRecovering(flag(x.Recovering))
	return AlignSize
}

// Decode reads the fixed part.
func (x *Align) Decode(b []byte) bool {
	if len(b) < AlignSize {
		return false
	}
	var w fb.Align
	w.Init(b, 0)
	x.Nonce = w.Nonce()
	x.Append = Position(w.Append())
	x.Floor = Position(w.Floor())
	x.Page = w.Page()
	x.Count = w.Count()
	x.LastPage = w.LastPage() == 1
	x.Recovering = w.Recovering() == 1
	return w.LastPage() <= 1 && w.Recovering() <= 1
}

// PutTerms writes a whole ALIGN: it sets Count and writes the fixed part and then the entries, newest first. It
// returns the body's length.
func (x *Align) PutTerms(b []byte, terms []TermStart) int {
	x.Count = uint16(len(terms))
	n := x.Put(b)
	for i := range terms {
		var w fb.TermStart
		w.Init(b[n:n+TermStartSize], 0)
		w.MutateStart(uint64(terms[i].Start))
		w.MutateTerm(uint32(terms[i].Term))
		w.MutateReserved(0)
		n += TermStartSize
	}
	return n
}

// DecodeTerms reads a whole ALIGN. The entries go into the room of terms, which is never grown: more entries than it
// has capacity for are malformed, as is a list that is not strictly newest first or a body of another length.
func (x *Align) DecodeTerms(b []byte, terms []TermStart) ([]TermStart, bool) {
	terms = terms[:0]
	if !x.Decode(b) || int(x.Count) > cap(terms) || len(b) != AlignSize+int(x.Count)*TermStartSize {
		return terms, false
	}
	for b = b[AlignSize:]; len(b) > 0; b = b[TermStartSize:] {
		var w fb.TermStart
		w.Init(b, 0)
		t := TermStart{Start: Position(w.Start()), Term: Term(w.Term())}
		if w.Reserved() != 0 {
			return terms[:0], false
		}
		if n := len(terms); n > 0 && (t.Term >= terms[n-1].Term || t.Start >= terms[n-1].Start) {
			return terms[:0], false
		}
		terms = append(terms, t)
	}
	return terms, true
}

// AlignAnswer tells a follower where its log and the leader's part.
type AlignAnswer struct {
	Nonce    uint64   // of the ALIGN it answers
	Cut      Position // with Found: keep [0, Cut)
	NextPage uint32   // without Found: the page the leader wants to see
	Found    bool
}

// Put writes the body.
func (x *AlignAnswer) Put(b []byte) int {
	var w fb.AlignAnswer
	w.Init(b[:AlignAnswerSize], 0)
	w.MutateNonce(x.Nonce)
	w.MutateCut(uint64(x.Cut))
	w.MutateNextPage(x.NextPage)
	w.MutateFound(flag(x.Found))
	w.MutateReserved0(0)
	w.MutateReserved1(0)
	return AlignAnswerSize
}

// Decode reads the body.
func (x *AlignAnswer) Decode(b []byte) bool {
	if len(b) < AlignAnswerSize {
		return false
	}
	var w fb.AlignAnswer
	w.Init(b, 0)
	x.Nonce = w.Nonce()
	x.Cut = Position(w.Cut())
	x.NextPage = w.NextPage()
	x.Found = w.Found() == 1
	return w.Found() <= 1 && w.Reserved0() == 0 && w.Reserved1() == 0
}

// Ballot is CANVASS and VOTE_REQUEST. The header's term is the one asked for.
type Ballot struct {
	Append       Position // end of the candidate's log
	LastTerm     Term     // of its last record
	ConfigDigest uint32   // Config.Digest of its config record; 0 before the first
	Transfer     bool     // with the leader's own consent
}

// Put writes the body.
func (x *Ballot) Put(b []byte) int {
	var w fb.Ballot
	w.Init(b[:BallotSize], 0)
	w.MutateAppend(uint64(x.Append))
	w.MutateLastTerm(uint32(x.LastTerm))
	w.MutateConfigDigest(x.ConfigDigest)
	w.MutateTransfer(flag(x.Transfer))
	w.MutateReserved0(0)
	w.MutateReserved1(0)
	w.MutateReserved2(0)
	return BallotSize
}

// Decode reads the body.
func (x *Ballot) Decode(b []byte) bool {
	if len(b) < BallotSize {
		return false
	}
	var w fb.Ballot
	w.Init(b, 0)
	x.Append = Position(w.Append())
	x.LastTerm = Term(w.LastTerm())
	x.ConfigDigest = w.ConfigDigest()
	x.Transfer = w.Transfer() == 1
	return w.Transfer() <= 1 && w.Reserved0() == 0 && w.Reserved1() == 0 && w.Reserved2() == 0
}

// BallotAnswer is CANVASS_ANSWER and VOTE. The header's term is the voter's own.
type BallotAnswer struct {
	Term       Term // the one that was asked for
	Granted    bool
	Reason     uint8 // why not: numbered by package replica; 0 when granted
	Recovering bool  // the voter may have forgotten
}

// Put writes the body.
func (x *BallotAnswer) Put(b []byte) int {
	var w fb.BallotAnswer
	w.Init(b[:BallotAnswerSize], 0)
	w.MutateTerm(uint32(x.Term))
	w.MutateGranted(flag(x.Granted))
	w.MutateReason(x.Reason)
	w.MutateRecovering(flag(x.Recovering))
	w.MutateReserved(0)
	return BallotAnswerSize
}

// Decode reads the body.
func (x *BallotAnswer) Decode(b []byte) bool {
	if len(b) < BallotAnswerSize {
		return false
	}
	var w fb.BallotAnswer
	w.Init(b, 0)
	x.Term = Term(w.Term())
	x.Granted = w.Granted() == 1
	x.Reason = w.Reason()
	x.Recovering = w.Recovering() == 1
	return w.Granted() <= 1 && w.Recovering() <= 1 && w.Reserved() == 0
}
