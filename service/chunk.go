package service

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot is a sequence of sections, each cut into chunks (docs/journal-format.md): checksum u32 | length u32 |
// section u8 | last u8 | service u16 | payload. Every chunk is full but the last of its section.
const (
	chunkHeader = 12
	chunkBytes  = 64 << 10 // payload of a full chunk
)

// section says what a chunk holds. Sections come in this order; those of services by their numbers.
type section uint8

const (
	sectionHead section = 1 + iota
	sectionSessions
	sectionTimers
	sectionService
	sectionEnd
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunkWriter cuts what is written into chunks, through one buffer. The first error stays and ends everything.
type chunkWriter struct {
	to      io.Writer
	stop    func() error // asked before each chunk; nil: nothing stops it
	pause   func() error // called behind each full chunk that is not a section's last; nil: writing never pauses
	buf     []byte       // one chunk
	used    int          // of buf
	sum     uint32       // of the chunk before: the next one's checksum begins with it
	bytes   uint64       // given to `to`
	section section
	service uint16
	scratch [8]byte
	err     error
}

// begin starts a snapshot.
func (w *chunkWriter) begin(to io.Writer) {
	if w.buf == nil {
		w.buf = make([]byte, chunkHeader+chunkBytes)
	}
	w.to, w.used, w.sum, w.bytes, w.err = to, chunkHeader, 0, 0, nil
}

// enter starts a section; end ends it.
func (w *chunkWriter) enter(s section, service uint16) { w.section, w.service = s, service }

func (w *chunkWriter) end() { w.flush(true) }

// Write implements io.Writer, for services.
func (w *chunkWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if w.used == len(w.buf) {
			w.flush(false)
		}
		if w.err != nil {
			return len(p) - len(rest), w.err
		}
		n := copy(w.buf[w.used:], rest)
		w.used += n
		rest = rest[n:]
	}
	return len(p), w.err
}

func (w *chunkWriter) flush(last bool) {
	if w.err == nil && w.stop != nil {
		w.err = w.stop()
	}
	if w.err != nil {
		return
	}
	b := w.buf[:w.used]
	binary.LittleEndian.PutUint32(b[4:], uint32(w.used-chunkHeader))
	b[8], b[9] = byte(w.section), 0
	if last {
		b[9] = 1
	}
	binary.LittleEndian.PutUint16(b[10:], w.service)
	w.sum = crc32.Update(w.sum, castagnoli, b[4:])
	binary.LittleEndian.PutUint32(b, w.sum)
	w.used = chunkHeader
	var n int
	if n, w.err = w.to.Write(b); w.err == nil && n < len(b) {
		w.err = io.ErrShortWrite
	}
	w.bytes += uint64(n)
	if w.err == nil && !last && w.pause != nil {
		w.err = w.pause()
	}
}

func (w *chunkWriter) uint8(v uint8) {
	w.scratch[0] = v
	w.Write(w.scratch[:1])
}

func (w *chunkWriter) uint16(v uint16) {
	binary.LittleEndian.PutUint16(w.scratch[:], v)
	w.Write(w.scratch[:2])
}

func (w *chunkWriter) uint32(v uint32) {
	binary.LittleEndian.PutUint32(w.scratch[:], v)
	w.Write(w.scratch[:4])
}

func (w *chunkWriter) uint64(v uint64) {
	binary.LittleEndian.PutUint64(w.scratch[:], v)
	w.Write(w.scratch[:8])
}

// chunkReader reads what chunkWriter wrote, and trusts nothing: what it hands out has passed its chunk's checksum. The
// first error stays; what is read after it is zero.
type chunkReader struct {
	from    io.Reader
	buf     []byte
	off     int // of buf: what was not handed out yet
	end     int
	at      uint64 // bytes read from `from`
	sum     uint32 // of the chunk before
	section section
	service uint16
	last    bool // the chunk at hand ends its section
	header  [chunkHeader]byte
	scratch [8]byte // of a number, which may lie in two chunks
	err     error
}

func newChunkReader(from io.Reader) *chunkReader {
	return &chunkReader{from: from, buf: make([]byte, chunkBytes)}
}

// fail keeps the first error.
func (r *chunkReader) fail(format string, a ...any) error {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrSnapshot}, a...)...)
	}
	return r.err
}

// enter comes to a section, which must be that one.
func (r *chunkReader) enter(s section, service uint16) error {
	if r.err == nil {
		r.section, r.service = s, service
		r.next()
	}
	return r.err
}

// leave ends the section at hand, all of which must have been read.
func (r *chunkReader) leave() error {
	if r.err == nil && r.off == r.end && !r.last {
		r.next()
	}
	if r.err == nil && (r.off < r.end || !r.last) {
		r.fail("section %d of service %d goes on where it must end, %d bytes into the snapshot", r.section, r.service, r.at)
	}
	return r.err
}

// next reads the next chunk of the section at hand.
func (r *chunkReader) next() {
	le := binary.LittleEndian
	head := r.header[:]
	r.off, r.end = 0, 0
	if !r.full(head) {
		return
	}
	length := le.Uint32(head[4:])
	if length > chunkBytes || head[9] > 1 || head[9] == 0 && length < chunkBytes {
		r.fail("a chunk of %d bytes, %d bytes into it", length, r.at-chunkHeader)
		return
	}
	if section(head[8]) != r.section || le.Uint16(head[10:]) != r.service {
		r.fail("a chunk of section %d, service %d, where section %d, service %d must be, %d bytes into it", head[8],
			le.Uint16(head[10:]), r.section, r.service, r.at-chunkHeader)
		return
	}
	want, sum := le.Uint32(head), crc32.Update(r.sum, castagnoli, head[4:])
	r.last = head[9] == 1
	if !r.full(r.buf[:length]) {
		return
	}
	if r.sum = crc32.Update(sum, castagnoli, r.buf[:length]); r.sum != want {
		r.fail("checksum %08x where %08x must be, in the chunk that ends %d bytes into it", want, r.sum, r.at)
		return
	}
	r.end = int(length)
}

// full fills b from below the chunks.
func (r *chunkReader) full(b []byte) bool {
	n, err := io.ReadFull(r.from, b)
	r.at += uint64(n)
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		r.fail("it is cut short, %d bytes into it", r.at)
	default:
		r.fail("read, %d bytes into it: %w", r.at, err)
	}
	return false
}

// Read implements io.Reader, for services: it ends where their section ends.
func (r *chunkReader) Read(p []byte) (int, error) {
	if r.err == nil && r.off == r.end && !r.last {
		r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.off == r.end {
		return 0, io.EOF
	}
	n := copy(p, r.buf[r.off:r.end])
	r.off += n
	return n, nil
}

// bytes fills b with the next bytes of the section at hand, or with zeros.
func (r *chunkReader) bytes(b []byte) []byte {
	if _, err := io.ReadFull(r, b); err != nil {
		clear(b)
		if r.err == nil {
			r.fail("section %d of service %d ends too early, %d bytes into it", r.section, r.service, r.at)
		}
	}
	return b
}

func (r *chunkReader) uint8() uint8   { return r.bytes(r.scratch[:1])[0] }
func (r *chunkReader) uint16() uint16 { return binary.LittleEndian.Uint16(r.bytes(r.scratch[:2])) }
func (r *chunkReader) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(r.scratch[:4])) }
func (r *chunkReader) uint64() uint64 { return binary.LittleEndian.Uint64(r.bytes(r.scratch[:8])) }

// flag is a byte that is 0 or 1.
func (r *chunkReader) flag() bool {
	v := r.uint8()
	if v > 1 {
		r.fail("a flag is %d, %d bytes into it", v, r.at)
	}
	return v == 1
}

// finish says that nothing may follow.
func (r *chunkReader) finish() error {
	if r.err == nil {
		if n, err := io.ReadFull(r.from, r.scratch[:1]); n != 0 {
			r.fail("it goes on behind its end, %d bytes into it", r.at)
		} else if !errors.Is(err, io.EOF) {
			r.fail("read, %d bytes into it: %w", r.at, err)
		}
	}
	return r.err
}
