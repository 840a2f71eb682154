package service_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

// begin has a driver begin from bytes that are said to be a snapshot.
func begin(t testing.TB, b []byte, change func(*rigOptions)) (*rig, error) {
	s := newShelf()
	o := rigOptions{ringBytes: 64 << 10, egressBytes: 256 << 10, rich: true, limits: smallLimits,
		base: func(wire.Position) (io.ReadCloser, error) { return &body{bytes.NewReader(b), s}, nil }}
	if change != nil {
		change(&o)
	}
	r, err := tryRig(t, o)
	if s.closed == 0 && o.base != nil {
		t.Error("the snapshot is not closed")
	}
	return r, err
}

// Whatever is wrong with the bytes of a snapshot, a driver says so.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	_, shelf, at := stocked(t, rigOptions{})
	whole := shelf.done[at]
	if _, err := begin(t, whole, nil); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if _, err := begin(t, b, nil); !errors.Is(err, service.ErrSnapshot) {
			t.Errorf("%s %d of %d: %v", what, at, len(whole), err)
		}
	}
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 1 << (i % 8)
		refused("a bit flipped in byte", i, b)
	}
	for n := 0; n < len(whole); n += 1 + n/100 {
		refused("cut to byte", n, whole[:n])
	}
	refused("goes on behind byte", len(whole), append(slices.Clone(whole), 0))
	refused("twice, from byte", len(whole), append(slices.Clone(whole), whole...))
}

// Checksums that are right do not make a snapshot of it.
func TestUnusableSnapshotsAreRefused(t *testing.T) {
	_, shelf, at := stocked(t, rigOptions{})
	whole := shelf.done[at]
	kept, name := bytes.Index(whole, []byte("kept, too")), bytes.Index(whole, []byte("client"))
	if name < 33 || kept < 0 || bytes.LastIndex(whole, []byte{4, 1, 1, 0}) < 0 {
		t.Fatalf("%q", whole)
	}
	for what, change := range map[string]func([]byte){
		"magic":                 func(b []byte) { b[12]++ },
		"format":                func(b []byte) { b[20]++ },
		"position 0":            func(b []byte) { clear(b[28:36]) },
		"position between":      func(b []byte) { b[28]++ },
		"a term behind":         func(b []byte) { b[56]++ },
		"chained hash":          func(b []byte) { b[60]++ },
		"digest":                func(b []byte) { b[68]++ },
		"verified ahead":        func(b []byte) { b[83]++ },
		"limits beyond all":     func(b []byte) { b[99]++ },
		"too many terms":        func(b []byte) { b[126]++ },
		"a response's length":   func(b []byte) { b[kept-4]++ },
		"a response too long":   func(b []byte) { b[kept-2]++ },
		"more sessions":         func(b []byte) { b[name-33]++ },
		"too many sessions":     func(b []byte) { b[name-33] = 99 },
		"no session id":         func(b []byte) { b[name-29]-- },
		"another session id":    func(b []byte) { b[name-22]++; b[bytes.LastIndex(b, []byte("client"))-22]++ },
		"another token":         func(b []byte) { b[name-21]++ },
		"another window":        func(b []byte) { b[name-13]++ },
		"another correlation":   func(b []byte) { b[name-9]++ },
		"a name too long":       func(b []byte) { b[name-1] = 65 },
		"another name":          func(b []byte) { b[name]++ },
		"more without effect":   func(b []byte) { b[name+6] = 99 },
		"acknowledged too much": func(b []byte) { b[name+6+8+10] = 99 },
		"another number":        func(b []byte) { b[name+6+8+10]++; b[name+6+8+10+8]++ },
		"too many kept":         func(b []byte) { b[name+6+8+10+8+1] = 1 },
		"another deadline":      func(b []byte) { b[bytes.LastIndex(b, binary.LittleEndian.AppendUint64(nil, 1000))]++ },
		"the echo's state":      func(b []byte) { b[bytes.LastIndex(b, []byte{4, 1, 1, 0})+4]++ },
		"a flag that is none":   func(b []byte) { b[kept-5] = 2 },
	} {
		b := slices.Clone(whole)
		change(b)
		service.Reseal(b)
		if bytes.Equal(b, whole) {
			t.Fatalf("%s: nothing changed", what)
		}
		if _, err := begin(t, b, nil); !errors.Is(err, service.ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A snapshot of other limits, services or behaviour is refused as that, and does not count as damaged.
func TestSnapshotsOfOthersAreRefusedByName(t *testing.T) {
	r, shelf, _ := stocked(t, rigOptions{version: 5})
	r.config(4)
	at := r.snapshot(take)
	r.do()
	whole := shelf.done[at]
	if _, err := begin(t, whole, func(o *rigOptions) { o.version = 4 }); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*rigOptions){
		"limits":            func(o *rigOptions) { o.limits.Sessions++ },
		"kept responses":    func(o *rigOptions) { o.limits.KeptResponses *= 2 },
		"kept bytes":        func(o *rigOptions) { o.limits.KeptBytes *= 2 },
		"timers":            func(o *rigOptions) { o.limits.Timers-- },
		"services":          func(o *rigOptions) { o.rich = false },
		"behaviour version": func(o *rigOptions) { o.version = 3 },
		"options":           func(o *rigOptions) { o.book = orderbook.Options{Instruments: 3} },
	} {
		_, err := begin(t, whole, func(o *rigOptions) { o.version = 4; change(o) })
		if !errors.Is(err, service.ErrUnsuited) || errors.Is(err, service.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if said := strings.ToLower(strings.ReplaceAll(err.Error(), " ", "")); !strings.Contains(said, strings.ReplaceAll(name, " ", "")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the way to the bytes fails with is told as that.
func TestBaseThatCannotBeReadIsAnError(t *testing.T) {
	wrong := errors.New("the disk")
	_, shelf, at := stocked(t, rigOptions{})
	for n := range 3 {
		half := shelf.done[at][:n*len(shelf.done[at])/3]
		_, err := tryRig(t, rigOptions{rich: true, limits: smallLimits, base: func(wire.Position) (io.ReadCloser, error) {
			return &body{io.MultiReader(bytes.NewReader(half), &failing{wrong}), shelf}, nil
		}})
		if !errors.Is(err, wrong) {
			t.Errorf("%v", err)
		}
	}
	if _, err := tryRig(t, rigOptions{base: func(wire.Position) (io.ReadCloser, error) { return nil, wrong }}); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzRestore gives a driver arbitrary bytes to begin from, resealed as well so that the fuzzer reaches what lies behind the
// checksums. What it takes it goes on with, and writes again.
func FuzzRestore(f *testing.F) {
	r, shelf, at := stocked(f, rigOptions{})
	f.Add(shelf.done[at])
	r.message(1, 5, scriptedID, poison)
	r.skip(r.chain.Position - 72)
	r.close(2)
	at = r.snapshot(take)
	r.commit()
	for r.progress.Applied() < at {
		if _, err := r.driver.DoWork(0); err != nil {
			f.Fatal(err)
		}
	}
	r.run()
	f.Add(shelf.done[at])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		for range 2 {
			if r, err := begin(t, b, nil); err == nil {
				goOn(t, r)
			} else if !errors.Is(err, service.ErrSnapshot) && !errors.Is(err, service.ErrUnsuited) {
				t.Fatal(err)
			}
			service.Reseal(b)
		}
	})
}

// goOn has a driver that began from a snapshot write it again, and do a little of everything.
func goOn(t *testing.T, r *rig) {
	var first, second bytes.Buffer
	if err := r.driver.WriteSnapshot(&first); err != nil {
		t.Fatal(err)
	}
	h, err := service.ReadSnapshotHead(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	again, err := begin(t, first.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.driver.WriteSnapshot(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("restored, it writes other bytes (%v)", err)
	}
	if h.Chain.Position > 1<<60 || h.Chain.Timestamp > 1<<60 || h.Chain.Sequence > 1<<60 || h.Chain.Term > 1<<30 {
		return // no log goes so far
	}
	r.chain = h.Chain
	r.ring.Start(uint64(r.chain.Position), uint64(r.chain.Position))
	for id := range wire.SessionID(3) {
		r.open(id)
		r.acks(id, 1)
		for correlation := range uint64(9) {
			r.message(id, correlation, uint16(correlation%5), setting(uint64(id), correlation, 1))
		}
	}
	r.progress.SetCommit(r.chain.Position)
	for range 200 {
		if _, err := r.driver.DoWork(0); err != nil {
			t.Fatal(err)
		}
	}
	if r.driver.Status().Halt == nil {
		r.final()
	}
}
