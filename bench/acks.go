package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"lockstep/wire"
)

// Ack is one acknowledgement that a client was given.
type Ack struct {
	Correlation uint64
	Level       wire.Level
	Sequence    uint64 // 0 when the acknowledgement did not say (level received)
	Position    wire.Position
	SentNs      int64 // when the message was given to the client, on this machine's monotonic clock; 0: not known
	AckedNs     int64 // when the acknowledgement came
}

// Told is what the cluster told a client in one session.
type Told struct {
	Session wire.SessionID
	Acks    []Ack
}

// ackBytes is an acknowledgement in a file: session, correlation, level, sequence, position, sent, acked, 8 bytes each.
const ackBytes = 7 * 8

// WriteAcks writes acknowledgements to a file.
func WriteAcks(path string, told ...Told) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var b [ackBytes]byte
	for i := range told {
		for k := range told[i].Acks {
			a := &told[i].Acks[k]
			for n, v := range [...]uint64{uint64(told[i].Session), a.Correlation, uint64(a.Level), a.Sequence,
				uint64(a.Position), uint64(a.SentNs), uint64(a.AckedNs)} {
				binary.LittleEndian.PutUint64(b[8*n:], v)
			}
			_, _ = w.Write(b[:]) // Flush says it
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// ReadAcks reads what WriteAcks wrote.
func ReadAcks(path string) (told []Told, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	bySession := map[wire.SessionID]int{}
	var b [ackBytes]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if errors.Is(err, io.EOF) {
			return told, nil
		}
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", path, err)
		}
		var v [ackBytes / 8]uint64
		for n := range v {
			v[n] = binary.LittleEndian.Uint64(b[8*n:])
		}
		id := wire.SessionID(v[0])
		at, known := bySession[id]
		if !known {
			at, bySession[id] = len(told), len(told)
			told = append(told, Told{Session: id})
		}
		told[at].Acks = append(told[at].Acks, Ack{Correlation: v[1], Level: wire.Level(v[2]), Sequence: v[3],
			Position: wire.Position(v[4]), SentNs: int64(v[5]), AckedNs: int64(v[6])})
	}
}
