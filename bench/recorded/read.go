package recorded

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lockstep/service/orderbook/match"
)

// Format is how a flow is written.
type Format string

// The formats. Auto looks at the file: ITCH begins with a two-byte length, which is below 256.
const (
	Auto Format = "auto"
	CSV  Format = "csv"
	ITCH Format = "itch"
)

// Options say how to read a flow. Zero fields take the default.
type Options struct {
	Format   Format           // default Auto
	Messages int              // to read, at most; default 1,000,000, at most MaxMessages
	First    match.Instrument // number that the first instrument gets; default 17, the first beyond those a book has from the start
}

// DefaultFirst is behind the instruments that a book has from the start.
const DefaultFirst = 17

// highestInstrument is that of a book with the default limits.
const highestInstrument = 4096

func (o *Options) defaults() error {
	if o.Format == "" {
		o.Format = Auto
	}
	if o.Messages == 0 {
		o.Messages = 1_000_000
	}
	if o.First == 0 {
		o.First = DefaultFirst
	}
	switch {
	case o.Format != Auto && o.Format != CSV && o.Format != ITCH:
		return fmt.Errorf("format %q of a recorded flow: want auto, csv or itch", o.Format)
	case o.Messages < 1 || o.Messages > MaxMessages:
		return fmt.Errorf("%d messages of a recorded flow: want 1 to %d", o.Messages, MaxMessages)
	case o.First > highestInstrument:
		return fmt.Errorf("first instrument %d of a recorded flow: want 1 to %d", o.First, highestInstrument)
	}
	return nil
}

// ReadFile reads a file, compressed by gzip or not.
func ReadFile(path string, o Options) (*Flow, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recorded flow: %w", err)
	}
	defer file.Close()
	return Read(file, filepath.Base(path), o)
}

// errLarge says that a file is beyond the limit.
var errLarge = fmt.Errorf("%w: more than %d bytes", ErrFormat, int64(MaxBytes))

// limited fails, where io.LimitReader ends.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, errLarge
	}
	return n, err
}

// Read reads a flow; name is what errors call it.
func Read(r io.Reader, name string, o Options) (*Flow, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	b := bufio.NewReaderSize(r, 1<<16)
	if head, _ := b.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		unpacked, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrFormat, name, err)
		}
		b = bufio.NewReaderSize(unpacked, 1<<16)
	}
	b = bufio.NewReaderSize(&limited{b, MaxBytes}, 1<<16)
	head, err := b.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w %s: %w", ErrFormat, name, err)
	}
	if o.Format == Auto {
		if o.Format = CSV; len(head) > 0 && head[0] == 0 {
			o.Format = ITCH
		}
	}
	in := newIntake(name, o.Format, o.Messages)
	if o.Format == ITCH {
		err = in.readITCH(b)
	} else {
		err = in.readCSV(b)
	}
	if err != nil {
		return nil, err
	}
	if most := highestInstrument - int(o.First) + 1; len(in.instruments) > most {
		return nil, fmt.Errorf("recorded flow %s has %d instruments: from number %d on there is room for %d", name,
			len(in.instruments), o.First, most)
	}
	return in.finish(o.First)
}
