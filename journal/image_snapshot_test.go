package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// imageSnapshots has the process of imageDir publish snapshots, drop log, and now and then install a snapshot.
const imageSnapshots = "LOCKSTEP_JOURNAL_TEST_IMAGE_SNAPSHOTS"

// imageState is the data of the snapshot at a position.
func imageState(at wire.Position) []byte {
	b := make([]byte, 50_000+int(at)%100_000)
	for i := range b {
		b[i] = byte(i*31 + int(at)>>3 + i>>9)
	}
	return b
}

func publishState(store *snapshot.Store, chain wire.Chain) error {
	w, err := store.Create(chain.Position)
	if err != nil {
		return err
	}
	if _, err := w.Write(imageState(chain.Position)); err != nil {
		return err
	}
	if err := w.Close(snapshot.Manifest{Chain: chain}); err != nil {
		return err
	}
	_, err = store.Publish(w)
	return err
}

// keeping is a process that appends, and does with snapshots and old log what a node does.
type keeping struct {
	*core
	fs    vfs.FS
	o     Options
	store *snapshot.Store
	tell  *os.File
	p     told
}

func (k *keeping) must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// snapshotAndTell appends, publishes, drops and installs, until it is killed.
func snapshotAndTell(root string) {
	k := &keeping{fs: &vfs.Below{Root: root}}
	var err error
	k.tell, err = os.OpenFile(os.Getenv(imageTell), os.O_RDWR|os.O_CREATE, 0o644)
	k.must(err)
	k.o = testOptions(k.fs)
	k.o.Buffered = os.Getenv(imageBuffered) != ""
	k.store, err = snapshot.Open(k.fs, testDir, testCluster)
	k.must(err)
	var t testing.B
	k.core = startCoreWith(&t, k.o)
	for i := 1; ; i++ {
		for n := range 1 + i%9 {
			k.append((i*37 + n*511) % 6000)
		}
		k.await(k.chain.Position)
		k.p.durable = uint64(k.durable)
		k.must(k.p.put(k.tell))
		if uint64(k.chain.Position) > k.p.snapshot+300_000 {
			k.publish(k.chain)
			k.drop()
		}
		if i%200 == 0 {
			k.install(&t)
		}
	}
}

func (k *keeping) publish(chain wire.Chain) {
	k.must(publishState(k.store, chain))
	k.p.snapshot = uint64(chain.Position)
	k.must(k.p.put(k.tell))
}

// drop keeps two snapshots and the log from the older one on.
func (k *keeping) drop() {
	list := k.store.List()
	if len(list) < 2 {
		return
	}
	for i := range list[:len(list)-2] {
		k.must(k.store.Remove(list[i].Position()))
	}
	_, _, err := DropBelow(k.fs, testDir, list[len(list)-2].Position())
	k.must(err)
}

// install has the log begin anew at a snapshot that it does not reach.
func (k *keeping) install(t testing.TB) {
	k.core.stop()
	chain := k.chain
	chain.Position += 1 << 20
	chain.Sequence += 1000
	chain.Timestamp += 1000
	chain.Checksum ^= 0x5a5a5a5a
	k.must(WriteInstall(k.fs, testDir, chain.Position))
	k.publish(chain)
	k.p.durable = uint64(chain.Position)
	k.must(k.p.put(k.tell))
	o := k.o
	o.Base, o.Install = &Base{Chain: chain}, true
	k.core = startCoreWith(t, o)
	k.must(RemoveInstall(k.fs, testDir))
}

// recoverSnapshots opens a directory as a node does: from the newest snapshot, which is whole and fits the log, and holds
// it against what was promised.
func recoverSnapshots(t *testing.T, fs vfs.FS, promised told) {
	t.Helper()
	store, err := snapshot.Open(fs, testDir, testCluster)
	if err != nil {
		t.Fatal(err)
	}
	list := store.List()
	if len(store.Damage()) > 0 || len(list) == 0 && promised.snapshot > 0 {
		t.Fatalf("%d snapshots, damaged: %v; promised: %+v", len(list), store.Damage(), promised)
	}
	for i := range list {
		r, err := store.OpenData(list[i].Position())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(b, imageState(list[i].Position())) {
			t.Fatalf("the snapshot at %d: %v", list[i].Position(), err)
		}
	}
	var base *Base
	install, asked, err := ReadInstall(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list); n > 0 {
		base = &Base{Chain: list[n-1].Chain}
		if uint64(base.Chain.Position) < promised.snapshot {
			t.Fatalf("the newest snapshot is at %d; promised: %+v", base.Chain.Position, promised)
		}
	}
	o := testOptions(fs)
	o.Base, o.Install = base, asked && base != nil && base.Chain.Position == install
	j, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if rec.Outcome.Forgot() || uint64(rec.Chain.Position) < promised.durable {
		t.Fatalf("%v; promised: %+v", rec, promised)
	}
	rd := newReader(t, fs, rec.Chain.Position)
	defer rd.Close()
	if err := rd.Seek(rec.Floor); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = rd.NextRaw()
	}
	if !errors.Is(err, io.EOF) || rd.Chain() != rec.Chain {
		t.Fatalf("read back from %d to %d of %d: %v", rec.Floor, rd.Position(), rec.Chain.Position, err)
	}
}
