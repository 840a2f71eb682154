package wire

import "testing"

// messagesDatagram is a MESSAGES datagram as full as an Ethernet frame allows, of 200-byte messages.
func messagesDatagram() []byte {
	b := make([]byte, 1472)
	n := DatagramHeaderSize
	n += (&Messages{Received: 5}).Put(b[n:])
	payload := make([]byte, 200)
	for i := uint64(1); ; i++ {
		m := Message{Correlation: i, Kind: MessageData, Levels: LevelsOf(LevelApplied), Service: 1}
		k := PutMessage(b[n:], &m, payload)
		if k == 0 {
			break
		}
		n += k
	}
	Seal(b[:n], &Header{Kind: DatagramMessages, Cluster: testCluster, Sender: 900, Term: 1})
	return b[:n]
}

// fragmentsDatagram is a MESSAGES datagram with the end of one long message and the begin of the next.
func fragmentsDatagram() []byte {
	b := make([]byte, 1472)
	n := DatagramHeaderSize
	n += (&Messages{Received: 5}).Put(b[n:])
	m := Message{Correlation: 7, Kind: MessageFragment, Service: 1, Fragment: Fragment{Total: 3000, Offset: 2900}}
	n += PutMessage(b[n:], &m, make([]byte, 100))
	m.Correlation, m.Fragment.Offset = 8, 0
	n += PutMessage(b[n:], &m, make([]byte, MessageFragmentRoom(len(b)-n)))
	Seal(b[:n], &Header{Kind: DatagramMessages, Cluster: testCluster, Sender: 900, Term: 1})
	return b[:n]
}

// answersDatagram is an ANSWERS datagram with one answer of each kind.
func answersDatagram() []byte {
	b := make([]byte, 1472)
	n := DatagramHeaderSize
	n += (&Answers{Committed: 5}).Put(b[n:])
	for kind := AnswerAck; kind < numAnswerKinds; kind++ {
		a := Answer{Correlation: 7, Kind: kind, Level: LevelApplied, Fragment: Fragment{Total: 100, Offset: 20}}
		n += PutAnswer(b[n:], &a, []byte("response"))
	}
	Seal(b[:n], &Header{Kind: DatagramAnswers, Cluster: testCluster, Sender: 2, Incarnation: 1, Term: 1})
	return b[:n]
}

// hot is what is done for every message or datagram: each entry does it once, on memory made before.
func hot(tb testing.TB) map[string]func() {
	datagram, answers, fragments := messagesDatagram(), answersDatagram(), fragmentsDatagram()
	header := Header{Kind: DatagramMessages, Cluster: testCluster, Sender: 900, Term: 1}
	record, payload := make([]byte, 512), make([]byte, 200)
	var first Chain
	verified := make([]byte, 512)
	verified = verified[:first.Append(verified, &Record{Timestamp: 1, Kind: RecordMessage}, payload)]
	room := make([]byte, 1472)
	status, config := Status{Append: 5, Wall: 7}, Config{Rule: RuleDurable, Members: 3}
	snapshot := SnapshotRecord{Verified: 64, Take: true}
	terms := make([]TermStart, 16)
	check := func(ok bool, what string) {
		if !ok {
			tb.Fatal(what)
		}
	}
	return map[string]func(){
		"Seal": func() { Seal(datagram, &header) },
		"Validate": func() {
			var h Header
			_, d := nodeEnd.Validate(datagram, &h)
			check(d == DropNone, "dropped")
		},
		"Append": func() {
			c := first
			r := Record{Timestamp: 2, Kind: RecordMessage, Session: 9, Correlation: 1}
			c.Append(record, &r, payload)
		},
		"Verify": func() {
			var c Chain
			var r Record
			_, v := c.Verify(verified, &r)
			check(v == VerdictOK, "not verified")
		},
		"NextMessage": func() {
			var m Message
			_, _, ok := NextMessage(datagram[DatagramHeaderSize+MessagesHeaderSize:], &m)
			check(ok, "no message")
		},
		"NextFragment": func() {
			var m Message
			_, _, ok := NextMessage(fragments[DatagramHeaderSize+MessagesHeaderSize:], &m)
			check(ok, "no fragment")
		},
		"NextAnswer": func() {
			var a Answer
			_, _, ok := NextAnswer(answers[DatagramHeaderSize+AnswersHeaderSize:], &a)
			check(ok, "no answer")
		},
		"PutMessage": func() { PutMessage(room, &Message{Correlation: 1, Kind: MessageData}, payload) },
		"PutFragment": func() {
			m := Message{Correlation: 1, Kind: MessageFragment, Fragment: Fragment{Total: 200}}
			PutMessage(room, &m, payload)
		},
		"PutAnswer": func() { PutAnswer(room, &Answer{Correlation: 1, Kind: AnswerAck}, payload) },
		"Status": func() {
			var x Status
			check(x.Decode(room[:status.Put(room)]), "no status")
		},
		"SnapshotRecord": func() {
			var x SnapshotRecord
			check(x.Decode(room[:snapshot.Put(room)]), "no snapshot record")
		},
		"Align": func() {
			var a Align
			n := a.PutTerms(room, terms[:1])
			_, ok := a.DecodeTerms(room[:n], terms)
			check(ok, "no align")
		},
		"Digest": func() { config.Digest() },
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for name, f := range hot(t) {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkHot measures each step for a 200-byte message; Seal and Validate for a datagram full of them.
func BenchmarkHot(b *testing.B) {
	steps := hot(b)
	for _, name := range []string{"Seal", "Validate", "Append", "Verify", "NextMessage", "NextFragment", "NextAnswer",
		"PutMessage", "PutFragment", "PutAnswer", "Status", "SnapshotRecord", "Align", "Digest"} {
		f := steps[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
