package slab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Writer writes a snapshot: numbers little-endian, through a buffer of its own. It keeps the first error, and does
// nothing from there on.
type Writer struct {
	out *bufio.Writer
	b   [8]byte
}

// NewWriter returns a writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(w, 64<<10)} }

// Uint64 writes a number of eight bytes.
func (w *Writer) Uint64(n uint64) {
	binary.LittleEndian.PutUint64(w.b[:], n)
	w.out.Write(w.b[:8])
}

// Uint32 writes a number of four bytes.
func (w *Writer) Uint32(n uint32) {
	binary.LittleEndian.PutUint32(w.b[:], n)
	w.out.Write(w.b[:4])
}

// Uint16 writes a number of two bytes.
func (w *Writer) Uint16(n uint16) {
	binary.LittleEndian.PutUint16(w.b[:], n)
	w.out.Write(w.b[:2])
}

// Uint8 writes a byte.
func (w *Writer) Uint8(n uint8) { w.out.WriteByte(n) }

// Bytes writes bytes as they are.
func (w *Writer) Bytes(p []byte) { w.out.Write(p) }

// Write implements io.Writer, for parts that write themselves.
func (w *Writer) Write(p []byte) (int, error) { return w.out.Write(p) }

// Failed says whether a write has failed: what is left to be written can be left out.
func (w *Writer) Failed() bool {
	_, err := w.out.Write(nil) // bufio keeps the first error
	return err != nil
}

// Flush writes what is in the buffer, and returns the first error.
func (w *Writer) Flush() error { return w.out.Flush() }

// Reader reads what a Writer wrote. It keeps the first error, and returns zeros from there on.
type Reader struct {
	in  *bufio.Reader
	b   [8]byte
	Err error
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, 64<<10)} }

// Uint64 reads a number of eight bytes.
func (r *Reader) Uint64() uint64 {
	r.Bytes(r.b[:8])
	return binary.LittleEndian.Uint64(r.b[:])
}

// Uint32 reads a number of four bytes.
func (r *Reader) Uint32() uint32 {
	r.Bytes(r.b[:4])
	return binary.LittleEndian.Uint32(r.b[:])
}

// Uint16 reads a number of two bytes.
func (r *Reader) Uint16() uint16 {
	r.Bytes(r.b[:2])
	return binary.LittleEndian.Uint16(r.b[:])
}

// Uint8 reads a byte.
func (r *Reader) Uint8() uint8 {
	r.Bytes(r.b[:1])
	return r.b[0]
}

// Bytes fills p, with zeros when that fails, and returns it.
func (r *Reader) Bytes(p []byte) []byte {
	if r.Err == nil {
		_, r.Err = io.ReadFull(r.in, p)
	}
	if r.Err != nil {
		clear(p)
	}
	return p
}

// Read implements io.Reader, for parts that read themselves. Their errors are theirs to keep (Fail).
func (r *Reader) Read(p []byte) (int, error) {
	if r.Err != nil {
		return 0, r.Err
	}
	return r.in.Read(p)
}

// Fail keeps an error, if it is one and unless there is one already.
func (r *Reader) Fail(err error) {
	if r.Err == nil {
		r.Err = err
	}
}

// ErrGoesOn says that there is more than was written.
var ErrGoesOn = errors.New("slab: bytes behind the end")

// End returns the first error; bytes that were not read are one.
func (r *Reader) End() error {
	if r.Err != nil {
		return r.Err
	}
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return ErrGoesOn
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
