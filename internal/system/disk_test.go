package system

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/lab"
	"lockstep/node"
)

// mount mounts something at dir until the end of the test: in this process's own mount namespace.
func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mount %v: %v: %s", args, err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // it may be unmounted already
}

// fill takes all the space of the file system that a node's directory is on, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) >= 4096; {
		_, err := f.Write(chunk)
		if errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// TestP8ShouldGoOnWhenADiskIsFull fills the disk of a follower, then that of the leader.
func TestP8ShouldGoOnWhenADiskIsFull(t *testing.T) {
	needRoot(t, "file systems are mounted")
	o := lab.Options{Transport: "xdp", XDPMode: "generic", Dir: t.TempDir(), Override: smallRing}
	for i := range 3 {
		mount(t, filepath.Join(o.Dir, fmt.Sprintf("node%d", i+1)), "-t", "tmpfs", "-o", "size=192m", "tmpfs")
	}
	c := up(t, o)
	f := c.start(0, flowOptions{Payload: 1000, Rate: 1500, Window: 64})
	f.awaitAcked(100)
	for _, role := range []string{"follower", "leader"} {
		victim := c.pick(role)
		free := fill(t, c.node(victim).Dir)
		c.awaitStatus(victim, "says that its disk is full", func(s *node.Status) bool { return s.DiskFull })
		leader := c.leaderBut(victim)
		c.await("the others go on without it", func() bool {
			s, ok := c.status(leader)
			return ok && s.Commit > c.counter(victim, "lockstep_journal_durable_position")+3<<20
		})
		f.awaitAcked(100)
		if log := c.log(victim); !strings.Contains(log, "disk full") {
			t.Errorf("node %d does not say that its disk is full", victim)
		}
		free()
		c.awaitStatus(victim, "has space again", func(s *node.Status) bool { return !s.DiskFull })
		c.follows(victim)
	}
	f.awaitAcked(100)
	c.prove()
}

// breakDisk has the kernel answer EIO to everything that is asked of the ext4 file system at dir, until it is mounted
// anew, and lose what it has not written yet.
func breakDisk(t *testing.T, dir string) {
	t.Helper()
	const (
		ext4Shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush   = 2
	)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), ext4Shutdown, noLogFlush); err != nil {
		t.Skipf("this kernel's ext4 cannot be broken: %v", err)
	}
}

// needExt4 skips a test where file systems cannot be made and mounted.
func needExt4(t *testing.T) {
	t.Helper()
	needRoot(t, "file systems are mounted")
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("mkfs.ext4 is not installed (package e2fsprogs)")
	}
}

// ext4Each mounts a file system of its own at the directory of each of three nodes, and returns their images.
func ext4Each(t *testing.T, dir string) map[int]string {
	t.Helper()
	images := map[int]string{}
	for id := 1; id <= 3; id++ {
		images[id] = filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(images[id], nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(images[id], 256<<20); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", images[id]).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.ext4: %v: %s", err, out)
		}
		mount(t, filepath.Join(dir, fmt.Sprintf("node%d", id)), "-o", "loop", images[id])
	}
	return images
}

// TestP6L8ShouldStopWhenItsDiskFails breaks the disk of the leader, then that of a follower; each is put right and its
// node started again.
func TestP6L8ShouldStopWhenItsDiskFails(t *testing.T) {
	needExt4(t)
	o := lab.Options{Transport: "xdp", XDPMode: "generic", Dir: t.TempDir(), Override: smallRing}
	images := ext4Each(t, o.Dir)
	c := up(t, o)
	f := c.start(0, flowOptions{Orders: true, Rate: 500})
	for _, role := range []string{"leader", "follower"} {
		f.awaitAcked(100)
		victim := c.pick(role)
		dir := c.node(victim).Dir
		c.stopsSaying(victim, "input/output error", func() { breakDisk(t, dir) })
		f.awaitAcked(200)
		c.do(c.lab.Stop(victim))
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatalf("unmount %s: %v", dir, err)
		}
		mount(t, dir, "-o", "loop", images[victim])
		c.do(c.lab.Start(victim))
		c.follows(victim)
	}
	c.prove()
}

// TestE6ShouldHandOverWhenTheDiskHangs freezes the file system of the leader's directory, under either rule: every write
// and sync waits, and its heartbeats go on. Another node leads all the same, by hand-over, and the old leader follows once its
// disk goes on.
func TestE6ShouldHandOverWhenTheDiskHangs(t *testing.T) {
	needExt4(t)
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			o := lab.Options{Transport: "xdp", XDPMode: "generic", Rule: rule, Dir: t.TempDir(),
				Override: smallRing}
			ext4Each(t, o.Dir)
			c := up(t, o)
			f := c.start(0, flowOptions{Orders: true, Rate: 500})
			f.awaitAcked(100)
			victim := c.leader()
			thaw := freeze(t, c.node(victim).Dir)
			c.awaitStatus(victim, "says that its disk hangs", func(s *node.Status) bool { return s.DiskHung })
			c.leaderBut(victim)
			f.awaitAcked(200)
			if log := c.log(victim); !strings.Contains(log, "disk hangs") {
				t.Errorf("node %d does not say that its disk hangs", victim)
			}
			thaw()
			c.awaitStatus(victim, "goes on", func(s *node.Status) bool { return !s.DiskHung })
			c.follows(victim)
			f.awaitAcked(100)
			c.prove()
		})
	}
}
