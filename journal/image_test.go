package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// A power cut on the real kernel: a process writes a journal on an ext4 file system in a loop-mounted image. It is
// stopped; when no I/O is in flight the live image is copied: that is what a disk would hold had the power gone. The
// copy is mounted and opened. What the process had reported as durable must be there, and nothing that it had cut.
//
// The copy has lost the page cache above the image, as after a power cut; what a device's own cache loses or reorders is
// the part of the crash tests over vfs.Mem.

const (
	// imageDir in the environment makes this test binary a process that writes a journal there until it is killed.
	imageDir = "LOCKSTEP_JOURNAL_TEST_IMAGE"
	// imageTell is where it says what it was promised, imageBuffered that it writes through the page cache.
	imageTell     = "LOCKSTEP_JOURNAL_TEST_IMAGE_TELL"
	imageBuffered = "LOCKSTEP_JOURNAL_TEST_IMAGE_BUFFERED"
	// imageRounds is how many power cuts there are; default 6.
	imageRounds = "LOCKSTEP_IMAGE_ROUNDS"

	imageBytes = 64 << 20
	imageLog   = 12 << 20 // the log is cut back when it is so long
)

// told is what the writing process has been promised so far.
type told struct {
	durable    uint64 // everything below is durable
	cutAt      uint64 // what stood here and behind it before the generation is gone
	generation uint64
	term       uint64 // of the last vote stored
	snapshot   uint64 // position of the newest one that is published
}

func (p *told) put(f *os.File) error {
	var b [40]byte
	for i, v := range []uint64{p.durable, p.cutAt, p.generation, p.term, p.snapshot} {
		binary.LittleEndian.PutUint64(b[i*8:], v)
	}
	_, err := f.WriteAt(b[:], 0)
	return err
}

func readTold(t *testing.T, name string) told {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || len(b) < 40 {
		return told{}
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i*8:]) }
	return told{at(0), at(1), at(2), at(3), at(4)}
}

// writeAndTell appends, votes and cuts. Records carry the generation that they were written in.
func writeAndTell(root string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	tell, err := os.OpenFile(os.Getenv(imageTell), os.O_RDWR|os.O_CREATE, 0o644)
	fail(err)
	fs := &vfs.Below{Root: root}
	votes, err := OpenVote(fs, testDir)
	fail(err)
	o := testOptions(fs)
	o.Buffered = os.Getenv(imageBuffered) != ""
	var t testing.B
	c := startCoreWith(&t, o)
	p := told{generation: c.generation()}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	var back wire.Chain // where the log is cut back to
	for i := 0; ; i++ {
		for range 1 + rng.IntN(12) {
			payload := make([]byte, 8+rng.IntN(3000))
			binary.LittleEndian.PutUint64(payload, p.generation)
			c.appendPayload(payload)
		}
		c.await(c.chain.Position)
		p.durable = uint64(c.durable)
		fail(p.put(tell))
		if i%20 == 0 {
			fail(votes.Store(wire.Term(p.term+1), 1))
			p.term++
			fail(p.put(tell))
		}
		if c.chain.Position < imageLog/2 {
			back = c.chain
		}
		if c.chain.Position > imageLog {
			p.durable = uint64(back.Position)
			fail(p.put(tell)) // a promise that is about to be taken back is none
			c.cutTo(back)
			p.cutAt, p.generation = uint64(back.Position), c.generation()
			fail(p.put(tell))
		}
	}
}

// cutTo cuts the log back to a chain that it has had.
func (c *core) cutTo(at wire.Chain) {
	c.cutDone = false
	if !c.port.Cut(at.Position, c.generation()+1) {
		c.t.Fatal("a cut is under way")
	}
	for !c.cutDone {
		c.wait()
	}
	c.ring.Reset(uint64(at.Position))
	c.chain = at
}

// TestP2P9CrashImage cuts the power of a journal at work on ext4, again and again; of one that votes and cuts, and of one
// that publishes snapshots, drops old log, and has the log begin at a snapshot.
func TestP2P9CrashImage(t *testing.T) {
	if testing.Short() {
		t.Skip("power cuts on loop-mounted images take seconds")
	}
	rounds := 6
	if text := os.Getenv(imageRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	needLoop(t)
	for _, mode := range []string{"direct", "buffered", "direct-snapshots", "buffered-snapshots"} {
		t.Run(mode, func(t *testing.T) {
			im := newDiskImage(t)
			im.snapshots = strings.HasSuffix(mode, "-snapshots")
			if err := Format(&vfs.Below{Root: im.mounted}, testDir, testIdentity); err != nil {
				t.Fatal(err)
			}
			im.start(t, strings.HasPrefix(mode, "buffered"))
			var last told
			moved := 0
			for round := range (rounds + 1) / 2 {
				time.Sleep(time.Duration(40+round*37%160) * time.Millisecond)
				at := im.powerCut(t, round)
				if at != last {
					moved++
				}
				last = at
			}
			if moved == 0 {
				t.Error("the journal did not move")
			}
			t.Logf("%d power cuts; at the last: %+v; %d copies taken again because I/O was in flight", (rounds+1)/2, last,
				im.again)
		})
	}
}

// needLoop skips where an image cannot be mounted.
func needLoop(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop mounts need root")
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command("losetup", "--find").CombinedOutput(); err != nil {
		t.Skipf("no loop device: %s", out)
	}
}

// diskImage is an ext4 file system in a file.
type diskImage struct {
	dir     string // beside the image: the copies, what the process says
	file    string
	device  string
	mounted string
	child   *exec.Cmd
	again   int

	snapshots bool // the process is snapshotAndTell
}

func newDiskImage(t *testing.T) *diskImage {
	t.Helper()
	base := "" // memory, if there is any: it is the cheaper disk, and no other than the one below the page cache
	var st syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &st) == nil && uint64(st.Bavail)*uint64(st.Bsize) > 4*imageBytes {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "lockstep-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	im := &diskImage{dir: dir, file: filepath.Join(dir, "disk")}
	if err := os.WriteFile(im.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(im.file, imageBytes); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", im.file).CombinedOutput(); err != nil {
		t.Skipf("no ext4: %s", out)
	}
	im.device, im.mounted = mountImage(t, im.file, filepath.Join(dir, "live"))
	return im
}

// mountImage mounts an image until the end of the test.
func mountImage(t *testing.T, file, at string) (device, mounted string) {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %s", out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "--detach", device) })
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "ext4", device, at).CombinedOutput(); err != nil {
		t.Skipf("mount: %s", out)
	}
	t.Cleanup(func() { run(t, "umount", at) })
	return device, at
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}

// start starts the process that writes; it is killed before the image is unmounted.
func (im *diskImage) start(t *testing.T, buffered bool) {
	t.Helper()
	im.child = exec.Command(os.Args[0])
	im.child.Env = append(os.Environ(), imageDir+"="+im.mounted, imageTell+"="+im.tell())
	if buffered {
		im.child.Env = append(im.child.Env, imageBuffered+"=1")
	}
	if im.snapshots {
		im.child.Env = append(im.child.Env, imageSnapshots+"=1")
	}
	im.child.Stderr = os.Stderr
	if err := im.child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = im.child.Process.Kill()
		_ = im.child.Wait() // it was killed
	})
	for deadline := time.Now().Add(patience); readTold(t, im.tell()).durable == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the journal does not get going")
		}
	}
}

func (im *diskImage) tell() string { return filepath.Join(im.dir, "told") }

// powerCut copies the disk at an instant at which the process runs, and recovers the copy.
func (im *diskImage) powerCut(t *testing.T, round int) told {
	t.Helper()
	if err := im.child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	im.awaitStopped(t)
	copied := filepath.Join(im.dir, fmt.Sprint("copy", round))
	for {
		im.awaitIdle(t)
		before := im.ioCounts(t)
		copyFile(t, im.file, copied)
		if im.ioCounts(t) == before {
			break
		}
		im.again++ // the kernel wrote meanwhile: that copy is of no instant
	}
	promised := readTold(t, im.tell())
	if err := im.child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Run(fmt.Sprint("cut", round), func(t *testing.T) {
		_, mounted := mountImage(t, copied, copied+".mounted")
		if fs := (&vfs.Below{Root: mounted}); im.snapshots {
			recoverSnapshots(t, fs, promised)
		} else {
			recoverCopy(t, fs, promised)
		}
	})
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	return promised
}

// awaitStopped waits until every thread of the process stands: one in a system call first finishes it.
func (im *diskImage) awaitStopped(t *testing.T) {
	t.Helper()
	im.await(t, "the process stands", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", im.child.Process.Pid))
		for _, name := range stats {
			b, err := os.ReadFile(name)
			_, rest, ok := strings.Cut(string(b), ") ")
			if err != nil || !ok || rest[0] != 'T' {
				return false
			}
		}
		return err == nil && len(stats) > 0
	})
}

// awaitIdle waits until the loop device has nothing in flight.
func (im *diskImage) awaitIdle(t *testing.T) {
	t.Helper()
	im.await(t, "the device is idle", func() bool {
		b, err := os.ReadFile("/sys/block/" + filepath.Base(im.device) + "/inflight")
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(b))
		return len(fields) == 2 && fields[0] == "0" && fields[1] == "0"
	})
}

// ioCounts are the device's counts of what was done and is in flight, but for times.
func (im *diskImage) ioCounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/sys/block/" + filepath.Base(im.device) + "/stat")
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 9 {
		t.Fatal(len(fields), err)
	}
	return strings.Join([]string{fields[4], fields[6], fields[8]}, " ") // writes, sectors written, in flight
}

func (im *diskImage) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// recoverCopy opens the directory as a node does at its start, and holds it against what was promised.
func recoverCopy(t *testing.T, fs vfs.FS, promised told) {
	t.Helper()
	votes, err := OpenVote(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	if term, _ := votes.Load(); uint64(term) < promised.term {
		t.Errorf("the vote in term %d is lost: the file says %d", promised.term, term)
	}
	j, rec, err := Open(testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(j.Close(), votes.Close()); err != nil {
			t.Error(err)
		}
	}()
	if rec.Outcome.Forgot() || uint64(rec.Chain.Position) < promised.durable {
		t.Fatalf("%v; promised: %+v", rec, promised)
	}
	rd, err := NewReader(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	rd.SetLimit(rec.Chain.Position)
	if err := rd.SeekFrom(wire.Position(promised.cutAt)); err != nil {
		t.Fatal(err)
	}
	for {
		r, payload, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if generation := binary.LittleEndian.Uint64(payload); generation < promised.generation {
			t.Fatalf("the record at %d is of generation %d: it was cut; promised: %+v", r.Position, generation, promised)
		}
	}
}
