package main

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Frames between a client and the server that makes a service of a library. Little-endian:
//
//	request   length uint32 (of what follows) | correlation uint64 | payload
//	answer    length uint32                   | correlation uint64 | position uint64 | payload, or why not
//
// A request with correlation 0 asks who leads; the answer's position is that member's number, 0 when there is none.
const (
	frameLength   = 4
	requestHeader = frameLength + 8
	answerHeader  = frameLength + 16
	maxFrame      = 64 << 10
	refused       = ^uint64(0) // as a position: the payload says why
)

func appendRequest(b []byte, correlation uint64, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(requestHeader-frameLength+len(payload)))
	b = binary.LittleEndian.AppendUint64(b, correlation)
	return append(b, payload...)
}

func appendAnswer(b []byte, correlation, position uint64, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(answerHeader-frameLength+len(payload)))
	b = binary.LittleEndian.AppendUint64(b, correlation)
	b = binary.LittleEndian.AppendUint64(b, position)
	return append(b, payload...)
}

// cutFrame takes the first whole frame off b: nil when there is none yet.
func cutFrame(b []byte, header int) (frame, rest []byte, err error) {
	if len(b) < frameLength {
		return nil, b, nil
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < header-frameLength || n > maxFrame {
		return nil, b, fmt.Errorf("a frame of %d bytes: want %d to %d", n, header-frameLength, maxFrame)
	}
	if len(b) < frameLength+n {
		return nil, b, nil
	}
	return b[:frameLength+n], b[frameLength+n:], nil
}

// readRequest reads one; the payload is memory of its own, which the log may keep.
func readRequest(r io.Reader) (correlation uint64, payload []byte, err error) {
	var header [requestHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(header[:]))
	if n < requestHeader-frameLength || n > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes: want %d to %d", n, requestHeader-frameLength, maxFrame)
	}
	payload = make([]byte, n-(requestHeader-frameLength))
	_, err = io.ReadFull(r, payload)
	return binary.LittleEndian.Uint64(header[frameLength:]), payload, err
}
